"""Where a TCP connection manager listens, and where connections go: plain data, checked by the manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ._breaker_config import BreakerConfig
from ._config import BackoffConfig
from ._types import Never

__all__ = [
    "AcceptProxyConfig",
    "BackendConfig",
    "BalanceConfig",
    "CallbackCheckConfig",
    "EndpointCheck",
    "EndpointConfig",
    "EwmaConfig",
    "FailurePercentageConfig",
    "HealthConfig",
    "HttpCheckConfig",
    "ListenerConfig",
    "OutlierConfig",
    "PerSourceConfig",
    "ProbeConfig",
    "QueueConfig",
    "ResolveConfig",
    "RouteCallbackConfig",
    "RouteConfig",
    "SlowStartConfig",
    "SuccessRateConfig",
    "TlsCheckConfig",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PerSourceConfig:
    """How many connections those of one network may have with a manager; ``None`` is unset.

    It counts what is relayed, by the address of the client: as a proxy in front announced it where one did.
    Who is on a Unix socket or a pipe is not counted.

    Attributes:
        max_connections: of one network at one time; those above are reset. Unset as many as the manager lets
            in; 1 to 1,000,000.
        ipv4_prefix: leading bits of an IPv4 address that make a network. Unset 32; 0 to 32.
        ipv6_prefix: the same of an IPv6 address. Unset 64; 0 to 128.
        max_networks: that are counted at one time: those with a connection. Unset 65,536; 1 to 1,000,000.
        when_full: what becomes of those of a further network: ``"refuse"`` (unset) resets them, ``"admit"``
            lets them in without counting.
    """

    max_connections: int | None = None
    ipv4_prefix: int | None = None
    ipv6_prefix: int | None = None
    max_networks: int | None = None
    when_full: Literal["refuse", "admit"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueConfig:
    """Who may wait while a backend has as many connections as it may, and for how long; ``None`` is unset.

    Attributes:
        max_waiting: connections that wait at one time; who comes when so many do is reset. Unset 1024; 0
            (nobody waits) to 1,000,000.
        timeout: that a connection waits, before any attempt to connect; then it is reset. Unset 5 s; 1 ms to
            365 days, or ``NEVER``.
    """

    max_waiting: int | None = None
    timeout: timedelta | Never | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptProxyConfig:
    """Whether a proxy in front says for whom it speaks, by the PROXY protocol; ``None`` is unset.

    Attributes:
        mode: ``"off"`` (unset), ``"optional"`` or ``"required"``.
        trusted: networks that are believed, such as ``"10.0.0.0/8"``; Unix sockets and pipes always are.
            Unset none, so that a header from anywhere is refused.
        timeout: for a whole header. Unset 3 s; 1 ms to 365 days.
    """

    mode: Literal["off", "optional", "required"] | None = None
    trusted: Sequence[str] | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """How long and how much is waited for to tell what a client speaks; ``None`` is unset.

    Attributes:
        timeout: in all; a client that waits for its server to speak waits this long first. Unset 200 ms.
        max_bytes: that are read ahead. Unset 16 KiB; 64 bytes to 1 MiB.
    """

    timeout: timedelta | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerConfig:
    """Where a manager listens, and what it asks of those who connect there; ``None`` is unset.

    Attributes:
        address: what is listened on; port 0 means a free port.
        max_connections: that came in here at one time; those above wait in the backlog. Unset as many as the
            manager lets in; 1 to 1,000,000.
        proxy_protocol: whether a proxy in front says for whom it speaks.
        probe: how long and how much is waited for to tell what a client speaks.
        default_backend: of what no route takes; unset that of the manager.
    """

    address: str
    max_connections: int | None = None
    proxy_protocol: AcceptProxyConfig | None = None
    probe: ProbeConfig | None = None
    default_backend: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteConfig:
    """Which backend a connection goes to: what is set must all be true of it.

    Attributes:
        backend: the name of the backend.
        listener: the name of the listener that it came in by.
        protocol: what it speaks, by the names of :func:`trunkline.probe_tcp`.
        host: whom it asks for: ``"shop.example"``, or ``"*.shop.example"`` for everything below it.
        alpn: a protocol that a client of TLS offers to speak inside.
        source: where it comes from, as a proxy in front announced it where one did: ``"10.0.0.0/8"``.
    """

    backend: str
    listener: str | None = None
    protocol: str | None = None
    host: str | None = None
    alpn: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteCallbackConfig:
    """How the program is asked where connections go, where it has said ``on_route``; ``None`` is unset.

    Whenever there is no answer, the routes decide.

    Attributes:
        timeout: for an answer. Unset 1 s; 1 ms to 365 days.
        max_pending: connections that it is asked about at one time; of those above it is not asked. Unset
            1024; 1 to 1,000,000.
        probe: whether the first bytes of every connection are looked at before it is asked, also where no
            route needs them. Unset true; a client that waits for its server to speak then waits for the
            listener's ``probe.timeout`` first.
    """

    timeout: timedelta | None = None
    max_pending: int | None = None
    probe: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """An endpoint of a backend.

    Attributes:
        address: where it is.
        weight: its share of the connections. Unset 1; 0 takes no new ones.
    """

    address: str
    weight: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EwmaConfig:
    """How the latency of an endpoint is estimated; ``None`` is unset.

    Attributes:
        decay: time in which an estimate falls to 37 %. Unset 10 s.
        failure_penalty: latency that is added after a failure; it shrinks evenly and is gone after ``decay``.
            Unset 5 s.
        cold: estimate where nothing was measured, of the peers either. Unset 30 ms.
        floor: latency that an estimate counts as, at least: below it only the number of connections makes a
            difference. Unset 1 ms.
    """

    decay: timedelta | None = None
    failure_penalty: timedelta | None = None
    cold: timedelta | None = None
    floor: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowStartConfig:
    """How an endpoint that is new or healthy again comes to its share; ``None`` is unset.

    Attributes:
        window: time until it has its whole weight. Unset zero, at once.
        floor: part of its weight that it has at least. Unset 0.1; 0.001 to 1.
        aggression: 1 grows evenly, more is faster at first. Unset 1; 0.1 to 10.
    """

    window: timedelta | None = None
    floor: float | None = None
    aggression: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceConfig:
    """Which endpoint gets the next connection; ``None`` is unset.

    Attributes:
        policy: the rule. Unset ``"p2c"``. By key (``"ring_hash"``, ``"maglev"``) the source's IP is the key.
        panic_threshold: part of the endpoints that must be healthy for health to count. Unset 0.5; 0 to 1.
        ewma: how the time that connecting takes is estimated, for ``"p2c"``.
        slow_start: how an endpoint comes to its share.
        ring_points: points of the heaviest endpoint on the ring. Unset 160; 1 to 4096.
        maglev_size: places in the table, a prime. Unset 65537; 251 to 5,000,011.
        hash_seed: what hashes start from. Unset 0.
    """

    policy: Literal["round_robin", "weighted", "least_connections", "p2c", "ring_hash", "maglev"] | None = (
        None
    )
    panic_threshold: float | None = None
    ewma: EwmaConfig | None = None
    slow_start: SlowStartConfig | None = None
    ring_points: int | None = None
    maglev_size: int | None = None
    hash_seed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessRateConfig:
    """Leaves those out whose success rate is far below the mean of all; ``None`` is unset.

    Attributes:
        stdev_factor: thousandths of the standard deviation below the mean. Unset 1900.
        enforcement: chance in percent that a finding has consequences. Unset 100.
        minimum_hosts: endpoints with enough calls below which there is no mean. Unset 5.
        request_volume: calls in an interval that are enough. Unset 100.
    """

    stdev_factor: int | None = None
    enforcement: int | None = None
    minimum_hosts: int | None = None
    request_volume: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FailurePercentageConfig:
    """Leaves those out of whose calls too many failed; ``None`` is unset.

    Attributes:
        threshold: percentage of failures above which an endpoint is left out. Unset 85.
        enforcement: chance in percent that a finding has consequences. Unset 100.
        minimum_hosts: endpoints with enough calls below which nothing is done. Unset 5.
        request_volume: calls in an interval that are enough. Unset 50.
    """

    threshold: int | None = None
    enforcement: int | None = None
    minimum_hosts: int | None = None
    request_volume: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutlierConfig:
    """When an endpoint that fails more than its peers is left out for a while; ``None`` is unset.

    Attributes:
        interval: from one sweep to the next. Unset 10 s; 1 ms to 1 day.
        base_ejection: time that an endpoint is left out at first. Unset 30 s.
        max_ejection: ceiling of that time. Unset 300 s.
        max_ejection_percent: part that may be left out at one time. Unset 10; 0 to 100.
        allow_one: whether one may be although the percentage allows none. Unset true.
        success_rate: those far below the mean.
        failure_percentage: those of whose calls too many failed.
    """

    interval: timedelta | None = None
    base_ejection: timedelta | None = None
    max_ejection: timedelta | None = None
    max_ejection_percent: int | None = None
    allow_one: bool | None = None
    success_rate: SuccessRateConfig | None = None
    failure_percentage: FailurePercentageConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsCheckConfig:
    """A handshake of TLS with an endpoint; ``None`` is unset.

    Attributes:
        server_name: the name that is asked for, and that its certificate must be for, unless the TLS
            configuration has one. Unset the host of its address; must be set for a Unix socket or a pipe.
    """

    server_name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCheckConfig:
    """A request to an endpoint, and the answer that is a good one; ``None`` is unset.

    Attributes:
        method: unset ``"GET"``.
        path: where on the server, with a query if one is needed. Unset ``"/"``.
        host: the ``Host`` of the request. Unset that of its address; ``localhost`` on a Unix socket or a
            pipe.
        headers: further fields of the request, values by their names. Unset none; at most 32.
        tls: the handshake before it, where its address does not say TLS. Unset none.
        expect: statuses that are good, such as ``200`` or ``"200-299"``. Unset ``["200-399"]``; 1 to 16.
        contains: text that the body must contain, 1 to 1024 bytes. Unset the body is not read.
        max_head: bytes of the head of the answer; a longer one fails. Unset 8 KiB; 8 KiB to 1 MiB.
        max_body: bytes of the body that are looked through. Unset 64 KiB; 1 to 1 MiB.
    """

    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: Mapping[str, str] | None = None
    tls: TlsCheckConfig | None = None
    expect: Sequence[int | str] | None = None
    contains: str | None = None
    max_head: int | None = None
    max_body: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackCheckConfig:
    """A question to the program, where it has said ``on_check``; ``None`` is unset.

    Attributes:
        no_answer: what it means that there is no answer: ``"fail"`` (unset), ``"pass"``, or ``"keep"``, so
            that the endpoint stays what it is.
    """

    no_answer: Literal["fail", "pass", "keep"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointCheck:
    """What a check of an endpoint is: exactly one of these.

    Attributes:
        tls: it takes a handshake of TLS, by the manager's, also where its address does not say so.
        http: it answers a request of HTTP/1.1.
        callback: the program says.
    """

    tls: TlsCheckConfig | None = None
    http: HttpCheckConfig | None = None
    callback: CallbackCheckConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthConfig:
    """How an endpoint is checked, and how often; ``None`` is unset.

    Attributes:
        check: what a check is. Unset ``"connect"``: it takes a connection, by TLS where its address says so.
        interval: from the start of one check to the next. Unset 10 s; 1 ms to 365 days.
        jitter: part of it that chance adds or takes away. Unset 0.2; 0 to 1.
        rise: checks in a row that must pass before it is healthy. Unset 2.
        fall: checks in a row that must fail before it is not. Unset 3.
        timeout: after which a check has failed. Unset 2 s.
    """

    check: EndpointCheck | Literal["connect"] | None = None
    interval: timedelta | None = None
    jitter: float | None = None
    rise: int | None = None
    fall: int | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolveConfig:
    """How long the addresses of a name are used, and what happens while it cannot be resolved; ``None`` is
    unset.

    Attributes:
        min_ttl: time that an answer is used at least. Unset 30 s; 1 ms to ``max_ttl``. The system's resolver
            tells no TTL: names are looked up this often.
        max_ttl: time that an answer is used at most. Unset 1 h; 1 ms to 365 days.
        stale_while_lookup: since it expired for which an answer is used while a look-up runs. Unset 30 s.
        stale_if_error: since it expired for which an answer is used while look-ups fail. Unset 1 h.
        timeout: after which a look-up that told nothing has failed. Unset 5 s; 1 ms to 365 days.
        retry: time between look-ups that fail. Unset 1.6 s after the first, and more after each, to 30 s.
    """

    min_ttl: timedelta | None = None
    max_ttl: timedelta | None = None
    stale_while_lookup: timedelta | None = None
    stale_if_error: timedelta | None = None
    timeout: timedelta | None = None
    retry: BackoffConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendConfig:
    """Where connections are passed on to: endpoints that stand in for each other; ``None`` is unset.

    Attributes:
        endpoints: 1 to 10,000.
        max_connections: to all of them together at one time; those above wait in line. Unset as many as the
            manager lets in; 1 to 1,000,000.
        queue: who may wait for a place, and for how long.
        balance: which of them gets the next connection.
        breaker: when one that fails is not tried for a while.
        outlier: when one that fails more than the others is left out.
        health: whether, how and how often each is checked. Unset it is not.
        max_attempts: endpoints that are tried for one connection. Unset 3; 1 to 100.
        attempt_timeout: after which one that does not answer is given up for the next. Unset 2 s.
        send_proxy_protocol: whether they are told for whom the manager speaks: ``"off"`` (unset), ``"v1"``
            or ``"v2"``.
        resolve: how the names among the endpoints are looked up; each of their addresses is an endpoint.
        removed_timeout: time that connections have to finish whose endpoint is no longer one; then they are
            closed as ``drained``. Unset ``NEVER``, they stay; zero to 365 days.
    """

    endpoints: Sequence[EndpointConfig]
    max_connections: int | None = None
    queue: QueueConfig | None = None
    balance: BalanceConfig | None = None
    breaker: BreakerConfig | None = None
    outlier: OutlierConfig | None = None
    health: HealthConfig | None = None
    max_attempts: int | None = None
    attempt_timeout: timedelta | None = None
    send_proxy_protocol: Literal["off", "v1", "v2"] | None = None
    resolve: ResolveConfig | None = None
    removed_timeout: timedelta | Never | None = None
