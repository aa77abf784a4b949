"""Calls of a channel: how they are made, and what they bring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

from . import _hub, _native
from ._interceptor import Row
from ._types import Event, Terms
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    _Compression: TypeAlias = Literal["gzip", "deflate"]

__all__ = ["AsyncCall", "Call", "Response"]

Metadata: TypeAlias = Sequence[tuple[str, bytes | str]]

# TRUNKLINE_CALL_* of the header.
_WAIT_FOR_READY = 1
_FAIL_FAST = 2
_COMPRESSION = {None: 0, "gzip": 4, "deflate": 8}
_PLAINTEXT_CREDENTIALS = 16


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a call of one message, with what came before it and behind it."""

    message: bytes
    initial: tuple[tuple[str, bytes], ...]
    trailing: tuple[tuple[str, bytes], ...]


def terms_of(
    metadata: Metadata,
    credentials: Metadata,
    timeout: float | None,
    wait_for_ready: bool | None,
    compression: _Compression | None,
    max_reply: int,
    plaintext_credentials: bool,
) -> Terms:
    """How a call is made, as the native module takes it."""
    flags = _COMPRESSION[compression]
    if plaintext_credentials:
        flags |= _PLAINTEXT_CREDENTIALS
    if wait_for_ready is not None:
        flags |= _WAIT_FOR_READY if wait_for_ready else _FAIL_FAST
    return deadline_after(timeout), _pairs(metadata), flags, max_reply, _pairs(credentials)


def _pairs(metadata: Metadata) -> list[tuple[str, bytes]]:
    return [(name, value.encode() if isinstance(value, str) else bytes(value)) for name, value in metadata]


def reply_of(event: Event) -> _native.Reply | None:
    """The reply that an event brings, or the exception."""
    _, _, _, error, reply = event
    if error is not None:
        raise error
    assert reply is None or isinstance(reply, _native.Reply), "a call brings replies alone"
    return reply


def response_of(event: Event) -> Response:
    """The answer that an event brings to a call of one message, or the exception."""
    reply = reply_of(event)
    assert reply is not None, "a call of one message that succeeds brings one"
    return Response(reply.message, reply.initial, reply.trailing)


def check_done(event: Event) -> None:
    """Raises what an event brings, if it is an exception."""
    if event[3] is not None:
        raise event[3]


class Call:
    """A call with any number of messages each way; iterating it gives the messages of the answer.

    One thread may send while another receives. Leaving its ``with`` gives it up, if it has not ended.
    """

    __slots__ = ("_native", "_row")

    def __init__(self, native: _native.Call, row: Row) -> None:
        self._native = native
        self._row = row

    def send(self, message: Buffer) -> None:
        """Sends one message, waiting while several are on their way.

        Raises:
            ClosedError: the call has ended; :meth:`receive` says how.
        """
        check_done(until_done(lambda queue, tag: self._native.send(message, queue, tag)))

    def finish_sending(self) -> None:
        """Says that no more messages follow."""
        self._native.finish_sending()

    def receive(self) -> bytes | None:
        """The next message; ``None`` at the end of a call that ended well.

        Raises:
            ChannelError: it ended with another status than OK.
        """
        event = until_done(self._native.receive)
        with self._row:
            reply = reply_of(event)
        if reply is None:
            self._row.end(None)
            return None
        return reply.message

    def initial(self) -> tuple[tuple[str, bytes], ...]:
        """What the server sends before its first message; waits for it."""
        reply = reply_of(until_done(self._native.initial))
        return () if reply is None else reply.initial

    def trailing(self) -> tuple[tuple[str, bytes], ...]:
        """What the server sent behind its last message, once the end was received."""
        return self._native.trailing().trailing

    def cancel(self) -> None:
        """Gives the call up: the server is told, unless the call has ended."""
        self._native.cancel()
        self._row.give_up()

    def __iter__(self) -> Iterator[bytes]:
        while (message := self.receive()) is not None:
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()


class AsyncCall:
    """The twin of :class:`Call` for asyncio."""

    __slots__ = ("_native", "_row")

    def __init__(self, native: _native.Call, row: Row) -> None:
        self._native = native
        self._row = row

    async def send(self, message: Buffer) -> None:
        """Like :meth:`Call.send`. Cancelled, the message was not sent."""
        check_done(await _hub.current().result(lambda queue, tag: self._native.send(message, queue, tag)))

    async def finish_sending(self) -> None:
        """Says that no more messages follow; never waits."""
        self._native.finish_sending()

    async def receive(self) -> bytes | None:
        """The next message; ``None`` at the end of a call that ended well."""
        event = await _hub.current().result(self._native.receive)
        with self._row:
            reply = reply_of(event)
        if reply is None:
            self._row.end(None)
            return None
        return reply.message

    async def initial(self) -> tuple[tuple[str, bytes], ...]:
        """What the server sends before its first message; waits for it."""
        reply = reply_of(await _hub.current().result(self._native.initial))
        return () if reply is None else reply.initial

    async def trailing(self) -> tuple[tuple[str, bytes], ...]:
        """What the server sent behind its last message, once the end was received; never waits."""
        return self._native.trailing().trailing

    async def cancel(self) -> None:
        """Gives the call up; never waits."""
        self._native.cancel()
        self._row.give_up()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.receive()) is not None:
            yield message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._native.cancel()
