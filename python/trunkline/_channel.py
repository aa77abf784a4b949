"""Channels to gRPC servers: one logical peer, connected and reconnected by itself, called with bytes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from . import _hub, _native
from ._call import AsyncCall, Call, Metadata, Response, check_done, response_of, terms_of
from ._history import History, history_of
from ._interceptor import AsyncInterceptor, Beginning, Interceptor, Row
from ._live_channel import LiveChannel, told
from ._resolver import Addresses, AsyncResolver, LoopResolving, Resolver, ThreadResolving, text_of
from ._tls import native_of
from ._together import Calling
from ._types import Event, Terms
from ._wait import deadline_after, until_done

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    from ._call import _Compression
    from ._config import ConnectionConfig
    from ._tls import Tls

__all__ = ["AsyncChannel", "Channel", "ChannelState"]

_Start: TypeAlias = Callable[[_native.Queue, int], _native.Operation]


class ChannelState(StrEnum):
    """Whether a channel can carry calls."""

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient_failure"
    SHUTDOWN = "shutdown"


# By their numbers, and by their names.
_STATES = tuple(ChannelState)
_NAMED = {state.value: state for state in _STATES}


def _changed(event: Event) -> bool:
    """Whether a wait for another state found one."""
    error = event[3]
    if isinstance(error, TimeoutError):
        return False
    if error is not None:
        raise error
    return True


class _ChannelBase:
    """What channels for threads and for asyncio share: nothing here waits."""

    __slots__ = ("__weakref__", "_closed", "_native", "_resolving", "_target")

    def __init__(
        self,
        target: str,
        config: ConnectionConfig | None,
        tls: Tls | None,
        resolving: ThreadResolving | LoopResolving | None,
    ) -> None:
        document = "" if config is None else config.to_json()
        to = None if resolving is None else (resolving.queue, resolving.tag)
        try:
            self._native = _native.Channel(target, document, native_of(tls), to)
        except BaseException:
            if resolving is not None:
                resolving.stop()
            raise
        self._resolving = resolving
        self._target = target
        self._closed = False

    def get_state(self, try_to_connect: bool = False) -> ChannelState:
        """The state now; with ``try_to_connect`` an idle channel begins to connect."""
        return _STATES[self._native.state(try_to_connect)]

    def is_healthy(self) -> bool:
        """Whether calls can be sent, or a connection is made as soon as one comes."""
        return self.get_state() not in (ChannelState.TRANSIENT_FAILURE, ChannelState.SHUTDOWN)

    def inspect(self) -> LiveChannel:
        """What the channel looks like now: its calls, its addresses and the connections to each."""
        return told(json.loads(self._native.inspect()), _NAMED)

    def history(self, after: int = 0, max: int = 1000) -> History:
        """The changes of the state that have a number above ``after``; 0 is before the first.

        As many as ``state_history`` in the configuration says are kept, the latest; those that were asked for
        and are no longer there are counted.

        Args:
            after: the number of the last change that is known.
            max: that many at most, 1 to 10,000; the number of the last, for ``after``, begins the next.
        """
        return history_of(json.loads(self._native.history(after, max)), _NAMED)

    def push_addresses(self, addresses: Addresses) -> None:
        """Says where the target is without being asked: as if the ``resolver`` had answered.

        Addresses that stay keep their connections; calls on those that go finish. While the channel is idle
        it changes nothing: the resolver is asked when it is next called.

        Raises:
            ConfigError: one is no address, or the channel has no resolver.
            ConnectError: these are no addresses that a resolver may answer; those before stay.
            ClosedError: the channel is closed.
        """
        self._native.push_addresses(text_of(addresses))

    def reset_connect_backoff(self) -> None:
        """Tries at once what would have waited after a failure: the network is known to be back."""
        self._native.reset_connect_backoff()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__qualname__} to {self._target!r}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a channel belongs to its process: it cannot be pickled")

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._native.is_inherited():
            return
        if self._resolving is not None:
            self._resolving.abandon()
        warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)

    def _ask_nobody(self) -> None:
        """For one that is closed."""
        if self._resolving is not None:
            self._resolving.stop()

    def _changing(self, last: ChannelState, timeout: float | None) -> _Start:
        number, deadline = _STATES.index(last), deadline_after(timeout)
        return lambda queue, tag: self._native.wait_for_state_change(number, deadline, queue, tag)

    def _history_of(self, after: int, timeout: float | None) -> _Start:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.wait_history(after, deadline, queue, tag)

    def _readying(self, timeout: float | None) -> _Start:
        deadline = deadline_after(timeout)
        return lambda queue, tag: self._native.wait_ready(deadline, queue, tag)

    @staticmethod
    def _row(method: str, metadata: Metadata, credentials: Metadata) -> Row:
        return Row(Beginning(method, list(metadata), list(credentials)))

    def _calling(self, method: str, request: Buffer, terms: Terms) -> _Start:
        return lambda queue, tag: self._native.call(method, request, terms, queue, tag)

    def _closing(self, grace: float | None) -> _Start:
        deadline = 0 if grace is None else deadline_after(grace)
        return lambda queue, tag: self._native.close(deadline, queue, tag)


class Channel(_ChannelBase):
    """One logical gRPC server. Any thread may use it at any time.

    It connects when it is first called, again whenever a connection is lost, and rests when nobody calls.

    Args:
        target: such as ``"dns:api.internal:443"``, ``"ipv4:10.0.0.1:80,10.0.0.2:80"``,
            ``"unix:/run/app.sock"``, ``"mem:app"``, ``"file:/etc/app/servers"`` with an address in each line,
            or a list such as ``"tcp://a:1,mem:b"``. Without ``tls`` only
            ``"tls://a:1,tls://b:1"`` is secured, by whom the system trusts.
        config: figures; what is unset has its documented default.
        tls: secures every connection. The server must agree to speak HTTP/2 (ALPN ``h2``), and its
            certificate must be for the configured ``server_name``, else for the name that was looked up or
            the host that the target names (``localhost`` behind ``unix:`` and ``mem:``).

        interceptors: look at every call, one after the other.
        resolver: says which addresses ``target`` has, which then may be any text. It is called in a thread of
            its own when the channel leaves idle, and again when addresses do not work; what it raises, and no
            answer within the configuration's ``resolver.timeout``, changes nothing. Calls are for what stands
            behind ``scheme:`` and ``//…/`` in the target, ``localhost`` if that is no host.

    Raises:
        ConfigError: the target is none, or a figure is out of its range.
    """

    __slots__ = ("_interceptors",)

    def __init__(
        self,
        target: str,
        *,
        config: ConnectionConfig | None = None,
        tls: Tls | None = None,
        interceptors: Sequence[Interceptor] = (),
        resolver: Resolver | None = None,
    ) -> None:
        super().__init__(target, config, tls, None if resolver is None else ThreadResolving(resolver))
        self._interceptors = tuple(interceptors)

    def wait_for_state_change(self, last: ChannelState, timeout: float | None = None) -> bool:
        """Waits until the state is another than ``last``; false at the timeout.

        States that were left again meanwhile are not seen.
        """
        return _changed(until_done(self._changing(last, timeout)))

    def wait_history(self, after: int, timeout: float | None = None) -> bool:
        """Waits until there is a change of the state with a number above ``after``; false at the timeout.

        Raises:
            ClosedError: the channel is closed, and no change has such a number: none will.
        """
        return _changed(until_done(self._history_of(after, timeout)))

    def wait_ready(self, timeout: float | None = None) -> None:
        """Connects, and waits until calls can be sent.

        Raises:
            ConnectTimeout: they cannot; its cause says for each address why, and when it is tried again.
            ClosedError: the channel is closed.
        """
        check_done(until_done(self._readying(timeout)))

    def unary(
        self,
        method: str,
        request: Buffer,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool | None = None,
        compression: _Compression | None = None,
        max_reply: int = 0,
        credentials: Metadata = (),
        plaintext_credentials: bool = False,
    ) -> Response:
        """Calls a method with one message, and waits for one.

        Args:
            method: such as ``"/package.Service/Method"``.
            request: the message, encoded.
            timeout: seconds for all attempts together; ``None`` means as the service config says.
            metadata: names in lower case and values; under names that end in ``-bin``, any bytes.
            wait_for_ready: whether it waits while no address works; ``None``: as the service config says.
            compression: of the message to the server.
            max_reply: largest message of the answer, bytes; 0 means the channel's limit.
            credentials: what proves who calls, sent as metadata; never over a connection without TLS.
            plaintext_credentials: whether they may be sent in the clear all the same. Otherwise the call
                fails with UNAUTHENTICATED (16).

        Raises:
            ChannelError: the call ended with another status than OK, which is 4 after the timeout.
            ClosedError: the channel is closed.
        """
        how = (timeout, wait_for_ready, compression, max_reply, plaintext_credentials)
        if not self._interceptors:
            return self._answer(method, request, terms_of(metadata, credentials, *how))
        row = self._row(method, metadata, credentials)
        row.begin(self._interceptors)
        with row:
            terms = terms_of(row.call.metadata, row.call.credentials, *how)
            response = self._answer(method, request, terms)
        row.end(None)
        return response

    def _answer(self, method: str, request: Buffer, terms: Terms) -> Response:
        return response_of(until_done(self._calling(method, request, terms)))

    def stream(
        self,
        method: str,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool | None = None,
        compression: _Compression | None = None,
        max_reply: int = 0,
        credentials: Metadata = (),
        plaintext_credentials: bool = False,
    ) -> Call:
        """Begins a call with any number of messages each way, without waiting for the server.

        The arguments are those of :meth:`unary`; the timeout is for the whole call.
        """
        how = (timeout, wait_for_ready, compression, max_reply, plaintext_credentials)
        row = self._row(method, metadata, credentials)
        row.begin(self._interceptors)
        with row:
            terms = terms_of(row.call.metadata, row.call.credentials, *how)
            return Call(self._native.open(method, terms), row)

    def close(self, grace: float | None = None) -> None:
        """Takes no new calls, lets those under way finish for ``grace`` seconds, and ends the rest.

        Idempotent. In a forked child it leaves the parent's channel alone.
        """
        self._closed = True
        if not self._native.is_inherited():
            check_done(until_done(self._closing(grace)))
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


class AsyncChannel(_ChannelBase):
    """The twin of :class:`Channel` for asyncio. A cancelled await cancels what it waits for.

    A ``resolver`` is a function or a coroutine function, called on the loop that the channel is made on.
    """

    __slots__ = ("_interceptors",)

    def __init__(
        self,
        target: str,
        *,
        config: ConnectionConfig | None = None,
        tls: Tls | None = None,
        interceptors: Sequence[AsyncInterceptor] = (),
        resolver: AsyncResolver | None = None,
    ) -> None:
        super().__init__(target, config, tls, None if resolver is None else LoopResolving(resolver))
        self._interceptors = tuple(interceptors)

    async def wait_for_state_change(self, last: ChannelState, timeout: float | None = None) -> bool:
        """Waits until the state is another than ``last``; false at the timeout."""
        return _changed(await _hub.current().result(self._changing(last, timeout)))

    async def wait_history(self, after: int, timeout: float | None = None) -> bool:
        """Like :meth:`Channel.wait_history`."""
        return _changed(await _hub.current().result(self._history_of(after, timeout)))

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Connects, and waits until calls can be sent.

        Raises:
            ConnectTimeout: they cannot; its cause says for each address why, and when it is tried again.
        """
        check_done(await _hub.current().result(self._readying(timeout)))

    async def unary(
        self,
        method: str,
        request: Buffer,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool | None = None,
        compression: _Compression | None = None,
        max_reply: int = 0,
        credentials: Metadata = (),
        plaintext_credentials: bool = False,
    ) -> Response:
        """Like :meth:`Channel.unary`."""
        how = (timeout, wait_for_ready, compression, max_reply, plaintext_credentials)
        if not self._interceptors:
            return await self._answer(method, request, terms_of(metadata, credentials, *how))
        row = self._row(method, metadata, credentials)
        await row.begin_async(self._interceptors)
        with row:
            terms = terms_of(row.call.metadata, row.call.credentials, *how)
            response = await self._answer(method, request, terms)
        row.end(None)
        return response

    async def _answer(self, method: str, request: Buffer, terms: Terms) -> Response:
        return response_of(await _hub.current().call(Calling(self._native, method, request, terms)))

    async def stream(
        self,
        method: str,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool | None = None,
        compression: _Compression | None = None,
        max_reply: int = 0,
        credentials: Metadata = (),
        plaintext_credentials: bool = False,
    ) -> AsyncCall:
        """Like :meth:`Channel.stream`; never waits."""
        how = (timeout, wait_for_ready, compression, max_reply, plaintext_credentials)
        row = self._row(method, metadata, credentials)
        await row.begin_async(self._interceptors)
        with row:
            terms = terms_of(row.call.metadata, row.call.credentials, *how)
            return AsyncCall(self._native.open(method, terms), row)

    async def aclose(self, grace: float | None = None) -> None:
        """Like :meth:`Channel.close`."""
        self._closed = True
        if not self._native.is_inherited():
            check_done(await _hub.current().result(self._closing(grace)))
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
