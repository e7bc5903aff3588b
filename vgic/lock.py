"""The VM's lock, or none.

Room:    the floor.
Holds:   reentrant: ports are called with the lock held and may call back.
"""

import threading
from types import TracebackType
from typing import Final, Protocol, final


class Lock(Protocol):
    """What a VM needs of its lock."""

    def acquire(self) -> bool:
        """Wait for the lock."""

    def release(self) -> None:
        """Give it up."""

    def __enter__(self) -> bool:
        """Acquire."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Release."""


@final
class NoLock:
    """For a VMM with one thread: nothing to wait for."""

    __slots__ = ()

    def acquire(self) -> bool:
        """Do nothing."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> bool:
        """Do nothing."""
        return True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Do nothing."""


NO_LOCK: Final = NoLock()


def make_lock(threads: bool) -> Lock:
    """Return a reentrant lock, or the one that does nothing."""
    return threading.RLock() if threads else NO_LOCK
