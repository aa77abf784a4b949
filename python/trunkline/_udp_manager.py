"""UDP connection managers: they relay datagrams by session, and never exceed their limits."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from . import _errors, _hub, _native
from ._datagram import AsyncDatagram, Datagram
from ._document import text_of
from ._manager import _drained
from ._stream import close_native
from ._types import CloseReason, Never
from ._udp_config import UdpManagerConfig
from ._wait import NO_DEADLINE, deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AsyncUdpConnectionManager",
    "DropReason",
    "LiveUdpConnection",
    "UdpConnectionManager",
    "UdpManagerStats",
]


class DropReason(IntEnum):
    """Why a datagram was not delivered."""

    TRUNCATED = 1
    TOO_LONG = 2
    BUFFER_FULL = 3
    SESSION_TABLE_FULL = 4
    EARLY_QUEUE_FULL = 5
    AMPLIFICATION = 6
    CONNECT_FAILED = 7
    SESSION_CLOSED = 8
    DRAINING = 9
    SEND_FAILED = 10


@dataclass(frozen=True, slots=True)
class UdpManagerStats:
    """The counts of a UDP manager, of one moment.

    ``opened == active + closed`` and ``active == verified + unverified``. Datagrams and bytes are those
    between the clients and the manager. ``refused`` counts how often a destination let us know that nobody
    takes datagrams there: the session goes on.
    """

    active: int
    verified: int
    unverified: int
    limit: int
    opened: int
    closed: int
    datagrams_received: int
    datagrams_sent: int
    bytes_received: int
    bytes_sent: int
    refused: int
    receive_pauses: int
    dropped: int
    closed_by_reason: Mapping[CloseReason, int]
    dropped_by_reason: Mapping[DropReason, int]


@dataclass(frozen=True, slots=True)
class LiveUdpConnection:
    """A session that stands, as it was seen at one moment."""

    id: int
    source: str
    local: str
    destination: str
    verified: bool
    age: timedelta
    datagrams_received: int
    datagrams_sent: int
    bytes_received: int
    bytes_sent: int


class _UdpManagerBase:
    """What managers for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, config: UdpManagerConfig | Mapping[str, Any] | str | None = None) -> None:
        self._native = _native.UdpManager(text_of(config, UdpManagerConfig))
        self._closed = False

    def stats(self) -> UdpManagerStats:
        """The counts of this moment, also once it is closed."""
        counts: dict[str, Any] = self._native.stats()
        closed = {reason: counts.pop(f"closed_{reason.name.lower()}", 0) for reason in CloseReason}
        dropped = {reason: counts.pop(f"dropped_{reason.name.lower()}") for reason in DropReason}
        return UdpManagerStats(
            **counts,
            closed_by_reason=MappingProxyType(closed),
            dropped_by_reason=MappingProxyType(dropped),
        )

    def live(self) -> list[LiveUdpConnection]:
        """The sessions that stand, in the order in which they began."""
        return [_live(one) for one in json.loads(self._native.live())]

    def kill(self, id: int) -> None:
        """Ends the session with this number. Its client's next datagram begins a new one.

        Raises:
            UdpError: no session that stands has this number.
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
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _draining(self, timeout: float | None) -> Callable[[_native.Queue, int], _native.Operation]:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.drain(deadline, queue, tag)


class UdpConnectionManager(_UdpManagerBase):
    """Relays datagrams by session, and counts them. Any thread may use it at any time.

    Its limits are never exceeded: when every place is taken, an unverified session makes room for a new one,
    and a verified one never does.

    Args:
        config: figures; what is unset has its documented default.

    Raises:
        ConfigError: a figure is out of its range.
    """

    __slots__ = ()

    def bind(self, address: str) -> Datagram:
        """Like :func:`trunkline.bind`; the socket closes with the manager."""
        return Datagram(self._native.bind(address))

    def relay(self, listen: str, destination: str, *, idle_timeout: timedelta | Never | None = None) -> str:
        """Relays what comes to ``listen`` to ``destination`` and back, in the background.

        Each source has a session with its own socket to the destination, and gets its answers from the
        address that it sent to.

        Args:
            listen: where, as ``"udp://0.0.0.0:53"``.
            destination: where to, as ``"udp://dns.internal:53"``.
            idle_timeout: silence after which a verified session of this relay ends; ``None`` is as
                configured.

        Returns:
            The address that is bound; a port 0 has become the real one.
        """
        return self._native.relay(listen, destination, _nanoseconds(idle_timeout))

    def drain(self, timeout: float | None = None) -> int:
        """Lets no new session begin, waits until those that stand are silent, at the timeout cuts the rest.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(until_done(self._draining(timeout)))

    def close(self) -> None:
        """Closes everything, the sockets that it made included. Idempotent.

        In a forked child it leaves the parent's sockets alone.
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


class AsyncUdpConnectionManager(_UdpManagerBase):
    """The twin of :class:`UdpConnectionManager` for asyncio."""

    __slots__ = ()

    async def bind(self, address: str) -> AsyncDatagram:
        """Like :func:`trunkline.async_bind`; the socket closes with the manager."""
        return AsyncDatagram(await asyncio.to_thread(self._native.bind, address))

    async def relay(
        self, listen: str, destination: str, *, idle_timeout: timedelta | Never | None = None
    ) -> str:
        """Relays what comes to ``listen`` to ``destination`` and back, in the background.

        Returns:
            The address that is bound; a port 0 has become the real one.
        """
        limit = _nanoseconds(idle_timeout)
        return await asyncio.to_thread(self._native.relay, listen, destination, limit)

    async def drain(self, timeout: float | None = None) -> int:
        """Lets no new session begin, waits until those that stand are silent, at the timeout cuts the rest.

        Cancelled, those that stand go on.

        Args:
            timeout: seconds; ``None`` means the configured ``drain_timeout``.

        Returns:
            How many were cut.
        """
        return _drained(await _hub.current().result(self._draining(timeout)))

    async def aclose(self) -> None:
        """Closes everything, the sockets that it made included. Idempotent."""
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


def _live(one: dict[str, Any]) -> LiveUdpConnection:
    return LiveUdpConnection(age=timedelta(microseconds=one.pop("age_ns") / 1000), **one)


def _nanoseconds(limit: timedelta | Never | None) -> int:
    """As the native module takes a limit: 0 is unset."""
    if limit is None:
        return 0
    if isinstance(limit, Never):
        return NO_DEADLINE
    if limit <= timedelta(0):
        raise _errors.invalid("idle_timeout: must be more than zero")
    return limit // timedelta(microseconds=1) * 1000
