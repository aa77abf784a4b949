"""The route callback: the program says where each connection of a started manager goes."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._jobs import WAITING, LoopJobs, WorkerJobs

if TYPE_CHECKING:
    from . import _native

__all__ = ["REFUSE", "Arrival", "Refuse", "ToAddress"]

_log = logging.getLogger("trunkline")

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


class ThreadRoutes(WorkerJobs):
    """Runs a callback in threads of its own."""

    def __init__(self, callback: RouteCallback) -> None:
        self._callback = callback
        super().__init__("trunkline-route")

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

    def _do(self, job: _native.Job) -> None:
        arrival = arrival_of(job)
        if arrival is None:
            return
        try:
            decide(job, self._callback(arrival))
        except BaseException as error:
            fail(job, error)


class LoopRoutes(LoopJobs):
    """Runs a callback in tasks of the loop that it was set on."""

    def __init__(self, callback: AsyncRouteCallback) -> None:
        self._callback = callback
        super().__init__(WAITING)

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

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
