"""Resolvers: the program says where a channel's target is."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ._jobs import LoopJobs, ThreadJobs

if TYPE_CHECKING:
    from . import _native

__all__ = ["ResolveQuestion"]

_log = logging.getLogger("trunkline")

# A channel asks one question at a time; one that took too long may still be at work.
_AT_WORK: Final = 16


@dataclass(frozen=True, slots=True)
class ResolveQuestion:
    """What a resolver is asked.

    Attributes:
        target: the channel's, as it was given.
        number: 1 for the first question about it, and one more for each that follows.
        timeout: for the answer, from when it was asked for.
    """

    target: str
    number: int
    timeout: timedelta


# The answer: addresses such as ``"tcp://10.0.0.1:443"``, or one.
Addresses: TypeAlias = str | Iterable[str]
Resolver: TypeAlias = Callable[[ResolveQuestion], Addresses]
AsyncResolver: TypeAlias = Callable[[ResolveQuestion], Addresses | Awaitable[Addresses]]


class ThreadResolving(ThreadJobs):
    """Runs a resolver in a thread of its own."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        super().__init__("trunkline-resolve")

    def _take(self, job: _native.Job) -> None:
        question = None if self._is_over else question_of(job)
        if question is None:
            return
        try:
            job.resolved(text_of(self._resolver(question)))
        except BaseException as error:
            fail(job, error)


class LoopResolving(LoopJobs):
    """Runs a resolver in tasks of the loop that its channel was made on."""

    def __init__(self, resolver: AsyncResolver) -> None:
        self._resolver = resolver
        super().__init__(_AT_WORK)

    async def _do(self, job: _native.Job) -> None:
        question = question_of(job)
        if question is None:
            return
        try:
            said = self._resolver(question)
            if inspect.isawaitable(said):
                async with asyncio.timeout(question.timeout.total_seconds()):
                    said = await said
            job.resolved(text_of(said))
        except Exception as error:
            fail(job, error)


def question_of(job: _native.Job) -> ResolveQuestion | None:
    """What is asked; ``None`` if nobody waits for the answer any more."""
    known = job.resolve_question()
    if known is None:
        return None
    document: dict[str, Any] = json.loads(known)
    timeout = timedelta(microseconds=document.pop("timeout_ns") / 1000)
    return ResolveQuestion(timeout=timeout, **document)


def text_of(said: Addresses) -> str:
    """Addresses as native code reads them."""
    return said if isinstance(said, str) else ",".join(said)


def fail(job: _native.Job, error: BaseException) -> None:
    """The resolver raised: the channel keeps what it knows, and asks again after a while."""
    _log.error("a resolver failed, the channel keeps what it knows", exc_info=error)
    job.fail(0, f"{type(error).__name__}: {error}"[:1000])
