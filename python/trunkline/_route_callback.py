"""The route callback: the program says where each connection of a started manager goes.

```
 native queue ──▶ dispatcher ──▶ workers             for threads
              └─▶ hub of the loop ──▶ tasks           for asyncio
```

The dispatcher and the workers are daemon threads of Python; no native thread ever calls the program.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import _hub, _native, _process
from ._wait import NO_DEADLINE
from ._workers import Workers

if TYPE_CHECKING:
    from ._types import Event

__all__ = ["REFUSE", "Arrival", "Refuse", "ToAddress"]

_log = logging.getLogger("trunkline")

# Threads that run callbacks.
_WORKERS: Final = 16
# Questions that wait for one of them, or for their tasks to end: more are left to the routes.
_WAITING: Final = 1024
# How long a close waits for the dispatcher's end, seconds.
_STOP_LIMIT: Final = 1.0

_DEFAULT, _BACKEND, _ADDRESS, _REFUSE = range(4)


class Refuse(Enum):
    """The answer for a connection that goes nowhere."""

    REFUSE = "refuse"

    def __repr__(self) -> str:
        return "REFUSE"


REFUSE: Final = Refuse.REFUSE


@dataclass(frozen=True, slots=True)
class ToAddress:
    """The answer for a connection that goes to an address, past the backends and their limits."""

    address: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a connection that was accepted; ``None`` is not known.

    Attributes:
        id: its number, as in the live table.
        listener: the name of the one that it came in by.
        source: who asked for it, as a proxy in front announced it where one did.
        local: our end of it, as announced likewise.
        protocol: what its first bytes speak, by the names of :func:`trunkline.probe_tcp`.
        host: whom it asks for, by the server name of TLS or the host of HTTP/1.
        alpn: protocols that a client of TLS offers to speak inside.
        timeout: for the answer, from when it was asked for.
    """

    id: int
    listener: str
    source: str | None
    local: str | None
    protocol: str | None
    host: str | None
    alpn: tuple[str, ...]
    timeout: timedelta


# A backend's name, an address, `REFUSE`, or `None` for where the routes say.
Route: TypeAlias = str | ToAddress | Refuse | None
RouteCallback: TypeAlias = Callable[[Arrival], Route]
AsyncRouteCallback: TypeAlias = Callable[[Arrival], Route | Awaitable[Route]]


class ThreadRoutes:
    """Runs a callback in threads of its own."""

    tag: Final = 0

    def __init__(self, callback: RouteCallback) -> None:
        self.queue = _process.new_queue()
        self._callback = callback
        self._is_over = False
        self._workers = Workers("trunkline-route", _WORKERS, self._do)
        self._dispatcher = threading.Thread(target=self._dispatch, name="trunkline-route", daemon=True)
        self._dispatcher.start()

    def stop(self) -> None:
        """No more questions; those that are there are thrown away, and the routes decide."""
        self.abandon()
        if threading.current_thread() not in (self._dispatcher, *self._workers.threads):
            self._dispatcher.join(_STOP_LIMIT)

    def abandon(self) -> None:
        """Does the same without waiting."""
        self._is_over = True
        self.queue.wake()

    def _dispatch(self) -> None:
        while not self._is_over:
            for event in self.queue.wait(NO_DEADLINE, False):
                self._take(event)
        self.queue.drain()
        self._workers.stop()

    def _take(self, event: Event) -> None:
        job = event[4]
        if not isinstance(job, _native.Job):
            return
        if self._workers.waiting() < _WAITING:
            self._workers.submit(job)
        else:
            turn_away(job)

    def _do(self, job: _native.Job) -> None:
        arrival = None if self._is_over else arrival_of(job)
        if arrival is None:
            return
        try:
            decide(job, self._callback(arrival))
        except BaseException as error:
            fail(job, error)


class LoopRoutes:
    """Runs a callback in tasks of the loop that it was set on."""

    def __init__(self, callback: AsyncRouteCallback) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._hub = _hub.current()
        self._tasks: set[asyncio.Task[None]] = set()
        self.queue = self._hub.queue
        self.tag = self._hub.next_tag()
        self._hub.handle(self.tag, self._take)

    def stop(self) -> None:
        """No more questions; what is under way is cancelled, and the routes decide."""
        self._hub.unhandle(self.tag)
        for task in self._tasks:
            task.cancel()

    def abandon(self) -> None:
        """Does the same soon, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop)

    def _take(self, event: Event) -> None:
        job = event[4]
        if not isinstance(job, _native.Job):
            return
        if len(self._tasks) >= _WAITING:
            turn_away(job)
            return
        task = self._loop.create_task(self._do(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, job: _native.Job) -> None:
        arrival = arrival_of(job)
        if arrival is None:
            return
        try:
            answer = self._callback(arrival)
            if inspect.isawaitable(answer):
                async with asyncio.timeout(arrival.timeout.total_seconds()):
                    answer = await answer
            decide(job, answer)
        except Exception as error:
            fail(job, error)


def arrival_of(job: _native.Job) -> Arrival | None:
    """What a question is about; ``None`` if nobody waits for its answer any more."""
    question = job.question()
    if question is None:
        return None
    known: dict[str, Any] = json.loads(question)
    timeout = timedelta(microseconds=known.pop("timeout_ns") / 1000)
    return Arrival(alpn=tuple(known.pop("alpn")), timeout=timeout, **known)


def decide(job: _native.Job, answer: Route) -> None:
    """Answers a question. It may be too late by now, and then that is all."""
    match answer:
        case None:
            job.decide(_DEFAULT, "")
        case Refuse():
            job.decide(_REFUSE, "")
        case ToAddress(address):
            job.decide(_ADDRESS, address)
        case str():
            job.decide(_BACKEND, answer)
        case _:
            raise TypeError(f"a route is a backend's name, ToAddress, REFUSE or None, not {answer!r}")


def turn_away(job: _native.Job) -> None:
    """Leaves a connection to the routes because as many questions wait as may."""
    job.fail(0, "too many questions wait for the callback")


def fail(job: _native.Job, error: BaseException) -> None:
    """Leaves a connection to the routes because the callback raised."""
    _log.error("a route callback failed, the routes decide", exc_info=error)
    job.fail(0, f"{type(error).__name__}: {error}"[:1000])
