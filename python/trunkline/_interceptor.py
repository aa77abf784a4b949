"""Interceptors: what a program looks at the calls of a channel with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ._errors import ChannelError

__all__ = ["AsyncInterceptor", "Beginning", "Ending", "Interceptor"]

Pairs = list[tuple[str, bytes | str]]


@dataclass(slots=True)
class Beginning:
    """A call that is about to be sent.

    Attributes:
        method: such as ``"/package.Service/Method"``.
        metadata: goes with the call; may be added to.
        credentials: as metadata, and never over a connection without TLS; may be added to.
    """

    method: str
    metadata: Pairs
    credentials: Pairs


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    Attributes:
        method: such as ``"/package.Service/Method"``.
        error: ``None``, or what the caller got. A call with streams that was cancelled before its end has a
            :class:`ChannelError` with CANCELLED (1).
        took: time since the call began, all attempts included.
    """

    method: str
    error: BaseException | None
    took: timedelta


class Interceptor:
    """Looks at the calls of a :class:`Channel`, in the threads that make them. Override what is of use."""

    def begin(self, call: Beginning) -> None:
        """A call is about to be sent. An exception denies it: nothing is sent, and the call raises it.

        ``ChannelError("not today", status=7)`` denies with a gRPC status.
        """

    def end(self, call: Ending) -> None:
        """A call has ended that this one did not deny; those that saw it last hear it first."""


class AsyncInterceptor:
    """The twin of :class:`Interceptor` for :class:`AsyncChannel`, in the tasks that make the calls."""

    async def begin(self, call: Beginning) -> None:
        """Like :meth:`Interceptor.begin`."""

    def end(self, call: Ending) -> None:
        """Like :meth:`Interceptor.end`; must not block."""


class Row:
    """Those that look at one call, and how far it has come."""

    __slots__ = ("_begun", "_is_over", "_passed", "call")

    def __init__(self, call: Beginning) -> None:
        self.call = call
        self._begun = time.monotonic()
        self._passed: list[Interceptor | AsyncInterceptor] = []
        self._is_over = False

    def begin(self, interceptors: Sequence[Interceptor]) -> None:
        """Shows them the call, one after the other."""
        for interceptor in interceptors:
            with self:
                interceptor.begin(self.call)
            self._passed.append(interceptor)

    async def begin_async(self, interceptors: Sequence[AsyncInterceptor]) -> None:
        """Like :meth:`begin`."""
        for interceptor in interceptors:
            with self:
                await interceptor.begin(self.call)
            self._passed.append(interceptor)

    def end(self, error: BaseException | None) -> None:
        """Tells those that passed the call how it ended, once."""
        if self._is_over:
            return
        self._is_over = True
        end = Ending(self.call.method, error, timedelta(seconds=time.monotonic() - self._begun))
        for interceptor in reversed(self._passed):
            interceptor.end(end)

    def give_up(self) -> None:
        """The call was cancelled, if it had not ended."""
        self.end(ChannelError("the call was given up", status=1, details="the call was given up"))

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """An exception is the end."""
        if error is not None:
            self.end(error)
