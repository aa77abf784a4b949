"""Hubs: they let agents in, and open connections to the clusters behind them."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from . import _hub, _native
from ._async_stream import AsyncStream
from ._manager import _drained
from ._open import stream_of
from ._stream import Stream, close_native
from ._tls import native_of
from ._tunnel_config import document_of
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from ._tls import Tls
    from ._tunnel_config import HubConfig

__all__ = ["AsyncHub", "Hub", "HubStats"]


@dataclass(frozen=True, slots=True)
class HubStats:
    """The counts of a hub, of one moment: ``opened == active + closed``.

    ``clusters`` have an agent, over ``links`` that may get new connections; ``links_opened`` stood so far,
    ``links_refused`` were turned away, and ``replaced`` lost their place to another agent of the cluster. The
    rest are logical connections; ``refused`` dials led to none.
    """

    clusters: int
    links: int
    links_opened: int
    links_refused: int
    replaced: int
    active: int
    limit: int
    opened: int
    closed: int
    refused: int
    bytes_received: int
    bytes_sent: int


class _HubBase:
    """What hubs for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, config: HubConfig | None = None, *, tls: Tls | None = None) -> None:
        self._native = _native.Hub("" if config is None else document_of(config), native_of(tls))
        self._closed = False

    def stats(self) -> HubStats:
        """The counts of this moment, also once it is closed."""
        return HubStats(*self._native.stats())

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a hub belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._native.is_inherited():
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _dialling(
        self, cluster: str, target: str | None, timeout: float | None
    ) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.dial(cluster, target or "", deadline, queue, tag)

    def _draining(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.drain(deadline, queue, tag)


class Hub(_HubBase):
    """Opens connections to clusters through the agents that dialled it. Any thread may use it at any time.

    Args:
        config: figures; what is unset has its documented default, by which nobody is let in.
        tls: secures ``tls://`` addresses that it listens on.

    Raises:
        ConfigError: a figure is out of its range.
    """

    __slots__ = ()

    def listen(self, address: str) -> str:
        """Lets agents in at ``address``, in the background.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: tokens would cross a network in the clear, or ``tls`` has no server's side.
            BindError: the address could not be bound.
        """
        return self._native.listen(address)

    def listen_http(self, address: str) -> str:
        """Serves users who speak HTTP at ``address``, in the background, by the routes of the configuration.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: there are no routes, or secrets or anonymous clusters would be in reach of others.
            BindError: the address could not be bound.
        """
        return self._native.listen_http(address)

    def listen_socks(self, address: str) -> str:
        """Serves users who speak SOCKS5, CONNECT alone, at ``address``, in the background.

        Who they are is told by a name of ``users`` with a token as the password, or by a certificate; what
        the host means that they ask for, by ``socks``.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: secrets or anonymous clusters would be in reach of others.
            BindError: the address could not be bound.
        """
        return self._native.listen_socks(address)

    def forward(self, listen: str, cluster: str, target: str | None = None) -> str:
        """Carries every connection to ``listen`` to the cluster, in the background.

        Args:
            listen: where; on loopback, unless ``allow_public_forwards`` is set: nobody is asked who it is.
            cluster: whose agent.
            target: what the agent is to dial; ``None`` leaves it to the agent.

        Returns:
            The address that is listened on; a port 0 has become the real one.
        """
        return self._native.forward(listen, cluster, target or "")

    def dial(self, cluster: str, target: str | None = None, *, timeout: float | None = None) -> Stream:
        """Opens a connection to the cluster; it stands once the agent has accepted it.

        Args:
            cluster: whose agent.
            target: what the agent is to dial; ``None`` leaves it to the agent.
            timeout: seconds; ``None`` means the configured ``dial_timeout``.

        Raises:
            ConnectError: no agent is there, nobody listens at it, or the target was not reached.
            ConfigError: no cluster's name, or a target that the agent does not allow.
            LimitExceeded: a limit of the hub, the cluster or the agent.
        """
        started = time.monotonic()
        return Stream(stream_of(until_done(self._dialling(cluster, target, timeout)), started))

    def drain(self, timeout: float | None = None) -> int:
        """Lets no agent and no connection in and waits for what stands; at the timeout cuts the rest.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(until_done(self._draining(timeout)))

    def close(self) -> None:
        """Ends every listener, tunnel and connection. Idempotent.

        In a forked child it leaves the parent's alone.
        """
        self._closed = True
        close_native(self._native.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncHub(_HubBase):
    """The twin of :class:`Hub` for asyncio."""

    __slots__ = ()

    async def listen(self, address: str) -> str:
        """Lets agents in at ``address``, in the background.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: tokens would cross a network in the clear.
            BindError: the address could not be bound.
        """
        return await asyncio.to_thread(self._native.listen, address)

    async def listen_http(self, address: str) -> str:
        """Serves users who speak HTTP at ``address``, in the background, by the routes of the configuration.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: there are no routes, or secrets or anonymous clusters would be in reach of others.
            BindError: the address could not be bound.
        """
        return await asyncio.to_thread(self._native.listen_http, address)

    async def listen_socks(self, address: str) -> str:
        """Serves users who speak SOCKS5, CONNECT alone, at ``address``, in the background.

        Who they are is told by a name of ``users`` with a token as the password, or by a certificate; what
        the host means that they ask for, by ``socks``.

        Returns:
            The address that is listened on; a port 0 has become the real one.

        Raises:
            ConfigError: secrets or anonymous clusters would be in reach of others.
            BindError: the address could not be bound.
        """
        return await asyncio.to_thread(self._native.listen_socks, address)

    async def forward(self, listen: str, cluster: str, target: str | None = None) -> str:
        """Carries every connection to ``listen`` to the cluster, in the background.

        Args:
            listen: where; on loopback, unless ``allow_public_forwards`` is set: nobody is asked who it is.
            cluster: whose agent.
            target: what the agent is to dial; ``None`` leaves it to the agent.

        Returns:
            The address that is listened on; a port 0 has become the real one.
        """
        return await asyncio.to_thread(self._native.forward, listen, cluster, target or "")

    async def dial(
        self, cluster: str, target: str | None = None, *, timeout: float | None = None
    ) -> AsyncStream:
        """Opens a connection to the cluster; it stands once the agent has accepted it.

        Args:
            cluster: whose agent.
            target: what the agent is to dial; ``None`` leaves it to the agent.
            timeout: seconds; ``None`` means the configured ``dial_timeout``.

        Raises:
            ConnectError: no agent is there, nobody listens at it, or the target was not reached.
            ConfigError: no cluster's name, or a target that the agent does not allow.
            LimitExceeded: a limit of the hub, the cluster or the agent.
        """
        started = time.monotonic()
        event = await _hub.current().result(self._dialling(cluster, target, timeout))
        return AsyncStream(stream_of(event, started))

    async def drain(self, timeout: float | None = None) -> int:
        """Lets no agent and no connection in and waits for what stands; at the timeout cuts the rest.

        Cancelled, nobody is let in, and what stands goes on.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(await _hub.current().result(self._draining(timeout)))

    async def aclose(self) -> None:
        """Ends every listener, tunnel and connection. Idempotent."""
        self._closed = True
        await asyncio.to_thread(close_native, self._native.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
