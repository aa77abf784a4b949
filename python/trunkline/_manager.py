"""TCP connection managers: they make, accept, run and count connections, and never exceed their limit."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import _hub, _native
from ._async_stream import AsyncStream
from ._check_callback import AsyncCheckCallback, CheckCallback, LoopChecks, ThreadChecks
from ._document import text_of
from ._endpoints import endpoints_of
from ._listener import AsyncListener, Listener
from ._open import stream_of
from ._route_callback import AsyncRouteCallback, LoopRoutes, RouteCallback, ThreadRoutes
from ._stream import Stream, close_native
from ._tcp_config import TcpManagerConfig
from ._tls import native_of
from ._types import CloseReason, Event
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from ._endpoints import LiveEndpoint
    from ._jobs import LoopJobs, ThreadJobs
    from ._tls import Tls

__all__ = ["AsyncTcpConnectionManager", "LiveTcpConnection", "ManagerStats", "TcpConnectionManager"]


@dataclass(frozen=True, slots=True)
class ManagerStats:
    """The counts of a manager, of one moment: ``opened == active + closed``.

    A relayed connection counts once: it is accepted, and its bytes are counted as they come in from the
    client and go out to the client. ``bytes_spliced`` are those that relays let the kernel move without
    copying, both ways together. ``waiting`` of those that are active stand in line for a place of their
    backend.
    """

    active: int
    waiting: int
    limit: int
    opened: int
    closed: int
    accepted: int
    dialled: int
    bytes_received: int
    bytes_sent: int
    bytes_spliced: int
    accept_pauses: int
    closed_by_reason: Mapping[CloseReason, int]


@dataclass(frozen=True, slots=True)
class LiveTcpConnection:
    """A connection that stands, as it was seen at one moment; ``None`` is not known or does not apply.

    Attributes:
        id: its number, for :meth:`TcpConnectionManager.kill`.
        source: who asked for it, as a proxy in front announced it where one did.
        local: our end of it.
        destination: where its bytes go, once that is reached.
        backend: the one that the routes chose for it.
        protocol: what its first bytes speak, where they were looked at and it could be told.
        state: ``"held"`` by the program, which accepted or dialled it, ``"reaching"`` its destination,
            ``"waiting"`` in line for a place of its backend, or ``"relaying"``.
        age: since when it stands.
        idle: how long no byte has moved either way, while it is relayed.
        bytes_received: from its peer, the client of one that is relayed.
        bytes_sent: to its peer.
    """

    id: int
    source: str | None
    local: str | None
    destination: str | None
    backend: str | None
    protocol: str | None
    state: Literal["held", "reaching", "waiting", "relaying"]
    age: timedelta
    idle: timedelta | None
    bytes_received: int
    bytes_sent: int


class _ManagerBase:
    """What managers for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_checks", "_closed", "_native", "_routes")

    def __init__(
        self,
        config: TcpManagerConfig | Mapping[str, Any] | str | None = None,
        *,
        tls: Tls | None = None,
    ) -> None:
        self._routes: ThreadJobs | LoopJobs | None = None
        self._checks: ThreadJobs | LoopJobs | None = None
        self._native = _native.TcpManager(text_of(config, TcpManagerConfig), native_of(tls))
        self._closed = False

    def stats(self) -> ManagerStats:
        """The counts of this moment, also once it is closed."""
        counts, ways, traffic, accept_pauses, reasons = self._native.stats()
        active, limit, opened, closed = counts
        return ManagerStats(
            active=active,
            waiting=ways[2],
            limit=limit,
            opened=opened,
            closed=closed,
            accepted=ways[0],
            dialled=ways[1],
            bytes_received=traffic[0],
            bytes_sent=traffic[1],
            bytes_spliced=traffic[2],
            accept_pauses=accept_pauses,
            closed_by_reason=MappingProxyType(dict(zip(CloseReason, reasons, strict=True))),
        )

    def reconfigure(self, config: TcpManagerConfig | Mapping[str, Any] | str) -> None:
        """Goes by another configuration from now on, and drops no connection for it: all of it or nothing.

        Connections that stand keep their server, their timeouts, their rates and what their sockets were
        told. A lower limit ends nothing; no more are let in until enough have ended.

        Args:
            config: the whole of it; what is unset has its default.

        Raises:
            ConfigError: a figure is out of its range, or a field cannot change: once it is started, the
                names and addresses of its listeners.
            ClosedError: it drains or is closed.
        """
        self._native.reconfigure(text_of(config, TcpManagerConfig))

    def live(self, after: int = 0, max: int = 1000) -> list[LiveTcpConnection]:
        """Connections that stand, in the order in which they began.

        Args:
            after: those with a number above this one.
            max: that many at most, 1 to 10,000. A shorter list is the last; the number of the last in it, for
                ``after``, begins the next.
        """
        return [_live(one) for one in json.loads(self._native.live(after, max))]

    def inspect(self, id: int) -> LiveTcpConnection:
        """The connection with this number.

        Raises:
            NotFoundError: no connection that stands has this number.
        """
        return _live(json.loads(self._native.inspect(id)))

    def endpoints(self) -> list[LiveEndpoint]:
        """The endpoints of every backend, as they are now: by the names of the backends, and in the order in
        which they are configured; those of a name are its addresses.
        """
        return endpoints_of(self._native.endpoints())

    def kill(self, id: int) -> None:
        """Ends the connection with this number, on both sides where it is relayed: then soon after the call.

        Raises:
            NotFoundError: no connection that stands has this number.
        """
        self._native.kill(id)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a manager belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._native.is_inherited():
            return
        for asked in (self._routes, self._checks):
            if asked is not None:
                asked.abandon()
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _ask_routes(self, routes: ThreadJobs | LoopJobs | None) -> None:
        """Has these be asked where connections go, from now on."""
        _register(self._native.on_route, routes)
        last, self._routes = self._routes, routes
        if last is not None:
            last.stop()

    def _ask_checks(self, checks: ThreadJobs | LoopJobs | None) -> None:
        """Has these be asked how endpoints are, from now on."""
        _register(self._native.on_check, checks)
        last, self._checks = self._checks, checks
        if last is not None:
            last.stop()

    def _ask_nobody(self) -> None:
        """For one that is closed."""
        last = (self._routes, self._checks)
        self._routes = self._checks = None
        for asked in last:
            if asked is not None and not self._native.is_inherited():
                asked.stop()

    def _connecting(
        self, address: str, timeout: float | None
    ) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.connect(address, deadline, queue, tag)

    def _draining(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.drain(deadline, queue, tag)


class TcpConnectionManager(_ManagerBase):
    """Makes, accepts, runs and counts connections. Any thread may use it at any time.

    Its limit is never exceeded: a connection that would is refused when it is dialled, and waits in the
    backlog when it comes in.

    Args:
        config: figures, listeners, routes and backends, as fields or as a JSON document; what is unset has
            its documented default.
        tls: secures ``tls://`` addresses that it connects to, listens on and relays.

    Raises:
        ConfigError: a figure is out of its range.
    """

    __slots__ = ()

    def connect(self, address: str, *, timeout: float | None = None) -> Stream:
        """Like :func:`trunkline.connect`, counted here.

        Raises:
            LimitExceeded: there are as many connections as may be.
        """
        started = time.monotonic()
        return Stream(stream_of(until_done(self._connecting(address, timeout)), started))

    def listen(self, address: str) -> Listener:
        """Like :func:`trunkline.listen`; what is accepted is counted here, and accepted within the limit."""
        return Listener(self._native.listen(address))

    def relay(self, listen: str, destination: str) -> str:
        """Accepts on ``listen`` and copies to and from ``destination``, in the background.

        Returns:
            The address that is listened on; a port 0 has become the real one.
        """
        return self._native.relay(listen, destination)

    def start(self) -> dict[str, str]:
        """Listens where the configuration says, and passes every connection on to the backend that its routes
        say, in the background. Either all listeners start or none.

        Returns:
            The address of each listener by its name; a port 0 has become the real one.

        Raises:
            BindError: an address cannot be listened on.
            ConfigError: it was started before, or an endpoint leads back to a listener.
        """
        return _addresses(self._native.start())

    def on_route(self, callback: RouteCallback | None) -> None:
        """Has ``callback`` say where each connection goes that is accepted for a listener of the
        configuration, from now on and before the routes; ``None`` ends that.

        It gets an :class:`Arrival` and returns the name of a backend, a :class:`ToAddress`, ``REFUSE``, or
        ``None`` for where the routes say. At most 16 of them run at once, in threads of their own. What it
        raises is logged. The routes decide then too, and where there is no answer within
        ``route_callback.timeout``, no such backend, or an address that leads back.

        Raises:
            ClosedError: it drains or is closed.
        """
        self._ask_routes(None if callback is None else ThreadRoutes(callback))

    def on_check(self, callback: CheckCallback | None) -> None:
        """Has ``callback`` say how each endpoint is of the backends whose ``health.check`` is a callback,
        from now on; ``None`` ends that.

        It gets a :class:`CheckQuestion`, once at a time for each endpoint. The endpoint passes, unless it
        returns ``False`` or raises; what it raises is the reason. At most 16 of them run at once, in threads
        of their own. Where there is no answer within ``health.timeout``, ``no_answer`` says what that means.

        Raises:
            ClosedError: it drains or is closed.
        """
        self._ask_checks(None if callback is None else ThreadChecks(callback))

    def drain(self, timeout: float | None = None) -> int:
        """Lets no new connection in and waits for those that stand; by the timeout cuts the rest.

        They are cut one after the other, in the part of that time that ``drain_spread`` says.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(until_done(self._draining(timeout)))

    def close(self) -> None:
        """Closes everything, the streams and listeners that it made included. Idempotent.

        In a forked child it leaves the parent's connections alone.
        """
        self._closed = True
        close_native(self._native.close)
        self._ask_nobody()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTcpConnectionManager(_ManagerBase):
    """The twin of :class:`TcpConnectionManager` for asyncio."""

    __slots__ = ()

    async def connect(self, address: str, *, timeout: float | None = None) -> AsyncStream:
        """Like :func:`trunkline.async_connect`, counted here.

        Raises:
            LimitExceeded: there are as many connections as may be.
        """
        started = time.monotonic()
        event = await _hub.current().result(self._connecting(address, timeout))
        return AsyncStream(stream_of(event, started))

    async def listen(self, address: str) -> AsyncListener:
        """Like :func:`trunkline.async_listen`; what is accepted is counted here, within the limit."""
        return AsyncListener(await asyncio.to_thread(self._native.listen, address))

    async def relay(self, listen: str, destination: str) -> str:
        """Accepts on ``listen`` and copies to and from ``destination``, in the background.

        Returns:
            The address that is listened on; a port 0 has become the real one.
        """
        return await asyncio.to_thread(self._native.relay, listen, destination)

    async def start(self) -> dict[str, str]:
        """Listens where the configuration says, and passes every connection on to the backend that its routes
        say, in the background. Either all listeners start or none.

        Returns:
            The address of each listener by its name; a port 0 has become the real one.

        Raises:
            BindError: an address cannot be listened on.
            ConfigError: it was started before, or an endpoint leads back to a listener.
        """
        return _addresses(await asyncio.to_thread(self._native.start))

    def on_route(self, callback: AsyncRouteCallback | None) -> None:
        """Has ``callback`` say where each connection goes that is accepted for a listener of the
        configuration, from now on and before the routes; ``None`` ends that.

        It gets an :class:`Arrival` and returns the name of a backend, a :class:`ToAddress`, ``REFUSE``, or
        ``None`` for where the routes say. It runs in this loop, each call in a task, and may be a coroutine
        function, which ``route_callback.timeout`` cancels. What it raises is logged. The routes decide then
        too, and where there is no answer in time, no such backend, or an address that leads back.

        Raises:
            ClosedError: it drains or is closed.
        """
        self._ask_routes(None if callback is None else LoopRoutes(callback))

    def on_check(self, callback: AsyncCheckCallback | None) -> None:
        """Has ``callback`` say how each endpoint is of the backends whose ``health.check`` is a callback,
        from now on; ``None`` ends that.

        It gets a :class:`CheckQuestion`, once at a time for each endpoint. The endpoint passes, unless it
        returns ``False`` or raises; what it raises is the reason. It runs in this loop, each call in a task,
        and may be a coroutine function, which ``health.timeout`` cancels. Where there is no answer in time,
        ``no_answer`` says what that means.

        Raises:
            ClosedError: it drains or is closed.
        """
        self._ask_checks(None if callback is None else LoopChecks(callback))

    async def drain(self, timeout: float | None = None) -> int:
        """Lets no new connection in and waits for those that stand; by the timeout cuts the rest.

        They are cut one after the other, in the part of that time that ``drain_spread`` says.

        Cancelled, nobody is let in, and those that stand go on.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(await _hub.current().result(self._draining(timeout)))

    async def aclose(self) -> None:
        """Closes everything, the streams and listeners that it made included. Idempotent."""
        self._closed = True
        await asyncio.to_thread(close_native, self._native.close)
        self._ask_nobody()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _register(
    register: Callable[[_native.Queue | None, int], None], asked: ThreadJobs | LoopJobs | None
) -> None:
    try:
        if asked is None:
            register(None, 0)
        else:
            register(asked.queue, asked.tag)
    except BaseException:
        if asked is not None:
            asked.stop()
        raise


def _live(one: dict[str, Any]) -> LiveTcpConnection:
    age, idle = one.pop("age_ns"), one.pop("idle_ns")
    return LiveTcpConnection(
        age=timedelta(microseconds=age / 1000),
        idle=None if idle is None else timedelta(microseconds=idle / 1000),
        **one,
    )


def _addresses(document: str) -> dict[str, str]:
    addresses: dict[str, str] = json.loads(document)
    return addresses


def _drained(event: Event) -> int:
    """How many connections a drain has cut, or the exception."""
    _, _, cut, error, _ = event
    if error is not None:
        raise error
    return cut
