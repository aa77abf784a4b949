"""How an event loop waits: one queue per loop, whose descriptor the loop watches.

```
 await ──▶ arm or start, with a tag ──▶ native queue ──▶ descriptor readable ──▶ hub drains ──▶ futures
```

A hub is made when its loop first waits and given up when it had nothing to wait for during a while, or
with its loop. No thread but the loop's ever touches it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from . import _native, _process
from ._together import Calling, Together

if TYPE_CHECKING:
    from ._types import Event

# How long a hub without work keeps its place in the loop, seconds: making one costs more than an await.
_IDLE = 1.0

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


class Armable(Protocol):
    """What can be waited for."""

    def arm(self, interest: int, queue: _native.Queue, tag: int, /) -> None: ...


class _Place:
    """Those who wait for one direction of one object: they share one event."""

    __slots__ = ("futures", "key", "tag")

    def __init__(self, key: tuple[int, int], tag: int) -> None:
        self.key = key
        self.tag = tag
        self.futures: list[asyncio.Future[None]] = []


class Hub:
    """What one loop waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The table of hubs must not keep a loop alive.
        self._loop = weakref.ref(loop)
        self._queue = _process.new_queue()
        self._last_tag = 0
        self._places: dict[tuple[int, int], _Place] = {}
        self._place_of: dict[int, _Place] = {}
        self._results: dict[int, asyncio.Future[Event]] = {}
        self._calls = Together(self._queue)
        self._calls_under_way = 0
        self._handlers: dict[int, Callable[[Event], None]] = {}
        self._retires: asyncio.TimerHandle | None = None
        self._fd = self._queue.fileno()
        loop.add_reader(self._fd, self._drain)

    @property
    def queue(self) -> _native.Queue:
        """For what sends events of its own accord; see :meth:`handle`."""
        return self._queue

    def next_tag(self) -> int:
        """A tag that no event has yet."""
        self._last_tag += 1
        return self._last_tag

    def handle(self, tag: int, handler: Callable[[Event], None]) -> None:
        """Has every event with ``tag`` given to ``handler``, until :meth:`unhandle`."""
        self._handlers[tag] = handler

    def unhandle(self, tag: int) -> None:
        """Ends :meth:`handle`."""
        self._handlers.pop(tag, None)
        self._rest()

    async def ready(self, target: Armable, interest: int) -> None:
        """Waits until another try is worth it. A cancel leaves the arm behind, which is reused."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = self._place(target, interest)
        place.futures.append(future)
        try:
            await future
        finally:
            if future in place.futures:
                place.futures.remove(future)
                if not place.futures:
                    self._forget(place)
            self._rest()

    async def result(
        self,
        start: Callable[[_native.Queue, int], _native.Operation],
        late: Callable[[Event], object] | None = None,
    ) -> Event:
        """Starts an operation and waits for its event. A cancel ends it; what comes late is freed.

        The event of a cancelled one, which may have been done just before, goes to ``late``.
        """
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        tag = self.next_tag()
        operation = start(self._queue, tag)
        self._results[tag] = future
        try:
            return await future
        finally:
            if self._results.pop(tag, None) is not None:
                operation.cancel()
                if late is not None:
                    self.handle(tag, self._once(tag, late))
            self._rest()

    async def call(self, calling: Calling) -> Event:
        """Makes a call of one message, together with those that come at the same time. A cancel ends it."""
        tag = calling.tag = self.next_tag()
        self._results[tag] = calling.future
        self._calls.add(calling, alone=self._calls_under_way == 0)
        self._calls_under_way += 1
        try:
            return await calling.future
        finally:
            self._calls_under_way -= 1
            if self._results.pop(tag, None) is not None:
                calling.cancel()
            self._rest()

    def _once(self, tag: int, late: Callable[[Event], object]) -> Callable[[Event], None]:
        def take(event: Event) -> None:
            self.unhandle(tag)
            late(event)

        return take

    def _place(self, target: Armable, interest: int) -> _Place:
        key = (id(target), interest)
        place = self._places.get(key)
        if place is None:
            place = _Place(key, self.next_tag())
            target.arm(interest, self._queue, place.tag)
            self._places[key] = self._place_of[place.tag] = place
        return place

    def _forget(self, place: _Place) -> None:
        if self._place_of.pop(place.tag, None) is not None:
            del self._places[place.key]

    def _drain(self) -> None:
        if _process.is_exiting():
            # Only a daemon thread still runs a loop now. It ends where it waits.
            asyncio.get_running_loop().remove_reader(self._fd)
            return
        events = self._queue.drain()
        if not events:
            self._look_around()
        for event in events:
            tag = event[0]
            if (place := self._place_of.get(tag)) is not None:
                self._release(place)
            elif (future := self._results.pop(tag, None)) is not None:
                if not future.done():
                    future.set_result(event)
            elif (handler := self._handlers.get(tag)) is not None:
                handler(event)
            # Else whoever waited has gone; a stream in the event is closed with it.

    def _release(self, place: _Place) -> None:
        self._forget(place)
        futures, place.futures = place.futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)

    def _look_around(self) -> None:
        """A wake: the runtime has ended, which everybody learns by trying again."""
        for place in list(self._places.values()):
            self._release(place)

    def _is_idle(self) -> bool:
        return not (self._places or self._results or self._handlers)

    def _rest(self) -> None:
        loop = self._loop()
        if self._retires is None and self._is_idle() and loop is not None and not loop.is_closed():
            self._retires = loop.call_later(_IDLE, self._retire)

    def _retire(self) -> None:
        self._retires = None
        loop = self._loop()
        if loop is not None and self._is_idle():
            loop.remove_reader(self._fd)
            if _hubs.get(loop) is self:
                del _hubs[loop]


def current() -> Hub:
    """The hub of the running loop."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        _sweep()
        hub = _hubs[loop] = Hub(loop)
    return hub


def _sweep() -> None:
    """Gives up the hubs of closed loops; of those that are gone, the table has done so itself."""
    for loop in [loop for loop in _hubs if loop.is_closed()]:
        del _hubs[loop]


def _forget_all() -> None:
    global _hubs
    _hubs = weakref.WeakKeyDictionary()


_process.after_fork(_forget_all)
