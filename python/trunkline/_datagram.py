"""Datagram sockets: they send and receive datagrams on one local address."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

from . import _errors, _hub, _native
from ._stream import check_size, close_native, warn_leak
from ._wait import deadline_after, until_ready

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

__all__ = ["AsyncDatagram", "Datagram", "DatagramStats", "ReceivedDatagram", "async_bind", "bind"]

# As sockets of the standard library have it; IPv6 with flow information and zone.
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

# What no datagram exceeds.
_LONGEST = 65536


class ReceivedDatagram(NamedTuple):
    """One datagram: its bytes, who sent it, and which of our addresses it was sent to, if known."""

    data: bytes
    source: SocketAddress
    to: SocketAddress | None


@dataclass(frozen=True, slots=True)
class DatagramStats:
    """The counts of one socket, exact also after it was closed.

    ``truncated`` are those received that were longer than the buffer they were received into.
    """

    datagrams_received: int
    datagrams_sent: int
    truncated: int


class _DatagramBase:
    """What sockets for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native")

    def __init__(self, native: _native.Datagram, /) -> None:
        self._native = native
        self._closed = False

    def getsockname(self) -> SocketAddress:
        """The address that it is bound to; a port 0 has become the real one."""
        address = self._native.socket_address()
        assert address is not None, "a bound socket has an address"
        return address

    @property
    def address(self) -> str:
        """The same as text, such as ``"udp://127.0.0.1:53"``."""
        return self._native.address()

    def stats(self) -> DatagramStats:
        """The counts of this moment, also once it is closed."""
        received, sent, truncated = self._native.stats()
        return DatagramStats(datagrams_received=received, datagrams_sent=sent, truncated=truncated)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        try:
            address = self._native.address()
        except _errors.ForkedError:
            address = "of another process"
        return f"<{type(self).__qualname__} {address} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a socket belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warn_leak(self, self._native)
            self._closed = True

    def _close(self) -> None:
        self._closed = True
        close_native(self._native.close)

    def _try_send(self, data: Buffer, address: SocketAddress, source: str | None) -> bool:
        scope = address[3] if len(address) == 4 else 0
        return self._native.try_send_to(data, (address[0], address[1], scope), source)


class Datagram(_DatagramBase):
    """A UDP socket. Any thread may use it at any time.

    Waiting calls end at the timeout, which is ``None`` (wait without limit) at first.
    """

    __slots__ = ("_timeout",)

    def __init__(self, native: _native.Datagram, /) -> None:
        super().__init__(native)
        self._timeout: float | None = None

    def send_to(self, data: Buffer, address: SocketAddress, *, source: str | None = None) -> None:
        """Sends one datagram to ``address``, as ``("127.0.0.1", 53)``: an IP address, not a name.

        Args:
            data: its bytes.
            address: where to.
            source: the IP address of this host that it leaves from; ``None`` lets the system choose.

        Raises:
            WriteTimeout: the socket's buffer had no room in time.
            ConfigError: it is longer than the way there carries, or an address is none.
            ConnectError: there is no way there.
            ClosedError: the socket was closed.
        """
        if self._try_send(data, address, source):
            return
        started, deadline = self._start("write")
        while True:
            if not until_ready(self._native, _native.WRITABLE, deadline):
                raise _errors.timed_out("write", self.address, time.monotonic() - started)
            if self._try_send(data, address, source):
                return

    def recv_from(self, max_bytes: int = _LONGEST) -> tuple[bytes, SocketAddress]:
        """The next datagram, and who sent it.

        Raises:
            ReadTimeout: none came in time.
            UdpError: it has more than ``max_bytes``; the rest of it is lost.
            ClosedError: the socket was closed.
        """
        check_size(max_bytes)
        if (received := self._native.try_recv_from(max_bytes)) is not None:
            return received
        started, deadline = self._start("read")
        while received is None:
            self._wait(started, deadline)
            received = self._native.try_recv_from(max_bytes)
        return received

    def recv_from_into(self, buffer: Buffer, nbytes: int = 0) -> tuple[int, SocketAddress]:
        """Like :meth:`recv_from`, into ``buffer``: its first ``nbytes``, or all for 0. How many came."""
        check_size(nbytes)
        if (received := self._native.try_recv_from_into(buffer, nbytes)) is not None:
            return received
        started, deadline = self._start("read")
        with memoryview(buffer) as view:
            while received is None:
                self._wait(started, deadline)
                received = self._native.try_recv_from_into(view, nbytes)
        return received

    def recv_many(self, max_count: int = 32) -> list[ReceivedDatagram]:
        """The datagrams that are there, at least one and at most ``max_count``, of which 64 are the most.

        Raises:
            ReadTimeout: none came in time.
            ClosedError: the socket was closed.
        """
        _check_count(max_count)
        if (received := self._native.try_recv_many(max_count)) is not None:
            return [ReceivedDatagram(*one) for one in received]
        started, deadline = self._start("read")
        while received is None:
            self._wait(started, deadline)
            received = self._native.try_recv_many(max_count)
        return [ReceivedDatagram(*one) for one in received]

    def settimeout(self, timeout: float | None, /) -> None:
        """Seconds that a call may wait; ``None`` is no limit, 0 means that it only tries."""
        if timeout is not None and not timeout >= 0:
            raise _errors.invalid("timeout: must not be negative")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """Seconds that a call may wait, ``None`` for no limit."""
        return self._timeout

    def close(self) -> None:
        """Closes it; whoever waits on it gets :class:`ClosedError`. Idempotent.

        In a forked child it leaves the parent's socket alone.
        """
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

    def _start(self, step: str) -> tuple[float, int]:
        if self._timeout == 0:
            raise _errors.would_block(step)
        return time.monotonic(), deadline_after(self._timeout)

    def _wait(self, started: float, deadline: int) -> None:
        if not until_ready(self._native, _native.READABLE, deadline):
            raise _errors.timed_out("read", self.address, time.monotonic() - started)


