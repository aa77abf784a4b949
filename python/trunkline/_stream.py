"""The synchronous byte stream: a socket without a descriptor."""

from __future__ import annotations

import io
import socket
import time
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from . import _errors, _native
from ._tls import TlsSession, session_of
from ._types import SHUTDOWN, StreamStats, stream_stats
from ._wait import deadline_after, until_ready

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    from ._async_stream import AsyncStream

__all__ = ["Stream"]


class Stream:
    """A TCP or TLS connection, a Unix socket or an end of a pipe, used like a :class:`socket.socket`.

    Any thread may use it at any time. It has no ``fileno()``: its bytes may be in memory, and then no
    descriptor would tell the truth. Waiting calls end at the timeout, which is ``None`` (wait without
    limit) at first, and by signals as any call of the standard library does.
    """

    __slots__ = ("__weakref__", "_closed", "_makefile_refs", "_native", "_timeout")

    def __init__(self, native: _native.Stream, /) -> None:
        self._native = native
        self._timeout: float | None = None
        self._makefile_refs = 0
        self._closed = False

    def recv(self, n: int, /) -> bytes:
        """At least one byte and at most ``n``; empty at the end of the stream.

        Raises:
            ReadTimeout: nothing came in time.
            ResetError: the connection was lost.
            ClosedError: it was closed by this program.
            ConfigError: ``n`` is negative or more than 2 GiB - 1.
        """
        check_size(n)
        data = self._native.try_recv(n)
        if data is not None:
            return data
        started, deadline = self._start("read")
        while data is None:
            if not until_ready(self._native, _native.READABLE, deadline):
                self._raise_timeout("read", started)
            data = self._native.try_recv(n)
        return data

    def recv_into(self, buffer: Buffer, nbytes: int = 0) -> int:
        """Like :meth:`recv`, into ``buffer``: its first ``nbytes``, or all of it for 0. How many came."""
        check_size(nbytes)
        count = self._native.try_recv_into(buffer, nbytes)
        if count is not None:
            return count
        started, deadline = self._start("read")
        with memoryview(buffer) as view:
            while count is None:
                if not until_ready(self._native, _native.READABLE, deadline):
                    self._raise_timeout("read", started)
                count = self._native.try_recv_into(view, nbytes)
        return count

    def send(self, data: Buffer, /) -> int:
        """Sends a part of ``data``, and says how long it is.

        Raises:
            WriteTimeout: nothing could be sent in time.
            ResetError: the connection was lost.
            ClosedError: it was closed by this program.
        """
        count = self._native.try_send(data, 0)
        if count is not None:
            return count
        started, deadline = self._start("write")
        while count is None:
            if not until_ready(self._native, _native.WRITABLE, deadline):
                self._raise_timeout("write", started)
            count = self._native.try_send(data, 0)
        return count

    def sendall(self, data: Buffer, /) -> None:
        """Sends all of ``data``; the timeout holds for the whole. After an error a part may have been sent.

        Raises:
            WriteTimeout: not all could be sent in time.
            ResetError: the connection was lost.
            ClosedError: it was closed by this program.
        """
        with memoryview(data) as view:
            length = view.nbytes
            sent = self._native.try_send(view, 0) or 0
            if sent == length:
                return
            started, deadline = self._start("write")
            while sent < length:
                if not until_ready(self._native, _native.WRITABLE, deadline):
                    self._raise_timeout("write", started)
                sent += self._native.try_send(view, sent) or 0

    def shutdown(self, how: int, /) -> None:
        """Ends a direction in order, or both: ``socket.SHUT_RD``, ``SHUT_WR`` or ``SHUT_RDWR``."""
        if how not in SHUTDOWN:
            raise _errors.invalid("how: must be SHUT_RD, SHUT_WR or SHUT_RDWR")
        self._native.shutdown(SHUTDOWN[how])

    def settimeout(self, timeout: float | None, /) -> None:
        """Seconds that a call may wait; ``None`` is no limit, 0 means that calls only try."""
        if timeout is not None and not timeout >= 0:
            raise _errors.invalid("timeout: must not be negative")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """Seconds that a call may wait, ``None`` for no limit."""
        return self._timeout

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

    @overload
    def makefile(self, mode: Literal["rb", "wb", "rwb"], buffering: Literal[0]) -> io.RawIOBase: ...
    @overload
    def makefile(
        self, mode: Literal["rb", "wb", "rwb"], buffering: Literal[-1] = -1
    ) -> io.BufferedIOBase: ...
    @overload
    def makefile(
        self, mode: Literal["rb", "wb", "rwb"], buffering: int
    ) -> io.RawIOBase | io.BufferedIOBase: ...
    @overload
    def makefile(
        self,
        mode: Literal["r", "w", "rw"] = "r",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    def makefile(
        self,
        mode: str = "r",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.IOBase:
        """A file over the stream, as :meth:`socket.socket.makefile` makes it.

        The stream is closed when it and all its files are.
        """
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        writing = "w" in mode
        reading = "r" in mode or not writing
        text = "b" not in mode
        raw = _StreamIO(self, reading, writing)
        if buffering == 0:
            if text:
                raw.close()
                raise ValueError("unbuffered streams must be binary")
            return raw
        size = buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE
        buffered: Any
        if reading and writing:
            buffered = io.BufferedRWPair(raw, raw, size)
        elif reading:
            buffered = io.BufferedReader(raw, size)
        else:
            buffered = io.BufferedWriter(raw, size)
        if not text:
            return buffered  # type: ignore[no-any-return]
        return io.TextIOWrapper(buffered, encoding, errors, newline)

    def abort(self) -> None:
        """Closes it with a reset: the peer sees an error instead of the end of the stream.

        A Unix socket has no reset; there the peer may see the end.
        """
        self._closed = True
        self._close_native(reset=True)

    def to_socket(self) -> socket.socket:
        """A :class:`socket.socket` for what this stream carries, for code that takes nothing else.

        It is a Unix socket that blocks: what is written to it goes to the stream's peer, what comes is read
        from it, and an end crosses in either direction. A reset of the peer's is an end there. Closing it
        closes the stream, which is good for :meth:`stats` and addresses alone from then on.

        Raises:
            LimitExceeded: no descriptor is left.
            ClosedError: the stream was closed, or has a socket.
            ConfigError: a pool lends it.
        """
        return socket_of(self)

    def close(self) -> None:
        """Closes it; files that :meth:`makefile` made keep it open until they are closed. Idempotent.

        In a forked child it leaves the parent's connection alone.
        """
        self._closed = True
        if self._makefile_refs == 0:
            self._close_native()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {describe(self._native)} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warn_leak(self, self._native)
            self._closed = True

    def _start(self, step: str) -> tuple[float, int]:
        if self._timeout == 0:
            raise _errors.would_block(step)
        return time.monotonic(), deadline_after(self._timeout)

    def _raise_timeout(self, step: str, started: float) -> NoReturn:
        peer = self._native.peer_address() or None
        raise _errors.timed_out(step, peer, time.monotonic() - started)

    def _close_native(self, reset: bool = False) -> None:
        close_native(self._native.abort if reset else self._native.close)

    def _file_closed(self) -> None:
        self._makefile_refs -= 1
        if self._closed and self._makefile_refs == 0:
            self._close_native()


class _StreamIO(io.RawIOBase):
    """The raw file of :meth:`Stream.makefile`."""

    def __init__(self, stream: Stream, reading: bool, writing: bool) -> None:
        super().__init__()
        self._stream: Stream | None = stream
        self._reading = reading
        self._writing = writing
        stream._makefile_refs += 1

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def readinto(self, buffer: Buffer, /) -> int | None:
        try:
            return self._open().recv_into(buffer)
        except _errors.WouldBlock:
            return None

    def write(self, data: Buffer, /) -> int | None:
        try:
            return self._open().send(data)
        except _errors.WouldBlock:
            return None

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream._file_closed()

    def _open(self) -> Stream:
        if self._stream is None:
            raise ValueError("I/O operation on closed file")
        return self._stream


def check_size(n: int) -> None:
    if n < 0:
        raise _errors.invalid("the number of bytes must not be negative")


def close_native(close: Any) -> None:
    """Closes, and leaves alone what a fork has left to the parent."""
    try:
        close()
    except _errors.ForkedError:
        pass


def socket_of(stream: Stream | AsyncStream) -> socket.socket:
    descriptor = stream._native.to_socket()
    stream._closed = True
    return socket.socket(fileno=descriptor)


def describe(native: _native.Stream) -> str:
    """Protocol and ends, for people."""
    try:
        protocol = stream_stats(native.stats()).protocol
        ends = f" {native.local_address() or '-'} -> {native.peer_address() or '-'}"
    except _errors.Error:
        return "of another process"
    return protocol if protocol == "pipe" else protocol + ends


def warn_leak(owner: object, native: _native.Stream | _native.Listener | _native.Datagram) -> None:
    """Closes what its owner forgot, and says so; the parent's are left alone."""
    try:
        if native.is_inherited():
            return
        warnings.warn(f"unclosed {owner!r}", ResourceWarning, stacklevel=3, source=owner)
    finally:
        close_native(native.close)
