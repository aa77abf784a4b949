"""Agents: they dial out to their hubs, stand for a cluster there, and serve what the hubs open."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from . import _hub, _native
from ._listener import AsyncListener, Listener
from ._manager import _drained
from ._stream import close_native
from ._tls import native_of
from ._tunnel_config import document_of
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from ._tls import Tls
    from ._tunnel_config import AgentConfig
    from ._types import Event

__all__ = ["Agent", "AgentStats", "AsyncAgent", "CommPathStats", "MemoryCommStats"]


@dataclass(frozen=True, slots=True)
class AgentStats:
    """The counts of an agent, of one moment: ``opened == active + closed``.

    ``links`` to hubs stand, ``links_opened`` stood so far, ``links_failed`` never did, and ``replaced`` lost
    their place to another agent of the cluster. The rest are logical connections; ``refused`` were not
    opened.
    """

    links: int
    links_opened: int
    links_failed: int
    replaced: int
    active: int
    limit: int
    opened: int
    closed: int
    refused: int
    bytes_received: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class CommPathStats:
    """The counts of one way between an agent and its listener: ``opened == active + closed``.

    ``fallbacks`` went this way because the other one could not take them, and ``failed`` could not go this
    way. ``bytes_received`` came from the host, ``bytes_sent`` went to it.
    """

    active: int
    opened: int
    closed: int
    fallbacks: int
    failed: int
    bytes_received: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class MemoryCommStats:
    """The two ways between an agent and its listener, side by side; all zero where none is used.

    ``memory_share`` of new connections, from 0 to 1, go by ``memory``, a pipe; the others over ``socket``.
    """

    memory_share: float
    memory: CommPathStats
    socket: CommPathStats


class _AgentBase:
    """What agents for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, config: AgentConfig, *, tls: Tls | None = None) -> None:
        self._native = _native.Agent(document_of(config), native_of(tls))
        self._closed = False

    def stats(self) -> AgentStats:
        """The counts of this moment, also once it is closed."""
        return AgentStats(*self._native.stats())

    def use_memory_comm(self, share: float = 1.0) -> None:
        """Lets ``share`` of the connections to come go by a pipe, the others over a Unix socket.

        Those that stand stay as they are.

        Args:
            share: from 0 to 1; 1 is ``use_memory_comm`` of the configuration, 0 its absence.

        Raises:
            ConfigError: it is not within 0 and 1, or the configuration has neither ``memory_comm`` nor
                ``use_memory_comm``, so that connections come as they are.
        """
        self._native.use_memory_comm(share)

    def memory_comm_stats(self) -> MemoryCommStats:
        """The counts of both ways to the listener, also once it is closed."""
        share, memory, socket = self._native.memory_comm_stats()
        return MemoryCommStats(share, CommPathStats(*memory), CommPathStats(*socket))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an agent belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._native.is_inherited():
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _getting_ready(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.wait_ready(deadline, queue, tag)

    def _draining(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.drain(deadline, queue, tag)


class Agent(_AgentBase):
    """Stands for a cluster at its hubs. Any thread may use it at any time.

    It connects in the background from its beginning, and again with backoff whenever a tunnel is lost.

    Args:
        config: figures; what is unset has its documented default.
        tls: secures ``tls://`` addresses of hubs and targets; its client certificate can be what proves the
            cluster's name.

    Raises:
        ConfigError: a figure is out of its range.
    """

    __slots__ = ()

    def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until a tunnel to any hub stands.

        Raises:
            ConnectTimeout: none stood in time; its cause says why the last attempt failed.
            ClosedError: the agent was drained or closed.
        """
        _done(until_done(self._getting_ready(timeout)))

    def listener(self) -> Listener:
        """The listener that accepts the connections that name no target: one at a time.

        Connections wait for it from the agent's beginning.

        Raises:
            BindError: another one is open.
            ConfigError: ``forward`` is set.
        """
        return Listener(self._native.listener())

    def drain(self, timeout: float | None = None) -> int:
        """Lets the hubs open nothing new and waits for what stands; at the timeout cuts the rest.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(until_done(self._draining(timeout)))

    def close(self) -> None:
        """Ends every tunnel and connection. Idempotent; in a forked child it leaves the parent's alone."""
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


class AsyncAgent(_AgentBase):
    """The twin of :class:`Agent` for asyncio."""

    __slots__ = ()

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Waits until a tunnel to any hub stands.

        Raises:
            ConnectTimeout: none stood in time; its cause says why the last attempt failed.
            ClosedError: the agent was drained or closed.
        """
        _done(await _hub.current().result(self._getting_ready(timeout)))

    async def listener(self) -> AsyncListener:
        """The listener that accepts the connections that name no target: one at a time.

        Connections wait for it from the agent's beginning.

        Raises:
            BindError: another one is open.
            ConfigError: ``forward`` is set.
        """
        return AsyncListener(self._native.listener())

    async def drain(self, timeout: float | None = None) -> int:
        """Lets the hubs open nothing new and waits for what stands; at the timeout cuts the rest.

        Cancelled, nothing new is opened, and what stands goes on.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(await _hub.current().result(self._draining(timeout)))

    async def aclose(self) -> None:
        """Ends every tunnel and connection. Idempotent."""
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


def _done(event: Event) -> None:
    """Raises what the operation failed with."""
    _, _, _, error, _ = event
    if error is not None:
        raise error
