"""How a memory proxy serves HTTP, and where it passes requests on to: plain data, checked by the proxy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ._http_config import HeaderRule
from ._tcp_config import TcpConfig
from ._types import Never

__all__ = ["MemoryProxyConfig", "ProxyRoute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyRoute:
    """Where a request goes: what is set must all be true of it.

    Attributes:
        target: the address of the service.
        host: the host that it is for: ``shop.example``, or ``*.shop.example`` for everything below it.
        path: how its path begins: ``/lab`` for itself and everything below it, ``/lab/`` for what is below
            it alone.
        header: a field that it has.
        strip_path: whether the service sees the path without ``path``. Unset false.
    """

    target: str
    host: str | None = None
    path: str | None = None
    header: HeaderRule | None = None
    strip_path: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryProxyConfig:
    """How a memory proxy serves what comes to its listeners; ``None`` is unset.

    Attributes:
        routes: which request goes where: the first that holds for it.
        routing: what decides where no route holds: ``"routes"`` (unset), nothing, or ``"kubernetes"``, the
            paths of a Kubernetes cluster, of which the first segment names the cluster and is left out:
            ``/<cluster>/api/v1/namespaces/<namespace>/services/https:<service>:<port>/proxy-service/<path>``
            goes to ``<service>.<namespace>.svc``, anything else to ``kubernetes.default.svc``, over TLS.
        trust_forwarded: whether what a client says of whom it speaks for is true, as it is where only a hub's
            front connects: then ``Forwarded`` and ``X-Forwarded-*`` pass as they come. Unset false: they are
            taken out, and set to what is known here. ``Impersonate-*`` is taken out in any case.
        max_connections: connections at one time; the next wait in the backlogs. Unset 1000.
        max_streams: requests of one connection of HTTP/2 at one time. Unset 100.
        max_head: bytes of the head of a request, and of a response. Unset 64 KiB; 8 KiB to 1 MiB.
        max_fields: fields of a head. Unset 100; 1 to 1000.
        head_timeout: time for a head, and how long a connection may be idle. Unset 60 s.
        handshake_timeout: time for a TLS handshake. Unset 10 s.
        hook_timeout: time for an answer of a hook. Unset 10 s.
        max_pending_hooks: questions to each hook that have no answer yet; what is above is refused. Unset
            1024.
        response_timeout: time for a service to begin its response. Unset 5 min.
        idle_timeout: time between two pieces of a body, and the silence after an upgrade. Unset 1 h.
        half_close_timeout: time for the second side of what was upgraded to finish. Unset 60 s.
        buffer_size: bytes that what was upgraded holds for each direction. Unset 64 KiB.
        accept_pause: pause of accepting while the process has no descriptor left. Unset 100 ms.
        drain_timeout: time that a drain gives requests to be answered. Unset 30 s.
        tcp: sockets to services; its ``connect_timeout`` bounds each dial.
    """

    routes: Sequence[ProxyRoute] | None = None
    routing: Literal["routes", "kubernetes"] | None = None
    trust_forwarded: bool | None = None
    max_connections: int | None = None
    max_streams: int | None = None
    max_head: int | None = None
    max_fields: int | None = None
    head_timeout: timedelta | None = None
    handshake_timeout: timedelta | None = None
    hook_timeout: timedelta | None = None
    max_pending_hooks: int | None = None
    response_timeout: timedelta | Never | None = None
    idle_timeout: timedelta | Never | None = None
    half_close_timeout: timedelta | Never | None = None
    buffer_size: int | None = None
    accept_pause: timedelta | None = None
    drain_timeout: timedelta | Never | None = None
    tcp: TcpConfig | None = None
