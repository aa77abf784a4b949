"""How a thread waits: it arms what it waits for on a queue of its own, and polls that queue's descriptor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from . import _native, _process

if TYPE_CHECKING:
    from ._types import Event

NO_DEADLINE = (1 << 63) - 1

# A cancelled operation answers at once; this bounds the wait for a bug, seconds.
_SETTLE_LIMIT = 0.1


class Armable(Protocol):
    """What can be waited for."""

    def arm(self, interest: int, queue: _native.Queue, tag: int, /) -> None: ...


class _Waiter(threading.local):
    """A thread's queue, and the results that a nested wait took for an outer one.

    Waits nest when a signal handler, which runs in the middle of one, waits itself.
    """

    def __init__(self) -> None:
        self._queue: _native.Queue | None = None
        self.last_tag = 0
        self.awaited: dict[int, Event | None] = {}

    @property
    def queue(self) -> _native.Queue:
        """Made when the thread first waits: importing starts no runtime."""
        if self._queue is None:
            self._queue = _process.new_queue()
        return self._queue

    def next_tag(self) -> int:
        self.last_tag += 1
        return self.last_tag

    def wait(self, deadline: int, signals: bool = True) -> None:
        """Waits a while and keeps what somebody asked for; the rest is dropped, streams closed."""
        for event in self.queue.wait(deadline, signals):
            if event[0] in self.awaited:
                self.awaited[event[0]] = event


_waiter = _Waiter()


def _start_anew() -> None:
    global _waiter
    _waiter = _Waiter()


def deadline_after(timeout: float | None) -> int:
    """Nanoseconds of the monotonic clock; ``None`` is no deadline."""
    if timeout is None:
        return NO_DEADLINE
    return min(time.monotonic_ns() + int(timeout * 1e9), NO_DEADLINE - 1)


def until_ready(target: Armable, interest: int, deadline: int) -> bool:
    """Waits until another try is worth it, or a while; false once the deadline has passed."""
    if deadline != NO_DEADLINE and time.monotonic_ns() >= deadline:
        return False
    target.arm(interest, _waiter.queue, _waiter.next_tag())
    _waiter.wait(deadline)
    return True


def until_done(start: Callable[[_native.Queue, int], _native.Operation]) -> Event:
    """Starts an operation and waits for its event; an exception meanwhile cancels it."""
    waiter = _waiter
    tag = waiter.next_tag()
    waiter.awaited[tag] = None
    try:
        operation = start(waiter.queue, tag)
        try:
            while (event := waiter.awaited[tag]) is None:
                waiter.wait(NO_DEADLINE)
        except BaseException:
            operation.cancel()
            _settle(waiter, tag)
            raise
        return event
    finally:
        del waiter.awaited[tag]


def _settle(waiter: _Waiter, tag: int) -> None:
    deadline = deadline_after(_SETTLE_LIMIT)
    while waiter.awaited[tag] is None and time.monotonic_ns() < deadline:
        waiter.wait(deadline, signals=False)


_process.after_fork(_start_anew)
