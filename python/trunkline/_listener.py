"""Listeners: they accept streams on an address."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from . import _errors, _hub, _native
from ._async_stream import AsyncStream
from ._stream import Stream, close_native, warn_leak
from ._tls import native_of
from ._wait import deadline_after, until_ready

if TYPE_CHECKING:
    from typing import Self

    from ._lifespan import AsgiApp
    from ._tls import Tls
    from ._wsgi import WsgiApp

__all__ = ["AsyncListener", "Listener", "async_listen", "listen"]


class _ListenerBase:
    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, native: _native.Listener, /) -> None:
        self._native = native
        self._closed = False

    def getsockname(self) -> str:
        """The address that is listened on; a port 0 has become the real one."""
        return self._native.address()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        try:
            address = self._native.address()
        except _errors.ForkedError:
            address = "of another process"
        return f"<{type(self).__qualname__} {address} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a listener belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warn_leak(self, self._native)
            self._closed = True

    def _close(self) -> None:
        self._closed = True
        close_native(self._native.close)


class Listener(_ListenerBase):
    """Accepts streams. Any thread may use it at any time."""

    __slots__ = ("_timeout",)

    def __init__(self, native: _native.Listener, /) -> None:
        super().__init__(native)
        self._timeout: float | None = None

    def accept(self) -> Stream:
        """The next connection.

        Raises:
            WaitTimeout: none came in time.
            LimitExceeded: no descriptor or handle is left; the connection stays in the backlog.
            ClosedError: the listener was closed.
        """
        return self._accept(self._timeout)

    def _accept(self, timeout: float | None) -> Stream:
        native = self._native.try_accept()
        if native is not None:
            return Stream(native)
        if timeout == 0:
            raise _errors.would_block("accept")
        started, deadline = time.monotonic(), deadline_after(timeout)
        while native is None:
            if not until_ready(self._native, _native.READABLE, deadline):
                elapsed = time.monotonic() - started
                raise _errors.timed_out("accept", self.getsockname(), elapsed)
            native = self._native.try_accept()
        return Stream(native)

    def serve(self, app: WsgiApp, *, max_connections: int = 64, idle_timeout: float = 60.0) -> None:
        """Serves a WSGI application on every connection, by HTTP/1, until the listener is closed.

        Then connections that wait for a request are closed, and answers that are under way are finished.
        What the application raises is logged, and is a 500, or a reset where its answer had begun.
        h11 reads and writes HTTP: ``pip install 'trunkline[serve]'``.

        Args:
            app: what PEP 3333 describes; it is called on several threads at once.
            max_connections: connections at one time, each with a thread. Where all places are taken, one that
                waits for a request for a second and more gives its own to the next.
            idle_timeout: seconds of silence after which a connection is closed; also the time for a head.

        Raises:
            ModuleNotFoundError: h11 is not installed.
        """
        from ._wsgi import serve_wsgi

        serve_wsgi(self, app, *_limits(max_connections, idle_timeout))

    def settimeout(self, timeout: float | None, /) -> None:
        """Seconds that :meth:`accept` may wait; ``None`` is no limit, 0 means that it only tries."""
        if timeout is not None and not timeout >= 0:
            raise _errors.invalid("timeout: must not be negative")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """Seconds that :meth:`accept` may wait, ``None`` for no limit."""
        return self._timeout

    def close(self) -> None:
        """Stops listening; whoever waits in :meth:`accept` gets :class:`ClosedError`. Idempotent."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncListener(_ListenerBase):
    """The twin of :class:`Listener` for asyncio."""

    __slots__ = ()

    async def accept(self) -> AsyncStream:
        """The next connection. Cancelling it loses none.

        Raises:
            LimitExceeded: no descriptor or handle is left; the connection stays in the backlog.
            ClosedError: the listener was closed.
        """
        while (native := self._native.try_accept()) is None:
            await _hub.current().ready(self._native, _native.READABLE)
        return AsyncStream(native)

    async def serve(self, app: AsgiApp, *, max_connections: int = 64, idle_timeout: float = 60.0) -> None:
        """Serves an ASGI application on every connection, by HTTP/1, until the listener is closed.

        Then connections that wait for a request are closed, and answers that are under way are finished.
        What the application raises is logged, and is a 500, or a reset where its answer had begun.
        h11 reads and writes HTTP: ``pip install 'trunkline[serve]'``.

        Args:
            app: what ASGI 3 describes: HTTP and lifespan.
            max_connections: connections at one time. Where all places are taken, one that waits for a
                request for a second and more gives its own to the next.
            idle_timeout: seconds of silence after which a connection is closed; also the time for a head.

        Raises:
            RuntimeError: the application says that it cannot start.
            ModuleNotFoundError: h11 is not installed.
        """
        from ._asgi import serve_asgi

        await serve_asgi(self, app, *_limits(max_connections, idle_timeout))

    async def aclose(self) -> None:
        """Stops listening; tasks that wait in :meth:`accept` get :class:`ClosedError`. Idempotent."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def listen(address: str, *, backlog: int = 1024, tls: Tls | None = None) -> Listener:
    """Listens on ``"tcp://host:port"``, ``"tls://host:port"``, ``"unix:/path"`` or ``"mem:name"``.

    Port 0 means a free one. A Unix socket file gets mode 0600 and goes away with the listener. Handshakes of
    TLS are taken as connections come, beside each other, and ``accept`` gives those that went well.

    Args:
        address: where.
        backlog: connections that may wait to be accepted; the system may allow fewer.
        tls: secures a ``tls://`` address, which needs one with a server's side.

    Raises:
        BindError: the address could not be bound.
        ConfigError: the address is none.
    """
    return Listener(_native.listen(address, _checked(backlog), native_of(tls)))


async def async_listen(address: str, *, backlog: int = 1024, tls: Tls | None = None) -> AsyncListener:
    """The twin of :func:`listen`."""
    # A thread, as a host name may have to be looked up.
    native = await asyncio.to_thread(_native.listen, address, _checked(backlog), native_of(tls))
    return AsyncListener(native)


def _checked(backlog: int) -> int:
    if not 1 <= backlog <= 65535:
        raise _errors.invalid("backlog: must be within 1 and 65535")
    return backlog


def _limits(max_connections: int, idle_timeout: float) -> tuple[int, float]:
    if not max_connections >= 1:
        raise _errors.invalid(f"max_connections: must be at least 1, is {max_connections}")
    if not idle_timeout > 0:
        raise _errors.invalid(f"idle_timeout: must be more than 0, is {idle_timeout}")
    return max_connections, idle_timeout
