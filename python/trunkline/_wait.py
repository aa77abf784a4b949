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


class Waitable(Protocol):
    """What can be waited for."""

    def wait(self, interest: int, queue: _native.Queue, deadline_ns: int, signals: bool, /) -> None: ...


class _Waiter(threading.local):
    """A thread's queues: one for readiness, whose events say no more than "try again", one for results.

    Waits nest when a signal handler, which runs in the middle of one, waits itself. So a result that a
    nested wait takes for an outer one is kept here.
    """

    def __init__(self) -> None:
        # Handlers of signals run in the main thread alone; the others need not look for them.
        self.signals = threading.current_thread() is threading.main_thread()
        self._for_readiness: _native.Queue | None = None
        self._for_results: _native.Queue | None = None
        self.last_tag = 0
        self.awaited: dict[int, Event | None] = {}

    # They are made when the thread first waits: importing starts no runtime.

    @property
    def for_readiness(self) -> _native.Queue:
        if self._for_readiness is None:
            self._for_readiness = _process.new_queue()
        return self._for_readiness

    @property
    def for_results(self) -> _native.Queue:
        if self._for_results is None:
            self._for_results = _process.new_queue()
        return self._for_results

    def next_tag(self) -> int:
        self.last_tag += 1
        return self.last_tag

    def wait(self, deadline: int, *, settling: bool = False) -> None:
        """Waits a while and keeps what somebody asked for; the rest is dropped, streams closed."""
        for event in self.for_results.wait(deadline, self.signals and not settling):
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


def until_ready(target: Waitable, interest: int, deadline: int) -> bool:
    """Waits until another try is worth it, or a while; false once the deadline has passed."""
    if deadline != NO_DEADLINE and time.monotonic_ns() >= deadline:
        return False
    target.wait(interest, _waiter.for_readiness, deadline, _waiter.signals)
    return True


def until_done(
    start: Callable[[_native.Queue, int], _native.Operation],
    late: Callable[[Event], object] | None = None,
) -> Event:
    """Starts an operation and waits for its event; an exception meanwhile cancels it.

    The event of a cancelled one, which may have been done just before, goes to ``late``.
    """
    waiter = _waiter
    tag = waiter.next_tag()
    waiter.awaited[tag] = None
    try:
        operation = start(waiter.for_results, tag)
        try:
            while (event := waiter.awaited[tag]) is None:
                waiter.wait(NO_DEADLINE)
        except BaseException:
            operation.cancel()
            settled = _settle(waiter, tag)
            if late is not None and settled is not None:
                late(settled)
            raise
        return event
    finally:
        del waiter.awaited[tag]


def _settle(waiter: _Waiter, tag: int) -> Event | None:
    deadline = deadline_after(_SETTLE_LIMIT)
    while waiter.awaited[tag] is None and time.monotonic_ns() < deadline:
        waiter.wait(deadline, settling=True)
    return waiter.awaited[tag]


_process.after_fork(_start_anew)
