"""The configurations of the two ends of a tunnel: plain data, checked when an agent or a hub is made of it.

Unset, zero and never are three values: ``None`` has the documented default, ``timedelta(0)`` is zero, and
``NEVER`` has no end. Tokens are not shown: neither by ``repr`` nor by ``to_json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from ._config import BackoffConfig
from ._document import to_document
from ._http_config import HttpConfig, SocksConfig, UserConfig
from ._tcp_config import TcpConfig
from ._types import Never

__all__ = ["AgentConfig", "HubConfig", "LinkConfig", "MemoryCommConfig"]

_REDACTED = "[redacted]"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """How the connection between an agent and its hub is run; each end has its own. ``None`` is unset.

    Attributes:
        window: bytes of one logical connection that this end holds unread at most. Unset 256 KiB; 1 KiB to
            16 MiB.
        send_buffer: bytes of one logical connection that were written and wait to be sent. Unset 256 KiB.
        ping_interval: time between pings. Unset 20 s; 1 s to 365 days, or ``NEVER``.
        ping_timeout: time for the answer, after which the connection counts as lost. Unset 10 s.
        hello_timeout: time for the hello. Unset 10 s.
        max_packet: bytes of one packet that this end takes; a longer one ends the tunnel. Of the ``"packet"``
            carrier alone. Unset 16 MiB; 64 KiB to 1 GiB.
        allow_legacy_peers: whether the peer may be one that speaks ``tunnel.v1`` and none of what is added to
            it here, by the ``"packet"`` carrier. Unset false.
        stall_timeout: time for which a connection of such a peer may hold up the others of its link; then it
            is reset. Unset 10 s.
    """

    window: int | None = None
    send_buffer: int | None = None
    ping_interval: timedelta | Never | None = None
    ping_timeout: timedelta | None = None
    hello_timeout: timedelta | None = None
    max_packet: int | None = None
    allow_legacy_peers: bool | None = None
    stall_timeout: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryCommConfig:
    """How connections reach an agent's listener by a pipe or over a Unix socket; ``None`` is unset.

    Attributes:
        buffer_size: bytes that each direction of a pipe holds. Unset 64 KiB; 1 byte to 1 GiB.
        max_connections: connections by pipes at one time; the next go over the socket. Unset 1000.
        enable_metrics: whether the metrics tell the two ways apart. Unset false; ``memory_comm_stats()`` does
            so always.
        socket_directory: where the socket's private directory is made. Unset ``/tmp``; at most 64 bytes.
    """

    buffer_size: int | None = None
    max_connections: int | None = None
    enable_metrics: bool | None = None
    socket_directory: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """How an agent reaches its hubs, and what it lets them reach; ``None`` is unset.

    Attributes:
        cluster: the name that it stands for: 1 to 128 letters, digits, ``-``, ``_`` and ``.``.
        token: what proves the name: 16 to 1024 bytes. A client certificate can do so instead.
        hubs: addresses of hubs; each gets a tunnel of its own.
        carrier: how connections cross the link: ``"native"``, or ``"packet"`` for the ``tunnel.v1`` protocol.
            A hub that does not take it is an error, and no other is tried. Unset ``"native"``.
        links: transport connections to each hub. Unset 1; 1 to 16.
        allow_plaintext: whether the token and the traffic may cross a network in the clear. Unset false: then
            a hub at a ``tcp://`` address must be on loopback.
        max_connections: logical connections at one time. Unset 1000.
        backlog: logical connections that wait to be accepted. Unset 128.
        forward: where connections without a target go. Unset: to :meth:`Agent.listener`.
        use_memory_comm: whether connections without a target reach the listener by a pipe. Unset false:
            they go over a Unix socket if ``memory_comm`` is given, and else come as they are.
        memory_comm: how the pipe or the socket is set up. Unset: neither, unless ``use_memory_comm`` is set.
        targets: what else the hubs may have dialled, such as ``tcp://10.0.0.0/8:443``, ``tcp://*.internal:*``,
            ``unix:/run/app.sock``. Unset: nothing. Loopback, link-local and metadata addresses are reached
            only by a network of their own, whatever a name leads to.
        max_pending_dials: targets being dialled at one time. Unset 64.
        idle_timeout: silence after which a connection that is forwarded, or comes by ``memory_comm``, is
            closed. Unset 1 h.
        half_close_timeout: silence for its second side to finish in after the first has. Unset 60 s.
        buffer_size: bytes that such a connection holds for each direction. Unset 64 KiB.
        backoff: how the delay between attempts to reach a hub grows.
        healthy_after: how long a tunnel must have stood for its end to be no failure. Unset 30 s.
        drain_timeout: time that a drain gives connections to finish. Unset 30 s.
        link: the connection to the hub.
        tcp: sockets to hubs and targets; its ``connect_timeout`` bounds each dial of a target.
    """

    cluster: str
    hubs: Sequence[str]
    token: str | None = field(default=None, repr=False)
    carrier: Literal["native", "packet"] | None = None
    links: int | None = None
    allow_plaintext: bool | None = None
    max_connections: int | None = None
    backlog: int | None = None
    forward: str | None = None
    use_memory_comm: bool | None = None
    memory_comm: MemoryCommConfig | None = None
    targets: Sequence[str] | None = None
    max_pending_dials: int | None = None
    idle_timeout: timedelta | Never | None = None
    half_close_timeout: timedelta | Never | None = None
    buffer_size: int | None = None
    backoff: BackoffConfig | None = None
    healthy_after: timedelta | None = None
    drain_timeout: timedelta | Never | None = None
    link: LinkConfig | None = None
    tcp: TcpConfig | None = None

    def to_json(self) -> str:
        """The fields that are set, the token redacted."""
        return json.dumps(to_document(replace(self, token=self.token and _REDACTED)))


@dataclass(frozen=True, kw_only=True, slots=True)
class HubConfig:
    """How a hub lets agents in and reaches them; ``None`` is unset.

    Attributes:
        agents: the tokens that prove each cluster's name. Unset none.
        agent_certificates: the names of which an agent's certificate must have one to stand for each cluster:
            its only URI, such as a SPIFFE id, or one of its DNS names. A cluster that is in ``agents`` too
            needs both. Unset none; a cluster that is in neither lets nobody in.
        carriers: the carriers that agents may use. Unset ``["native"]``.
        allow_unauthenticated_agents: addresses given to ``listen`` at which an agent of the ``"packet"``
            carrier may stand for a cluster to which nothing is bound, neither token nor certificate: whoever
            can connect there may be that cluster. Unset none.
        policy: who serves a cluster when several agents prove its name. Unset ``"newest"``.
        replaced_grace: time that the connections of an agent that was replaced get to finish. Unset 30 s.
        allow_plaintext: whether agents may come over a network in the clear. Unset false.
        allow_public_forwards: whether forwards may listen where others than this machine connect. Unset
            false.
        max_agents: tunnels at one time. Unset 1024.
        max_hellos: agents that have not proved their name yet. Unset 64.
        users: who may use which clusters by HTTP, by name. Unset none.
        anonymous: clusters that may be used by HTTP without saying who one is; ``*`` for all. Unset none.
        http: users who speak HTTP.
        socks: users who speak SOCKS5.
        max_connections: logical connections at one time. Unset 10,000.
        max_connections_per_cluster: those to one cluster. Unset 1000.
        max_pending_dials: dials to one cluster that have no answer yet. Unset 128.
        dial_timeout: time for a dial without a timeout of its own. Unset 30 s.
        agent_wait: time that a dial waits for an agent to come while there is none. Unset zero.
        idle_timeout: silence after which a forwarded connection is closed. Unset 1 h.
        half_close_timeout: silence for the second side to finish in after the first has. Unset 60 s.
        buffer_size: bytes that a forwarded connection holds for each direction. Unset 64 KiB.
        accept_pause: pause of accepting while the process has no descriptor left. Unset 100 ms.
        drain_timeout: time that a drain gives connections to finish. Unset 30 s.
        link: the connections to agents.
        tcp: sockets of agents and of clients of forwards.
    """

    agents: Mapping[str, Sequence[str]] | None = field(default=None, repr=False)
    agent_certificates: Mapping[str, Sequence[str]] | None = None
    carriers: Sequence[Literal["native", "packet"]] | None = None
    allow_unauthenticated_agents: Sequence[str] | None = None
    policy: Literal["newest", "share"] | None = None
    replaced_grace: timedelta | Never | None = None
    allow_plaintext: bool | None = None
    allow_public_forwards: bool | None = None
    max_agents: int | None = None
    max_hellos: int | None = None
    users: Mapping[str, UserConfig] | None = None
    anonymous: Sequence[str] | None = None
    http: HttpConfig | None = None
    socks: SocksConfig | None = None
    max_connections: int | None = None
    max_connections_per_cluster: int | None = None
    max_pending_dials: int | None = None
    dial_timeout: timedelta | None = None
    agent_wait: timedelta | Never | None = None
    idle_timeout: timedelta | Never | None = None
    half_close_timeout: timedelta | Never | None = None
    buffer_size: int | None = None
    accept_pause: timedelta | None = None
    drain_timeout: timedelta | Never | None = None
    link: LinkConfig | None = None
    tcp: TcpConfig | None = None

    def to_json(self) -> str:
        """The fields that are set, the tokens redacted."""
        agents = users = None
        if self.agents is not None:
            agents = {name: [_REDACTED] * len(tokens) for name, tokens in self.agents.items()}
        if self.users is not None:
            users = {
                name: replace(user, tokens=user.tokens and [_REDACTED] * len(user.tokens))
                for name, user in self.users.items()
            }
        return json.dumps(to_document(replace(self, agents=agents, users=users)))


def document_of(config: AgentConfig | HubConfig) -> str:
    """What the native module reads: the tokens are in it."""
    return json.dumps(to_document(config))
