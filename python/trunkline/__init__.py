"""One connection layer for every language of a system.

Streams, listeners, pipes, datagrams, pools, managers, channels, their configuration and metrics.

Everything comes twice: for threads (:func:`connect`, :class:`Stream`) and for asyncio
(:func:`async_connect`, :class:`AsyncStream`). All failures are :class:`Error`.
"""

from __future__ import annotations

from typing import Final

from . import _native
from ._agent import (
    Agent,
    AgentStats,
    AsyncAgent,
    CommPathStats,
    MemoryCommStats,
)
from ._async_stream import (
    AsyncStream,
)
from ._breaker_config import (
    BreakerConfig,
)
from ._call import (
    AsyncCall,
    Call,
    Response,
)
from ._channel import (
    AsyncChannel,
    Channel,
    ChannelState,
)
from ._check_callback import (
    CheckQuestion,
)
from ._checkout_async_pool import (
    AsyncPool,
)
from ._checkout_config import (
    TunerConfig,
)
from ._checkout_pool import (
    Pool,
)
from ._checkout_stats import (
    CheckoutPoolStats,
    HeldLease,
    PoolAdvice,
)
from ._config import (
    BackoffConfig,
    CallerConfig,
    CallLogConfig,
    CircuitConfig,
    ConnectionConfig,
    InterceptorsConfig,
    KeepaliveParams,
    PoolingConfig,
    ResolverConfig,
    RetryPolicy,
    ServiceConfig,
)
from ._datagram import (
    AsyncDatagram,
    Datagram,
    DatagramStats,
    ReceivedDatagram,
    async_bind,
    bind,
)
from ._endpoints import (
    EndpointReason,
    LiveEndpoint,
)
from ._errors import (
    BindError,
    ChannelError,
    CircuitOpen,
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    Error,
    ForkedError,
    LimitExceeded,
    NativeError,
    NoMemoryError,
    NotFoundError,
    PoolClosed,
    PoolError,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    ResetError,
    TlsError,
    TooManyWaiters,
    UdpError,
    UnsupportedError,
    WaitTimeout,
    WouldBlock,
    WriteTimeout,
)
from ._history import (
    History,
    StateChange,
)
from ._http_config import (
    HeaderRule,
    HttpConfig,
    HttpRoute,
    SocksConfig,
    UserConfig,
)
from ._interceptor import (
    AsyncInterceptor,
    Beginning,
    Ending,
    Interceptor,
)
from ._lease import (
    Lease,
)
from ._listener import (
    AsyncListener,
    Listener,
    async_listen,
    listen,
)
from ._live_channel import (
    ChannelPoolStats,
    LiveAddress,
    LiveChannel,
    LiveConnection,
    LiveSecurity,
)
from ._logging import (
    start_logging,
    stop_logging,
)
from ._manager import (
    AsyncTcpConnectionManager,
    LiveTcpConnection,
    ManagerStats,
    TcpConnectionManager,
)
from ._memory_proxy import (
    AsyncMemoryProxy,
    MemoryProxy,
    MemoryProxyStats,
)
from ._metrics import (
    Metric,
    MetricKind,
    MetricsSnapshot,
    metrics,
    prometheus_text,
)
from ._open import (
    async_connect,
    async_pipe,
    connect,
    pipe,
)
from ._pool import (
    AsyncKeyedPool,
    KeyedPool,
    PoolCloseReason,
    PoolStats,
)
from ._probe import (
    Probed,
    ProbeVerdict,
    probe_tcp,
    probe_udp,
)
from ._proxy_config import (
    MemoryProxyConfig,
    ProxyRoute,
)
from ._proxy_hooks import (
    FieldChanges,
    ProxyHello,
    ProxyRefusal,
    ProxyRequest,
    ProxyTarget,
)
from ._resolver import (
    ResolveQuestion,
)
from ._route_callback import (
    REFUSE,
    Arrival,
    Refuse,
    ToAddress,
)
from ._route_config import (
    AcceptProxyConfig,
    BackendConfig,
    BalanceConfig,
    CallbackCheckConfig,
    EndpointCheck,
    EndpointConfig,
    EwmaConfig,
    FailurePercentageConfig,
    HealthConfig,
    HttpCheckConfig,
    ListenerConfig,
    OutlierConfig,
    PerSourceConfig,
    ProbeConfig,
    QueueConfig,
    ResolveConfig,
    RouteCallbackConfig,
    RouteConfig,
    SlowStartConfig,
    SuccessRateConfig,
    TlsCheckConfig,
)
from ._runtime import (
    Runtime,
    runtime,
)
from ._stream import (
    Stream,
)
from ._tcp_config import (
    BandwidthConfig,
    SpliceConfig,
    TcpConfig,
    TcpKeepalive,
    TcpManagerConfig,
)
from ._tls import (
    PemFile,
    PemText,
    Tls,
    TlsCertificate,
    TlsClientConfig,
    TlsConfig,
    TlsServerConfig,
    TlsSession,
)
from ._tunnel import (
    AsyncHub,
    Hub,
    HubStats,
)
from ._tunnel_config import (
    AgentConfig,
    HubConfig,
    LinkConfig,
    MemoryCommConfig,
)
from ._types import (
    NEVER,
    CloseReason,
    Never,
    StreamStats,
)
from ._udp_config import (
    UdpManagerConfig,
)
from ._udp_manager import (
    AsyncUdpConnectionManager,
    DropReason,
    LiveUdpConnection,
    UdpConnectionManager,
    UdpManagerStats,
)

