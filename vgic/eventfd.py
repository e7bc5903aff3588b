"""Ready eventfds: a plain counter, and the operating system's.

Room:    beside ports; a VMM may bring its own.
"""

import os
from typing import Final, final

_MAX: Final = (1 << 64) - 2
"""The highest value of an eventfd's counter."""


@final
class EventCounter:
    """An eventfd of one process: just the counter."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0

    def signal(self) -> None:
        """Add one."""
        self.count = min(self.count + 1, _MAX)

    def take(self) -> int:
        """Return the counter and set it to 0."""
        count, self.count = self.count, 0
        return count


@final
class OsEventFd:
    """An eventfd(2), so that a VMM's event loop can wait for it; Linux alone has them.

    fd  an existing non-blocking eventfd, which stays the caller's; by default a new one, to be closed by `close`.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int | None = None) -> None:
        """Wrap or create.  OSError where the platform has none."""
        if fd is None:
            if not hasattr(os, "eventfd"):
                raise OSError("this platform has no eventfd")
            fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.fd = fd

    def fileno(self) -> int:
        """Return the descriptor, for select and its like."""
        return self.fd

    def signal(self) -> None:
        """Add one."""
        os.eventfd_write(self.fd, 1)

    def take(self) -> int:
        """Return the counter and set it to 0."""
        try:
            return os.eventfd_read(self.fd)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
