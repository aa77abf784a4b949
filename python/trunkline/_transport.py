"""An asyncio transport over a stream, for code that wants a ``StreamReader`` and a ``StreamWriter``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._async_stream import AsyncStream

# What one turn reads at most.
_PIECE = 64 << 10


def open_streams(stream: AsyncStream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What :func:`asyncio.open_connection` would return, over ``stream``."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = _StreamTransport(loop, stream, protocol)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _StreamTransport(asyncio.Transport):
    """Reads and writes in two tasks, so that the protocol sees what it does of a socket's transport."""

    # asyncio then lets `loop.start_tls` wrap it.
    _start_tls_compatible = True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stream: AsyncStream, protocol: asyncio.Protocol
    ) -> None:
        super().__init__(
            {"peername": stream.getpeername(), "sockname": stream.getsockname(), "stream": stream}
        )
        self._loop = loop
        self._stream = stream
        self._protocol: asyncio.BaseProtocol = protocol
        self._outgoing = bytearray()
        self._limits = (16 << 10, 64 << 10)
        self._is_protocol_paused = False
        self._is_closing = False
        self._is_lost = False
        self._wants_eof = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._writer: asyncio.Task[None] | None = None
        protocol.connection_made(self)
        self._reader = loop.create_task(self._read())

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_reading(self) -> bool:
        return self._may_read.is_set() and not self._is_closing

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 64 << 10 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError("high must not be below low, and low not below 0")
        self._limits = (low, high)

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: Buffer) -> None:
        if self._wants_eof:
            raise RuntimeError("cannot write after write_eof()")
        if self._is_lost or not (data := memoryview(data)).nbytes:
            return
        self._outgoing += data.cast("B")
        self._flush()
        self._pause_protocol_above_limit()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._wants_eof:
            self._wants_eof = True
            self._flush()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Sends what was written, then closes."""
        if not self._is_closing:
            self._is_closing = True
            self._reader.cancel()
            self._flush()

    def abort(self) -> None:
        self._lose(None, self._stream.abort)

    def _flush(self) -> None:
        if self._writer is None and not self._is_lost:
            self._writer = self._loop.create_task(self._write())

    async def _read(self) -> None:
        try:
            while True:
                await self._may_read.wait()
                data = await self._stream.receive(_PIECE)
                # A protocol that wraps another (TLS) takes its bytes into buffers of its own.
                if not data:
                    break
                self._give(data)
            keep_open = self._end_of_stream()
        except asyncio.CancelledError:
            return
        except Exception as error:
            self._lose(error, self._stream.abort)
            return
        if not keep_open:
            self.close()

    def _give(self, data: bytes) -> None:
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            while data:
                room = memoryview(protocol.get_buffer(len(data)))
                count = min(room.nbytes, len(data))
                room[:count] = data[:count]
                protocol.buffer_updated(count)
                data = data[count:]
        elif isinstance(protocol, asyncio.Protocol):
            protocol.data_received(data)

    def _end_of_stream(self) -> bool:
        protocol = self._protocol
        if isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol):
            return bool(protocol.eof_received())
        return False

    async def _write(self) -> None:
        try:
            while self._outgoing:
                piece = bytes(self._outgoing)
                self._outgoing.clear()
                await self._stream.send(piece)
                self._resume_protocol_below_limit()
            if self._is_closing:
                await self._stream.aclose()
            elif self._wants_eof:
                await self._stream.send_eof()
        except Exception as error:
            self._lose(error, self._stream.abort)
            return
        finally:
            self._writer = None
        if self._is_closing:
            self._lose(None, None)

    def _pause_protocol_above_limit(self) -> None:
        if len(self._outgoing) > self._limits[1] and not self._is_protocol_paused:
            self._is_protocol_paused = True
            self._protocol.pause_writing()

    def _resume_protocol_below_limit(self) -> None:
        if self._is_protocol_paused and len(self._outgoing) <= self._limits[0]:
            self._is_protocol_paused = False
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None, close: Callable[[], None] | None) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._outgoing.clear()
        if close is not None:
            close()
        self._reader.cancel()
        self._loop.call_soon(self._protocol.connection_lost, error)
