"""Which requests of HTTP go to which cluster, and who may send them: plain data, checked by the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ._types import Never

__all__ = ["HeaderRule", "HttpConfig", "HttpRoute", "SocksConfig", "UserConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderRule:
    """A field of a request.

    Attributes:
        name: its name.
        value: its value, to the letter. Unset any.
    """

    name: str
    value: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRoute:
    """Which cluster a request goes to: what is set must all be true of it.

    Attributes:
        host: the host that it is for: ``shop.example``, or ``*.shop.example`` for everything below it.
        path: how its path begins: ``/lab`` for itself and everything below it, ``/lab/`` for what is below
            it alone.
        header: a field that it has.
        cluster: the cluster. Either this or ``cluster_from`` is set.
        cluster_from: what names the cluster: what stands for the ``*`` of ``host``, the segment after a
            ``path`` that ends in ``/``, or the value of a ``header`` whose value is not set.
        target: what the agent is to dial. Unset: what the agent decides.
        strip_path: whether the service sees the path without ``path`` and the cluster's segment. Unset false.
    """

    host: str | None = None
    path: str | None = None
    header: HeaderRule | None = None
    cluster: str | None = None
    cluster_from: Literal["host", "path", "header"] | None = None
    target: str | None = None
    strip_path: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpConfig:
    """How a hub serves users who speak HTTP; ``None`` is unset.

    Attributes:
        routes: which request goes where: the first that holds for it.
        max_connections: connections of users at one time. Unset 10,000.
        max_streams: requests of one connection of HTTP/2 at one time. Unset 100.
        max_head: bytes of the head of a request, and of a response. Unset 64 KiB; 8 KiB to 1 MiB.
        max_fields: fields of a head. Unset 100; 1 to 1000.
        head_timeout: time for a head, and how long a connection may be idle. Unset 60 s.
        response_timeout: time for a service to begin its response. Unset 5 min.
    """

    routes: Sequence[HttpRoute] | None = None
    max_connections: int | None = None
    max_streams: int | None = None
    max_head: int | None = None
    max_fields: int | None = None
    head_timeout: timedelta | None = None
    response_timeout: timedelta | Never | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SocksConfig:
    """How a hub serves users who speak SOCKS5; ``None`` is unset.

    Attributes:
        suffix: what the hosts end in that name a cluster: ``<cluster>.<suffix>`` is where the cluster's agent
            decides, ``<host>.<cluster>.<suffix>`` is that host, to be dialled by the agent. Unset
            ``"tunnel"``.
        cluster: the cluster whose agent is to dial every other host, and addresses. Unset none, they are
            refused.
        max_connections: connections of users at one time. Unset 10,000.
        handshake_timeout: time for a user to say who it is and where it wants to go. Unset 10 s.
    """

    suffix: str | None = None
    cluster: str | None = None
    max_connections: int | None = None
    handshake_timeout: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserConfig:
    """Somebody who uses clusters through a hub; ``None`` is unset.

    Attributes:
        tokens: what proves who it is: ``Bearer`` with a token, or ``Basic`` with the user's name and a token.
        certificates: names of certificates, any of which proves it too: a certificate's only URI, or a DNS
            name.
        clusters: the clusters that it may use; ``*`` for all. Unset none.
        max_requests: requests under way at one time. Unset 100.
    """

    tokens: Sequence[str] | None = field(default=None, repr=False)
    certificates: Sequence[str] | None = None
    clusters: Sequence[str] | None = None
    max_requests: int | None = None
