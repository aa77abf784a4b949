"""Memory proxies: they serve HTTP on listeners, and pass each request on to a service."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from . import _hub, _native
from ._document import text_of
from ._manager import _drained
from ._proxy_config import MemoryProxyConfig
from ._proxy_hooks import Hooks, LoopHooks, ThreadHooks
from ._stream import close_native
from ._tls import native_of
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from ._listener import AsyncListener, Listener
    from ._proxy_hooks import (
        AsyncCertificateProvider,
        AsyncRequestProcessor,
        AsyncRouter,
        CertificateProvider,
        RequestProcessor,
        Router,
    )
    from ._tls import Tls

__all__ = ["AsyncMemoryProxy", "MemoryProxy", "MemoryProxyStats"]


@dataclass(frozen=True, slots=True)
class MemoryProxyStats:
    """The counts of a memory proxy, of one moment: ``opened == active + closed``.

    ``requests`` were answered, ``denied`` of them by the proxy itself. ``upgraded`` connections went on with
    another protocol. ``hooks_failed`` questions to hooks have no answer.
    """

    active: int
    limit: int
    opened: int
    closed: int
    requests: int
    denied: int
    upgraded: int
    handshakes_failed: int
    hooks_failed: int
    bytes_received: int
    bytes_sent: int


class _MemoryProxyBase:
    """What proxies for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native", "_questions", "_served")

    def _make(
        self,
        config: MemoryProxyConfig | str | None,
        tls: Tls | None,
        hooks: Hooks,
        ask: Callable[[], ThreadHooks | LoopHooks],
    ) -> None:
        self._closed = True
        which = hooks.which()
        self._questions = ask() if which else None
        queue, tag = (self._questions.queue, self._questions.tag) if self._questions else (None, 0)
        try:
            document = text_of(config, MemoryProxyConfig)
            self._native = _native.MemoryProxy(document, native_of(tls), which, queue, tag)
        except BaseException:
            if self._questions is not None:
                self._questions.stop()
            raise
        self._closed = False
        # A listener that nobody can reach would be closed.
        self._served: list[Listener | AsyncListener] = []

    def _serve(self, listener: Listener | AsyncListener) -> None:
        self._native.serve(listener._native)
        self._served = [one for one in self._served if not one._closed] + [listener]

    def stats(self) -> MemoryProxyStats:
        """The counts of this moment, also once it is closed."""
        return MemoryProxyStats(*self._native.stats())

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a memory proxy belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._native.is_inherited():
            return
        if self._questions is not None:
            self._questions.abandon()
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _draining(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.drain(deadline, queue, tag)

    def _end(self) -> None:
        self._closed = True
        close_native(self._native.close)
        for listener in self._served:
            listener._close()
        self._served = []

    def _stop_asking(self) -> None:
        if self._questions is not None:
            self._questions.stop()


class MemoryProxy(_MemoryProxyBase):
    """Serves HTTP/1, HTTP/2, HTTPS and upgrades from them, and passes each request on to a service that its
    configuration or its router names. Any thread may use it at any time.

    The listener may be any; that of an :class:`Agent` makes a service of what is behind the agent, without a
    socket between the tunnel and the proxy. What a client begins with tells what is spoken.

    The hooks are called in threads of their own, at most 16 at once. What they raise is logged, and is a 500;
    no answer within ``hook_timeout`` is a 504: nothing of the request goes anywhere then.

    Args:
        config: figures and routes, as fields or as a JSON document; what is unset has its documented default.
        tls: who the proxy is to clients of TLS, by its server's side, and whom it trusts at ``tls://``
            addresses.
        router: says where a request goes, before the routes of the configuration: a :class:`ProxyTarget`, a
            :class:`ProxyRefusal`, or ``None`` for where they say.
        request_processor: says whether a request may go to a target, and with which fields: a
            :class:`FieldChanges`, a :class:`ProxyRefusal`, or ``None`` for as it is.
        certificate_provider: says what a client of TLS is shown: a :class:`TlsCertificate`, ``REFUSE``, or
            ``None`` for that of ``tls``.

    Raises:
        ConfigError: a figure is out of its range.
    """

    __slots__ = ()

    def __init__(
        self,
        config: MemoryProxyConfig | str | None = None,
        *,
        tls: Tls | None = None,
        router: Router | None = None,
        request_processor: RequestProcessor | None = None,
        certificate_provider: CertificateProvider | None = None,
    ) -> None:
        hooks = Hooks(router, request_processor, certificate_provider)
        self._make(config, tls, hooks, lambda: ThreadHooks(hooks))

    def serve(self, listener: Listener) -> None:
        """Serves what comes to ``listener``, in the background, until that is closed.

        It is closed when the proxy ends. This does not wait. Nobody else should accept from the listener.

        Raises:
            ClosedError: the proxy was drained or closed, or the listener is closed.
        """
        self._serve(listener)

    def drain(self, timeout: float | None = None) -> int:
        """Closes the listeners and waits until every request is answered; at the timeout cuts the rest.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many connections were cut.
        """
        return _drained(until_done(self._draining(timeout)))

    def close(self) -> None:
        """Closes the listeners and ends every connection. Idempotent; a child leaves the parent's alone."""
        self._end()
        self._stop_asking()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncMemoryProxy(_MemoryProxyBase):
    """The twin of :class:`MemoryProxy` for asyncio.

    Its hooks may be coroutine functions, and run in the loop that it was made in, each call in a task.
    """

    __slots__ = ()

    def __init__(
        self,
        config: MemoryProxyConfig | str | None = None,
        *,
        tls: Tls | None = None,
        router: AsyncRouter | None = None,
        request_processor: AsyncRequestProcessor | None = None,
        certificate_provider: AsyncCertificateProvider | None = None,
    ) -> None:
        hooks = Hooks(router, request_processor, certificate_provider)
        self._make(config, tls, hooks, lambda: LoopHooks(hooks))

    async def serve(self, listener: AsyncListener) -> None:
        """Serves what comes to ``listener``, in the background, until that is closed.

        It is closed when the proxy ends. This does not wait. Nobody else should accept from the listener.

        Raises:
            ClosedError: the proxy was drained or closed, or the listener is closed.
        """
        self._serve(listener)

    async def drain(self, timeout: float | None = None) -> int:
        """Closes the listeners and waits until every request is answered; at the timeout cuts the rest.

        Cancelled, nothing new is taken, and what stands goes on.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many connections were cut.
        """
        return _drained(await _hub.current().result(self._draining(timeout)))

    async def aclose(self) -> None:
        """Closes the listeners and ends every connection. Idempotent."""
        await asyncio.to_thread(self._end)
        self._stop_asking()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