__all__ = [
    "NEVER",
    "REFUSE",
    "AcceptProxyConfig",
    "Agent",
    "AgentConfig",
    "AgentStats",
    "Arrival",
    "AsyncAgent",
    "AsyncCall",
    "AsyncChannel",
    "AsyncDatagram",
    "AsyncHub",
    "AsyncInterceptor",
    "AsyncKeyedPool",
    "AsyncListener",
    "AsyncMemoryProxy",
    "AsyncPool",
    "AsyncStream",
    "AsyncTcpConnectionManager",
    "AsyncUdpConnectionManager",
    "BackendConfig",
    "BackoffConfig",
    "BalanceConfig",
    "BandwidthConfig",
    "Beginning",
    "BindError",
    "BreakerConfig",
    "Call",
    "CallLogConfig",
    "CallbackCheckConfig",
    "CallerConfig",
    "Channel",
    "ChannelError",
    "ChannelPoolStats",
    "ChannelState",
    "CheckQuestion",
    "CheckoutPoolStats",
    "CircuitConfig",
    "CircuitOpen",
    "CloseReason",
    "ClosedError",
    "CommPathStats",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionConfig",
    "Datagram",
    "DatagramStats",
    "DropReason",
    "Ending",
    "EndpointCheck",
    "EndpointConfig",
    "EndpointReason",
    "Error",
    "EwmaConfig",
    "FailurePercentageConfig",
    "FieldChanges",
    "ForkedError",
    "HeaderRule",
    "HealthConfig",
    "HeldLease",
    "History",
    "HttpCheckConfig",
    "HttpConfig",
    "HttpRoute",
    "Hub",
    "HubConfig",
    "HubStats",
    "Interceptor",
    "InterceptorsConfig",
    "KeepaliveParams",
    "KeyedPool",
    "Lease",
    "LimitExceeded",
    "LinkConfig",
    "Listener",
    "ListenerConfig",
    "LiveAddress",
    "LiveChannel",
    "LiveConnection",
    "LiveEndpoint",
    "LiveSecurity",
    "LiveTcpConnection",
    "LiveUdpConnection",
    "ManagerStats",
    "MemoryCommConfig",
    "MemoryCommStats",
    "MemoryProxy",
    "MemoryProxyConfig",
    "MemoryProxyStats",
    "Metric",
    "MetricKind",
    "MetricsSnapshot",
    "NativeError",
    "Never",
    "NoMemoryError",
    "NotFoundError",
    "OutlierConfig",
    "PemFile",
    "PemText",
    "PerSourceConfig",
    "Pool",
    "PoolAdvice",
    "PoolCloseReason",
    "PoolClosed",
    "PoolError",
    "PoolStats",
    "PoolTimeout",
    "PoolingConfig",
    "ProbeConfig",
    "ProbeVerdict",
    "Probed",
    "ProtocolError",
    "ProxyHello",
    "ProxyRefusal",
    "ProxyRequest",
    "ProxyRoute",
    "ProxyTarget",
    "QueueConfig",
    "ReadTimeout",
    "ReceivedDatagram",
    "Refuse",
    "ResetError",
    "ResolveConfig",
    "ResolveQuestion",
    "ResolverConfig",
    "Response",
    "RetryPolicy",
    "RouteCallbackConfig",
    "RouteConfig",
    "Runtime",
    "ServiceConfig",
    "SlowStartConfig",
    "SocksConfig",
    "SpliceConfig",
    "StateChange",
    "Stream",
    "StreamStats",
    "SuccessRateConfig",
    "TcpConfig",
    "TcpConnectionManager",
    "TcpKeepalive",
    "TcpManagerConfig",
    "Tls",
    "TlsCertificate",
    "TlsCheckConfig",
    "TlsClientConfig",
    "TlsConfig",
    "TlsError",
    "TlsServerConfig",
    "TlsSession",
    "ToAddress",
    "TooManyWaiters",
    "TunerConfig",
    "UdpConnectionManager",
    "UdpError",
    "UdpManagerConfig",
    "UdpManagerStats",
    "UnsupportedError",
    "UserConfig",
    "WaitTimeout",
    "WouldBlock",
    "WriteTimeout",
    "__version__",
    "async_bind",
    "async_connect",
    "async_listen",
    "async_pipe",
    "bind",
    "connect",
    "listen",
    "metrics",
    "pipe",
    "probe_tcp",
    "probe_udp",
    "prometheus_text",
    "runtime",
    "start_logging",
    "stop_logging",
]

__version__: Final = _native.version()
