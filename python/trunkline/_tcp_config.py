"""The configuration of a TCP connection manager: plain data, checked when a manager is made of it.

Unset, zero and never are three values: ``None`` has the documented default, ``timedelta(0)`` is zero, and
``NEVER`` has no end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ._document import to_document
from ._route_config import BackendConfig, ListenerConfig, PerSourceConfig, RouteCallbackConfig, RouteConfig
from ._types import Never

__all__ = ["BandwidthConfig", "SpliceConfig", "TcpConfig", "TcpKeepalive", "TcpManagerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpKeepalive:
    """When the kernel asks a silent peer whether it is still there; ``None`` is unset.

    Attributes:
        idle: silence after which the first probe is sent. Unset 60 s; 1 s to 32767 s, or ``NEVER``.
        interval: time between probes. Unset 10 s.
        count: probes without an answer after which the connection is cut. Unset 6; 1 to 127.
    """

    idle: timedelta | Never | None = None
    interval: timedelta | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpConfig:
    """How TCP connections are made and what their sockets are told; ``None`` is unset.

    Attributes:
        nodelay: whether small writes leave at once. Unset true.
        keepalive: when the kernel asks a silent peer whether it is still there.
        user_timeout: how long sent bytes may stay unacknowledged. Unset 5 min; 1 ms to 24 days, or ``NEVER``.
        connect_timeout: time to reach any of a destination's addresses. Unset 5 s; 1 ms to 365 days.
        attempt_stagger: time that an address has to itself before the next is tried beside it. Unset 250 ms.
        backlog: connections that the kernel holds before they are accepted. Unset 1024; 1 to 65535.
    """

    nodelay: bool | None = None
    keepalive: TcpKeepalive | None = None
    user_timeout: timedelta | Never | None = None
    connect_timeout: timedelta | None = None
    attempt_stagger: timedelta | None = None
    backlog: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BandwidthConfig:
    """How fast a relay carries the bytes of one connection, each way on its own; ``None`` is unset.

    What comes faster waits in the sender: nothing is dropped.

    Attributes:
        to_server: bytes per second from the client to its server. Unset never limited; 1 to 2**53, or
            ``NEVER``.
        to_client: bytes per second from the server to its client. Unset never limited; 1 to 2**53, or
            ``NEVER``.
        burst: bytes that pass at once after a silence, each way. Unset 64 KiB; 1 byte to 1 GiB.
    """

    to_server: int | Never | None = None
    to_client: int | Never | None = None
    burst: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpliceConfig:
    """When a relay lets the kernel move bytes between sockets instead of copying them; ``None`` is unset.

    Only between plain TCP and Unix sockets, and on Linux.

    Attributes:
        after: bytes that a direction has to carry, without a second of silence, before it is spliced. Unset
            1 MiB; 0 (after the first read) to 2**53, or ``NEVER``.
        max_pipes: at one time; each direction that is spliced takes one. Unset 256; 1 to 1,000,000.
        pipe_size: bytes that a pipe holds at most. Unset 256 KiB; 4 KiB to 1 MiB.
    """

    after: int | Never | None = None
    max_pipes: int | None = None
    pipe_size: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpManagerConfig:
    """How a TCP connection manager limits, relays and drains, and what it serves when it is started;
    ``None`` is unset.

    Attributes:
        max_connections: at one time, accepted and dialled together. Unset 1024; 1 to 1,000,000.
        per_source: how many of them those of one network may have.
        idle_timeout: silence both ways after which a relayed connection is closed. Unset 1 h; 1 ms to
            365 days, or ``NEVER``.
        half_close_timeout: silence for the second side to finish in after the first has. Unset 60 s.
        max_duration: that a connection is relayed, whatever moves. Unset 365 days; 1 ms to 365 days, or
            ``NEVER``.
        buffer_size: bytes that a relay holds for each direction at most. Unset 64 KiB; 1 KiB to 16 MiB.
        splice: when a relay lets the kernel move its bytes.
        bandwidth: how fast it carries the bytes of one connection.
        drain_timeout: time that a drain gives connections to finish. Unset 30 s; zero to 365 days, or
            ``NEVER``.
        drain_spread: the last part of a drain, in which what still stands is closed one after the other,
            those first that have been silent for longest. Unset a third of the time that the drain has; zero
            (all at the end) to 365 days.
        accept_pause: pause of accepting while the process has no descriptor left. Unset 100 ms.
        tcp: how connections are made.
        listeners: where it listens once it is started, by name. Unset nowhere.
        routes: which backend a connection goes to: that of the first one that holds.
        route_callback: how the program is asked before the routes, where it has said ``on_route``.
        default_backend: of what no route takes; unset, such a connection is reset.
        backends: where connections are passed on to, by name.
    """

    max_connections: int | None = None
    per_source: PerSourceConfig | None = None
    idle_timeout: timedelta | Never | None = None
    half_close_timeout: timedelta | Never | None = None
    max_duration: timedelta | Never | None = None
    buffer_size: int | None = None
    splice: SpliceConfig | None = None
    bandwidth: BandwidthConfig | None = None
    drain_timeout: timedelta | Never | None = None
    drain_spread: timedelta | None = None
    accept_pause: timedelta | None = None
    tcp: TcpConfig | None = None
    listeners: Mapping[str, ListenerConfig] | None = None
    routes: Sequence[RouteConfig] | None = None
    route_callback: RouteCallbackConfig | None = None
    default_backend: str | None = None
    backends: Mapping[str, BackendConfig] | None = None

    def to_json(self) -> str:
        """The fields that are set."""
        return json.dumps(to_document(self))
