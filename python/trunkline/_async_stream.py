"""The asyncio byte stream: the shape of anyio's ``ByteStream``, and asyncio's reader and writer over it."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from . import _hub, _native
from ._stream import check_size, close_native, describe, socket_of, warn_leak
from ._tls import TlsSession, session_of
from ._transport import open_streams
from ._types import StreamStats, stream_stats

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

__all__ = ["AsyncStream"]


class AsyncStream:
    """A TCP or TLS connection, a Unix socket or an end of a pipe, for asyncio.

    Several tasks may use it; those of several loops may, as long as only one loop sends. A call that need
    not wait returns without a turn of the loop.
    """

    __slots__ = ("__weakref__", "_closed", "_native", "_sending")

    def __init__(self, native: _native.Stream, /) -> None:
        self._native = native
        self._sending = asyncio.Lock()
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte and at most ``max_bytes``; empty at the end of the stream.

        Cancelling it loses no byte.

        Raises:
            ResetError: the connection was lost.
            ClosedError: it was closed by this program.
            ConfigError: ``max_bytes`` is negative or more than 2 GiB - 1.
        """
        check_size(max_bytes)
        while (data := self._native.try_recv(max_bytes)) is None:
            await _hub.current().ready(self._native, _native.READABLE)
        return data

    async def receive_into(self, buffer: Buffer, nbytes: int = 0) -> int:
        """Like :meth:`receive`, into ``buffer``: its first ``nbytes``, or all of it for 0. How many came.

        The buffer cannot be resized while the task waits.
        """
        check_size(nbytes)
        with memoryview(buffer) as view:
            while (count := self._native.try_recv_into(view, nbytes)) is None:
                await _hub.current().ready(self._native, _native.READABLE)
        return count

    async def send(self, data: Buffer) -> None:
        """Sends all of ``data``; tasks that send at the same time take turns.

        Cancelled or failed, a part may have been sent.

        Raises:
            ResetError: the connection was lost.
            ClosedError: it was closed by this program.
        """
        async with self._sending:
            with memoryview(data) as view:
                length = view.nbytes
                sent = self._native.try_send(view, 0) or 0
                while sent < length:
                    await _hub.current().ready(self._native, _native.WRITABLE)
                    sent += self._native.try_send(view, sent) or 0

    async def send_eof(self) -> None:
        """Ends the direction to the peer, which reads what was sent and then the end. Receiving goes on."""
        self._native.shutdown(_native.WRITABLE)

    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A reader and a writer of asyncio over this stream, which they take over. Call it once."""
        return open_streams(self)

    def getpeername(self) -> str:
        """The address of the far end, such as ``"tcp://127.0.0.1:80"``; empty for a pipe."""
        return self._native.peer_address()

    def getsockname(self) -> str:
        """The address of the near end; empty for a pipe."""
        return self._native.local_address()

    def tls(self) -> TlsSession | None:
        """Who the peer is and what was agreed with it; ``None`` for a stream without TLS."""
        return session_of(self._native)

    def stats(self) -> StreamStats:
        """What has gone over it, also once it is closed."""
        return stream_stats(self._native.stats())

    def abort(self) -> None:
        """Closes it with a reset: the peer sees an error instead of the end of the stream.

        A Unix socket has no reset; there the peer may see the end.
        """
        self._closed = True
        close_native(self._native.abort)

    def to_socket(self) -> socket.socket:
        """A :class:`socket.socket` for what this stream carries, for code that takes nothing else.

        It is a Unix socket, as :func:`asyncio.open_connection` takes it: what is written to it goes to the
        stream's peer, what comes is read from it, and an end crosses in either direction. A reset of the
        peer's is an end there. Closing it closes the stream, which is good for :meth:`stats` and addresses
        alone from then on.

        Raises:
            LimitExceeded: no descriptor is left.
            ClosedError: the stream was closed, or has a socket.
            ConfigError: a pool lends it.
        """
        return socket_of(self)

    async def aclose(self) -> None:
        """Closes it; tasks that wait on it get :class:`ClosedError`. Idempotent, never waits.

        In a forked child it leaves the parent's connection alone.
        """
        self._closed = True
        close_native(self._native.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive()
        if not data:
            raise StopAsyncIteration
        return data

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {describe(self._native)} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warn_leak(self, self._native)
            self._closed = True
