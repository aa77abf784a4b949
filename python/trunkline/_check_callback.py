"""The check callback: the program says how each endpoint is of the backends that it is asked about."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._jobs import WAITING, LoopJobs, WorkerJobs

if TYPE_CHECKING:
    from . import _native

__all__ = ["CheckQuestion"]

_CONNECTION_FAILED: Final = 10
_LIMIT_EXCEEDED: Final = 9


@dataclass(frozen=True, slots=True)
class CheckQuestion:
    """An endpoint that is to be checked.

    Attributes:
        backend: the name of its backend.
        address: where it is.
        host: the name that led there; ``None`` where its address was given.
        timeout: for the answer, from when it was asked for.
    """

    backend: str
    address: str
    host: str | None
    timeout: timedelta


# What does not return `False`, and does not raise, says that the endpoint passes.
CheckCallback: TypeAlias = Callable[[CheckQuestion], bool | None]
AsyncCheckCallback: TypeAlias = Callable[[CheckQuestion], bool | Awaitable[bool | None] | None]


class ThreadChecks(WorkerJobs):
    """Runs a callback in threads of its own."""

    def __init__(self, callback: CheckCallback) -> None:
        self._callback = callback
        super().__init__("trunkline-check")

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

    def _do(self, job: _native.Job) -> None:
        question = question_of(job)
        if question is None:
            return
        try:
            say(job, self._callback(question))
        except BaseException as error:
            fail(job, error)


class LoopChecks(LoopJobs):
    """Runs a callback in tasks of the loop that it was set on."""

    def __init__(self, callback: AsyncCheckCallback) -> None:
        self._callback = callback
        super().__init__(WAITING)

    def _turn_away(self, job: _native.Job) -> None:
        turn_away(job)

    async def _do(self, job: _native.Job) -> None:
        question = question_of(job)
        if question is None:
            return
        limit = asyncio.timeout(question.timeout.total_seconds())
        try:
            said = self._callback(question)
            if inspect.isawaitable(said):
                async with limit:
                    said = await said
            say(job, said)
        except Exception as error:
            # What took too long has told nothing.
            if not limit.expired():
                fail(job, error)


def question_of(job: _native.Job) -> CheckQuestion | None:
    """What a question is about; ``None`` if nobody waits for its answer any more."""
    text = job.check_question()
    if text is None:
        return None
    known: dict[str, Any] = json.loads(text)
    timeout = timedelta(microseconds=known.pop("timeout_ns") / 1000)
    return CheckQuestion(timeout=timeout, **known)


def say(job: _native.Job, passed: bool | None) -> None:
    """Answers a question. It may be too late by now, and then that is all."""
    if passed is None or passed is True:
        job.done(0)
    elif passed is False:
        job.fail(_CONNECTION_FAILED, "the callback returned False")
    else:
        raise TypeError(f"a check returns True, False or None, not {passed!r}")


def turn_away(job: _native.Job) -> None:
    """Says that it could not be told, because as many questions wait as may."""
    job.fail(_LIMIT_EXCEEDED, "too many questions wait for the callback")


def fail(job: _native.Job, error: BaseException) -> None:
    """Says that the endpoint fails, for what the callback raised."""
    job.fail(_CONNECTION_FAILED, f"{type(error).__name__}: {error}"[:1000])