class AsyncDatagram(_DatagramBase):
    """The twin of :class:`Datagram` for asyncio. A call that need not wait returns at once."""

    __slots__ = ()

    async def send_to(self, data: Buffer, address: SocketAddress, *, source: str | None = None) -> None:
        """Sends one datagram to ``address``, as ``("127.0.0.1", 53)``: an IP address, not a name.

        Raises:
            ConfigError: it is longer than the way there carries, or an address is none.
            ConnectError: there is no way there.
            ClosedError: the socket was closed.
        """
        while not self._try_send(data, address, source):
            await _hub.current().ready(self._native, _native.WRITABLE)

    async def recv_from(self, max_bytes: int = _LONGEST) -> tuple[bytes, SocketAddress]:
        """The next datagram, and who sent it. Cancelling it loses none.

        Raises:
            UdpError: it has more than ``max_bytes``; the rest of it is lost.
            ClosedError: the socket was closed.
        """
        check_size(max_bytes)
        while (received := self._native.try_recv_from(max_bytes)) is None:
            await _hub.current().ready(self._native, _native.READABLE)
        return received

    async def recv_from_into(self, buffer: Buffer, nbytes: int = 0) -> tuple[int, SocketAddress]:
        """Like :meth:`recv_from`, into ``buffer``: its first ``nbytes``, or all for 0. How many came."""
        check_size(nbytes)
        with memoryview(buffer) as view:
            while (received := self._native.try_recv_from_into(view, nbytes)) is None:
                await _hub.current().ready(self._native, _native.READABLE)
        return received

    async def recv_many(self, max_count: int = 32) -> list[ReceivedDatagram]:
        """The datagrams that are there, at least one and at most ``max_count``, of which 64 are the most.

        Raises:
            ClosedError: the socket was closed.
        """
        _check_count(max_count)
        while (received := self._native.try_recv_many(max_count)) is None:
            await _hub.current().ready(self._native, _native.READABLE)
        return [ReceivedDatagram(*one) for one in received]

    async def aclose(self) -> None:
        """Closes it; tasks that wait on it get :class:`ClosedError`. Idempotent, never waits."""
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


def bind(address: str) -> Datagram:
    """Binds a socket for datagrams to ``"udp://host:port"``; port 0 means a free one.

    ``"udp://[::]:0"`` takes IPv4 as well.

    Raises:
        BindError: the address could not be bound.
        ConfigError: the address is none of UDP.
        LimitExceeded: no descriptor or handle is left.
    """
    return Datagram(_native.bind(address))


async def async_bind(address: str) -> AsyncDatagram:
    """The twin of :func:`bind`."""
    # A thread, as a host name may have to be looked up.
    return AsyncDatagram(await asyncio.to_thread(_native.bind, address))


def _check_count(count: int) -> None:
    if count < 1:
        raise _errors.invalid("max_count: must be at least 1")
