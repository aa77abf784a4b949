"""What a channel, its addresses and its connections look like at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ._channel import ChannelState

__all__ = ["ChannelPoolStats", "LiveAddress", "LiveChannel", "LiveConnection", "LiveSecurity"]


@dataclass(frozen=True, slots=True)
class LiveSecurity:
    """How a connection is secured.

    Attributes:
        version: of TLS.
        server_name: the name that the server was asked for, and has proved.
        peer_uri: the first URI that the server's certificate is for, such as a SPIFFE id.
    """

    version: Literal["TLSv1.2", "TLSv1.3"]
    server_name: str | None
    peer_uri: str | None


@dataclass(frozen=True, slots=True)
class LiveConnection:
    """One connection of a channel. Its calls are attempts, each a stream of HTTP/2.

    Attributes:
        id: its number, the same as in events and errors.
        local: our end.
        remote: the server's end.
        security: how it is secured; ``None`` if it is not.
        age: since when it stands.
        last_call_age: how long ago the last call began on it.
        calls_started: calls that went on it.
        calls_succeeded: those that ended with OK.
        calls_failed: those that ended with another status, were given up or could not be sent.
        calls_active: those that are under way.
        calls_limit: calls that it takes at once, as its server says.
        keepalives_sent: keepalive pings.
        bytes_received: from the server, HTTP/2 and TLS included.
        bytes_sent: to the server, HTTP/2 and TLS included.
        retired: why it takes no new calls and ends when those under way have: ``"idle"``, ``"closed"``,
            ``"unlisted"``, ``"surplus"``, ``"goaway"``, ``"unanswered"`` or ``"lost"``; ``None`` if it does.
    """

    id: int
    local: str | None
    remote: str | None
    security: LiveSecurity | None
    age: timedelta
    last_call_age: timedelta | None
    calls_started: int
    calls_succeeded: int
    calls_failed: int
    calls_active: int
    calls_limit: int
    keepalives_sent: int
    bytes_received: int
    bytes_sent: int
    retired: str | None


@dataclass(frozen=True, slots=True)
class LiveAddress:
    """One address of a channel. Its calls are attempts.

    Attributes:
        address: where it is.
        state: whether it can carry calls; shutdown for one that is left and still does.
        ejected: whether it gets none because more of them failed than of the others'.
        calls_started: calls that went there since it is known.
        calls_succeeded: those that ended with OK.
        calls_failed: those that ended with another status, were given up or could not be sent.
        last_call_age: how long ago the last one began.
        last_error: why its last attempt to connect or its last connection failed, until an attempt succeeds.
        next_attempt: in how long the next attempt may begin, while a failure is waited out.
        connections: those that stand, in the order in which they were made.
    """

    address: str
    state: ChannelState
    ejected: bool
    calls_started: int
    calls_succeeded: int
    calls_failed: int
    last_call_age: timedelta | None
    last_error: str | None
    next_attempt: timedelta | None
    connections: tuple[LiveConnection, ...]


@dataclass(frozen=True, slots=True)
class ChannelPoolStats:
    """What the connections of a channel were good for.

    Attributes:
        hits: attempts of calls that found a place on a connection at once.
        misses: attempts that had to wait for one.
        created: connections that stood.
        closed: connections that ended, by reason.
    """

    hits: int
    misses: int
    created: int
    closed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """A channel, as it was seen at one moment; ``None`` is not known or does not apply.

    Attributes:
        target: as it was given.
        state: what is told of it.
        state_age: how long it has been told.
        calls_started: calls that began.
        calls_succeeded: those that ended with OK.
        calls_failed: those that ended with another status, or were given up.
        calls_queued: those that wait for a connection.
        last_call_age: how long ago the last one began.
        lookup_error: why the last look-up of its addresses failed, until one succeeds.
        next_lookup: in how long they are looked up again, if that is wanted.
        addresses: in the order in which they are used; behind them those that are left and still carry calls.
        pool: what its connections were good for.
    """

    target: str
    state: ChannelState
    state_age: timedelta
    calls_started: int
    calls_succeeded: int
    calls_failed: int
    calls_queued: int
    last_call_age: timedelta | None
    lookup_error: str | None
    next_lookup: timedelta | None
    addresses: tuple[LiveAddress, ...]
    pool: ChannelPoolStats


def _fields(one: dict[str, Any]) -> dict[str, Any]:
    """Nanoseconds as times, under names that do not say so."""

    def time(ns: int | None) -> timedelta | None:
        return None if ns is None else timedelta(microseconds=ns / 1000)

    return {
        key.removesuffix("_ns"): time(value) if key.endswith("_ns") else value for key, value in one.items()
    }


def _connection(one: dict[str, Any]) -> LiveConnection:
    fields = _fields(one)
    security = fields.pop("security")
    return LiveConnection(security=None if security is None else LiveSecurity(**security), **fields)


def _address(one: dict[str, Any], states: Mapping[str, ChannelState]) -> LiveAddress:
    fields = _fields(one)
    state, connections = states[fields.pop("state")], map(_connection, fields.pop("connections"))
    return LiveAddress(state=state, connections=tuple(connections), **fields)


def told(one: dict[str, Any], states: Mapping[str, ChannelState]) -> LiveChannel:
    """The document of the library as an object; ``states`` by their names."""
    fields = _fields(one)
    state, pool = states[fields.pop("state")], ChannelPoolStats(**fields.pop("pool"))
    addresses = tuple(_address(address, states) for address in fields.pop("addresses"))
    return LiveChannel(state=state, addresses=addresses, pool=pool, **fields)
