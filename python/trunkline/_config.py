"""Configuration: plain data, checked once, by the same rules and with the same figures in every language.

Unset, zero and never are three values: a field that is not given has its documented default,
``timedelta(0)`` is zero, and ``NEVER`` has no end.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from . import _native
from ._breaker_config import BreakerConfig
from ._document import read_document, to_document
from ._duration import read_duration, read_limit
from ._types import Never

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "BackoffConfig",
    "CallLogConfig",
    "CallerConfig",
    "CircuitConfig",
    "ConnectionConfig",
    "InterceptorsConfig",
    "KeepaliveParams",
    "PoolingConfig",
    "ResolverConfig",
    "RetryPolicy",
    "ServiceConfig",
]

# Filled when first asked for.
_production: dict[str, Any] = {}


def _figure(*path: str) -> Any:
    """What the native module has for production: the figures are written once, there."""
    if not _production:
        _production.update(json.loads(_native.config_preset("production")))
    found: Any = _production
    for name in path:
        found = found[name]
    return found


def _duration(*path: str) -> Any:
    return field(default_factory=lambda: read_duration(_figure(*path)))


def _limit(*path: str) -> Any:
    return field(default_factory=lambda: read_limit(_figure(*path)))


def _plain(*path: str) -> Any:
    return field(default_factory=lambda: _figure(*path))


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffConfig:
    """How the delay between attempts to connect grows.

    Attributes:
        base_delay: after the first failure. Default 1 s; 1 ms to ``max_delay``.
        multiplier: by which it grows. Default 1.6; 1 to 10.
        jitter: part by which chance changes each delay, either way. Default 0.2; 0 to 1.
        max_delay: ceiling before chance. Default 120 s; 1 ms to 365 days.
    """

    base_delay: timedelta = _duration("backoff", "base_delay")
    multiplier: float = _plain("backoff", "multiplier")
    jitter: float = _plain("backoff", "jitter")
    max_delay: timedelta = _duration("backoff", "max_delay")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepaliveParams:
    """When to ask a silent peer whether it is still there.

    Attributes:
        time: silence after which a ping is sent. Default 10 s; 10 s to 365 days, or ``NEVER``. Servers of
            gRPC allow one in 5 min by default.
        timeout: time for the answer, after which the connection counts as lost. Default 5 s.
        permit_without_stream: whether to ping while no call is open. Default true.
    """

    time: timedelta | Never = _limit("keepalive", "time")
    timeout: timedelta = _duration("keepalive", "timeout")
    permit_without_stream: bool = _plain("keepalive", "permit_without_stream")


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolingConfig:
    """Whether calls are spread over several connections to the same peer.

    Attributes:
        enabled: default false, one connection.
        size: most connections, if enabled. Default 5; 1 to 100.
    """

    enabled: bool = _plain("pooling", "enabled")
    size: int = _plain("pooling", "size")


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolverConfig:
    """How the ``resolver`` of a channel is asked: one question at a time, after a failure later each time.

    Attributes:
        timeout: for an answer. Default 30 s; 1 ms to 365 days.
        min_interval: time from an answer until it is asked again, because addresses do not work. Default 1 s;
            1 ms to 365 days.
        max_addresses: of an answer; one with more is refused. Default 1000; 1 to 10,000.
    """

    timeout: timedelta = _duration("resolver", "timeout")
    min_interval: timedelta = _duration("resolver", "min_interval")
    max_addresses: int = _plain("resolver", "max_addresses")


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitConfig:
    """When calls are kept away from an address that has enough of them, or that fails.

    A call goes to another address where there is one; where there is none it ends with UNAVAILABLE at once.

    Attributes:
        max_calls: under way at an address at one time. Default no limit; at least 1.
        breaker: when an address whose calls fail gets none. Default never.
    """

    max_calls: int | None = None
    breaker: BreakerConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallerConfig:
    """How calls say who makes them, and on whose behalf: in metadata, which is a claim and no proof.

    A program that makes a call while it serves another hands the metadata on whose names begin with
    ``prefix``. Then ``original-caller`` and ``request-id`` stay, and the program's name is put at the end of
    ``call-chain``. A call of a program that is in the chain already, or whose chain is too long, is not sent
    and ends with FAILED_PRECONDITION.

    Attributes:
        name: of this program, as ``service-name`` says it; 1 to 256 printable characters without ``>``.
        trust_domain: as ``trust-domain`` says it. Unset: it is not said.
        prefix: what the names of the metadata begin with. Unset ``x-trunkline-``.
        max_depth: most names in a chain. Unset 10; 1 to 100.
    """

    name: str
    trust_domain: str | None = None
    prefix: str | None = None
    max_depth: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLogConfig:
    """How calls are logged, as :func:`trunkline.start_logging` passes on; ``None`` is unset.

    Each with its method: at DEBUG as it begins, with the names of its metadata; as it ends, at INFO if that
    was with OK and in time, at WARNING if it was slow or failed. Neither messages nor credentials are ever
    logged.

    Attributes:
        slow: time after which a call was slow. Unset 500 ms; 1 ms to 365 days, or ``NEVER``.
        skip: methods that are not logged. Unset ``Check`` and ``Watch`` of gRPC's health service.
        show_metadata: names of metadata whose values are logged; others are ``redacted``. Unset none.
    """

    slow: timedelta | Never | None = None
    skip: tuple[str, ...] | None = None
    show_metadata: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InterceptorsConfig:
    """Interceptors that are there already; the program's own see a call before them.

    Attributes:
        caller: how calls say who makes them. Default not at all.
        logging: how calls are logged. Default not at all.
        metrics: whether calls are counted by method, as ``trunkline_channel_method_*``; those of more than
            128 methods together. Default false.
    """

    caller: CallerConfig | None = None
    logging: CallLogConfig | None = None
    metrics: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """When a failed call is tried again; attempts share the deadline of their call.

    Attributes:
        max_attempts: attempts in all, the first included. Default 5; 1, no retry, to 5.
        initial_backoff: wait before the second attempt. Default 1 s.
        max_backoff: longest wait, before chance. Default 30 s.
        backoff_multiplier: what each attempt multiplies the wait by. Default 2; 1 to 10.
        retryable_status_codes: which answers are tried again, by gRPC's names. Default ``UNAVAILABLE``,
            ``DEADLINE_EXCEEDED`` and ``ABORTED``; at least one, without ``OK``.
    """

    max_attempts: int = _plain("service_config", "retry_policy", "max_attempts")
    initial_backoff: timedelta = _duration("service_config", "retry_policy", "initial_backoff")
    max_backoff: timedelta = _duration("service_config", "retry_policy", "max_backoff")
    backoff_multiplier: float = _plain("service_config", "retry_policy", "backoff_multiplier")
    retryable_status_codes: tuple[str, ...] = field(
        default_factory=lambda: tuple(_figure("service_config", "retry_policy", "retryable_status_codes"))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceConfig:
    """What happens to the calls of a connection.

    Attributes:
        retry_policy: when a failed call is tried again. Without effect where there is a ``document``.
        document: gRPC's service config in its JSON form, as :func:`json.loads` gives it: timeouts, retries,
            hedging and more by method, throttling, balancing. Default none.
    """

    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    document: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionConfig:
    """How a connection to one peer is made, kept alive, retried and given up. Checked when it is made.

    What is not given has the figure for production; :meth:`preset` has others.

    Attributes:
        connect_timeout: least time that each attempt is given. Default 30 s; 1 ms to 365 days.
        backoff: how the delay between attempts grows.
        keepalive: when to ask a silent peer whether it is still there.
        idle_timeout: time without a call after which the connection is given up. Default 30 min; zero to
            365 days, or ``NEVER``.
        max_message_size: largest message either way, bytes. Default 4 MiB; 1 to 2 GiB - 1.
        max_queued_calls: calls that may wait for a connection at one time. Default 10,000; 0 to 1,000,000.
        retry_buffer_size: bytes of a call's request that are kept, to be sent again. Default 256 KiB; 0 to
            1 GiB.
        lookup_interval: time after which a name is looked up again although its addresses work. Default
            ``NEVER``; 30 s to 365 days.
        resolver: how the program's own resolver is asked, where a channel has one.
        state_history: changes of a channel's state that are kept, the latest. Default 64; 1 to 10,000.
        pooling: whether calls are spread over several connections.
        opentelemetry: whether calls and attempts are counted by method under the names that gRPC gives them
            for OpenTelemetry, as ``grpc_client_*`` and ``grpc_subchannel_*``. Default false.
        circuit: when calls are kept away from an address. Default never.
        interceptors: that are there already. Default none.
        service_config: what happens to calls.

    Raises:
        ConfigError: a field is out of its range; the message has its path and the range.
    """

    connect_timeout: timedelta = _duration("connect_timeout")
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    keepalive: KeepaliveParams = field(default_factory=KeepaliveParams)
    idle_timeout: timedelta | Never = _limit("idle_timeout")
    max_message_size: int = _plain("max_message_size")
    max_queued_calls: int = _plain("max_queued_calls")
    retry_buffer_size: int = _plain("retry_buffer_size")
    lookup_interval: timedelta | Never = _limit("lookup_interval")
    resolver: ResolverConfig = field(default_factory=ResolverConfig)
    state_history: int = _plain("state_history")
    pooling: PoolingConfig = field(default_factory=PoolingConfig)
    opentelemetry: bool = False
    circuit: CircuitConfig = field(default_factory=CircuitConfig)
    interceptors: InterceptorsConfig = field(default_factory=InterceptorsConfig)
    service_config: ServiceConfig = field(default_factory=ServiceConfig)

    def __post_init__(self) -> None:
        _native.config_from_json(self.to_json())

    @classmethod
    def preset(cls, name: Literal["production", "development", "high_throughput"]) -> Self:
        """The figures for ``"production"``, ``"development"`` or ``"high_throughput"``."""
        return read_document(cls, json.loads(_native.config_preset(name)))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads ``{"preset": "development", "connect_timeout": "2s"}``: absent keys have the preset's figure.

        Raises:
            ConfigError: it is no such document, or a field is out of its range.
        """
        return read_document(cls, json.loads(_native.config_from_json(text)))

    @classmethod
    def from_env(cls) -> Self:
        """The preset that the environment variable ``ENVIRONMENT`` names; production if it names none."""
        return read_document(cls, json.loads(_native.config_from_env()))

    def to_json(self) -> str:
        """Every field, for :meth:`from_json` of any language to read back."""
        return json.dumps(to_document(self))

    def replace(self, **changes: Any) -> Self:
        """The same with other values for some fields."""
        return dataclasses.replace(self, **changes)
