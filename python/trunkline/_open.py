"""How streams come to be: by connecting, or as the two ends of a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import _errors, _hub, _native
from ._async_stream import AsyncStream
from ._stream import Stream
from ._tls import native_of
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tls import Tls
    from ._types import Event

__all__ = ["async_connect", "async_pipe", "connect", "pipe"]


def connect(address: str, *, timeout: float | None = None, tls: Tls | None = None) -> Stream:
    """Connects to ``"tcp://host:port"``, ``"tls://host:port"``, ``"unix:/path"`` or ``"mem:name"``.

    Args:
        address: where to.
        timeout: seconds; ``None`` means the default connect timeout of 5 s. It is not the stream's timeout.
        tls: secures a ``tls://`` address; ``None`` trusts whom the system trusts.

    Raises:
        ConnectTimeout: it took too long.
        ConnectError: the destination refused, or could not be reached.
        TlsError: the server is not who it should be, or TLS does not come about; a server that refuses our
            certificate may be heard of only by the first read.
        ConfigError: the address is none.
        LimitExceeded: no descriptor or handle is left.
    """
    started = time.monotonic()
    return Stream(stream_of(until_done(_connecting(address, timeout, tls)), started))


async def async_connect(address: str, *, timeout: float | None = None, tls: Tls | None = None) -> AsyncStream:
    """The twin of :func:`connect`. Cancelling it ends the attempt; no stream is left behind."""
    started = time.monotonic()
    event = await _hub.current().result(_connecting(address, timeout, tls))
    return AsyncStream(stream_of(event, started))


def pipe(capacity: int = 65536) -> tuple[Stream, Stream]:
    """Two ends: what is sent to one is received from the other, with the semantics of a socket.

    Args:
        capacity: bytes that each direction holds at most, 1 to 1 GiB.
    """
    a, b = _native.pipe(_checked(capacity))
    return Stream(a), Stream(b)


def async_pipe(capacity: int = 65536) -> tuple[AsyncStream, AsyncStream]:
    """The twin of :func:`pipe`."""
    a, b = _native.pipe(_checked(capacity))
    return AsyncStream(a), AsyncStream(b)


def _checked(capacity: int) -> int:
    if not 1 <= capacity <= 1 << 30:
        raise _errors.invalid("capacity: must be within 1 and 1073741824")
    return capacity


def _connecting(
    address: str, timeout: float | None, tls: Tls | None
) -> Callable[[_native.Queue, int], _native.Operation]:
    deadline, native = deadline_after(timeout), native_of(tls)
    return lambda queue, tag: _native.connect(address, deadline, queue, tag, native)


def stream_of(event: Event, started: float) -> _native.Stream:
    """The stream that an event brings, or the exception."""
    _, _, _, error, stream = event
    if error is not None:
        if isinstance(error, _errors.Error):
            error.elapsed = time.monotonic() - started
        raise error
    assert isinstance(stream, _native.Stream), "a connect that succeeds brings a stream"
    return stream
