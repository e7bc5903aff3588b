"""The VM's lock, and the one that is none."""

import threading
from collections.abc import Callable
from typing import Final

import pytest

from vgic.lock import NO_LOCK, Lock, NoLock, make_lock


def other_thread_gets(lock: Lock) -> bool:
    """Whether another thread can take the lock now."""
    got = threading.Event()

    def take() -> None:
        with lock:
            got.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return got.wait(0.02)


def spelt_out(lock: Lock, inside: Callable[[], None]) -> None:
    lock.acquire()
    try:
        inside()
    finally:
        lock.release()


def as_context(lock: Lock, inside: Callable[[], None]) -> None:
    with lock:
        inside()


WAYS: Final = {"acquire and release": spelt_out, "with": as_context}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_threads_keep_each_other_out(way: Callable[[Lock, Callable[[], None]], None]) -> None:
    lock = make_lock(True)
    seen: list[bool] = []
    way(lock, lambda: seen.append(other_thread_gets(lock)))
    assert (seen, other_thread_gets(lock)) == ([False], True)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("threads", [False, True], ids=["one thread", "threads"])
def test_reentrant(threads: bool, way: Callable[[Lock, Callable[[], None]], None]) -> None:
    lock = make_lock(threads)
    depth: list[int] = []
    way(lock, lambda: way(lock, lambda: depth.append(2)))
    assert depth == [2]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_one_thread_waits_for_nothing(way: Callable[[Lock, Callable[[], None]], None]) -> None:
    seen: list[bool] = []
    way(NO_LOCK, lambda: seen.append(other_thread_gets(NO_LOCK)))
    assert seen == [True]


@pytest.mark.parametrize("threads", [False, True], ids=["one thread", "threads"])
def test_an_exception_passes_and_the_lock_is_free(threads: bool) -> None:
    lock = make_lock(threads)
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert other_thread_gets(lock)


def test_which_lock_is_made() -> None:
    assert isinstance(make_lock(False), NoLock)
    assert make_lock(True) is not make_lock(True)
    assert (make_lock(True).acquire(), make_lock(False).acquire()) == (True, True)
