//! Connections that every language of a system shares: one backoff, one pool, one set of metrics.
//!
//! ```text
//!   tunnel     Hub, Agent: connections through a tunnel that the agent has dialled; MemoryProxy: HTTP behind it
//!   manager    TcpConnectionManager: accepts, dials, relays, limits, drains; UdpConnectionManager: sessions
//!   channel    Channel: calls to gRPC servers, retried, balanced, kept alive
//!   pool       DashMapConnectionPool: keyed, bounded, expiring; CheckoutPool: one caller at a time
//!   relay      copies both ways, counts, half-closes; gives a stream a socket
//!   probe      TcpProbedProtocol, UdpProbedProtocol: what a peer speaks, from its first bytes
//!   proxy_protocol  ProxyHeader: who a proxy in front speaks for
//!   endpoint   EndpointSet, HealthCheck, OutlierDetector, Breaker, Picker: who is there, works, is next
//!   transport  Network ─▶ Stream, Listener over tcp, tls, unix, mem; faults on any of them; Datagram
//!   identity   Tls: certificates, keys and roots in use, renewed when their files change
//!   config · metrics · events · completion
//!   error · context · backoff · budget · fork · give_way
//!   address · duration · reader · secret · status · volume
//! ```
//!
//! A module uses those below it, never its own row or above; a test holds it to that.
//!
//! # Rules that always hold
//!
//! 1. A permit is taken before work starts (before `accept`, before `connect`) and is a guard that gives
//!    itself back. Nothing else changes a count. No limit is exceeded by one, under any interleaving.
//! 2. Dropping any future of ours is a supported way to cancel it; each doc says what remains.
//! 3. No callback, waker or destructor of a user's value runs under a lock of ours, and no lock is held
//!    across an await.
//! 4. Every queue has a bound. Backpressure reaches the sender; what a protocol permits to be dropped is
//!    counted under a named reason.
//! 5. Handles own, background tasks only watch: any order of drop is right. Closing is idempotent and
//!    returns when every file descriptor of the object is gone.
//! 6. Unset, zero and never are three values. Every default is finite.
//! 7. Time is monotonic and logic takes `now`. Jitter never vanishes at a ceiling.
//! 8. This crate starts no runtime and no thread, reads no environment except in
//!    [`ConnectionConfig::from_env`] and to find the roots that the system trusts, and has no global state but the source of connection numbers.
//! 9. `unsafe` lives in the files that the tests name.

pub mod address;
pub mod backoff;
pub mod budget;
pub mod channel;
pub mod completion;
pub mod config;
pub mod context;
pub mod duration;
pub mod endpoint;
pub mod error;
pub mod events;
pub mod fork;
pub mod give_way;
pub mod identity;
pub mod manager;
pub mod metrics;
pub mod pool;
pub mod probe;
pub mod proxy_protocol;
mod reader;
pub mod relay;
pub mod secret;
mod status;
mod sync;
pub mod transport;
pub mod tunnel;
pub mod volume;

pub use address::{Address, AddressError};
pub use backoff::{Backoff, BackoffConfig};
pub use budget::{Budget, Permit};
pub use channel::{Call, CallOptions, Channel, ChannelServer, ConnectivityState};
pub use config::{
    AcceptProxy, AcceptProxyConfig, AgentConfig, AgentPolicy, BackendConfig, BalanceConfig,
    BandwidthConfig, BreakerConfig, CallLogConfig, CallbackCheckConfig, CallerConfig,
    CheckoutPoolConfig, CircuitConfig, ConnectionConfig, EndpointCheck, EndpointConfig,
    HealthConfig, HttpCheckConfig, HttpConfig, HttpRoute, HubConfig, InterceptorsConfig,
    LinkConfig, ListenerConfig, MemoryCommConfig, MemoryProxyConfig, NoAnswer, OutlierConfig,
    PerSourceConfig, PipeConfig, PoolConfig, ProbeConfig, ProxyRoute, ProxyRouting, QueueConfig,
    ResolveConfig, ResolverConfig, RouteCallbackConfig, RouteConfig, SendProxy, SocksConfig,
    SourcePrefix, SourcesFull, SpliceConfig, StatusRange, TargetRule, TcpConfig, TcpManagerConfig,
    TlsCheckConfig, TlsConfig, TunerConfig, TunnelCarrier, UdpManagerConfig, UserConfig,
};
pub use context::{CloseReason, ConnectionContext, ConnectionId, Direction, Protocol};
pub use endpoint::{
    Availability, Breaker, BreakerChange, BreakerCounts, BreakerState, Endpoint, EndpointId,
    EndpointSet, HealthCheck, OpenFor, Outcome, OutlierDetector, Pass, PeakEwma, Peers, Picker,
    ResolvedName,
};
pub use error::{ConnectionError, Place, RpcStatus, Step, TlsFailure, TlsFault, UdpCase};
pub use events::{Event, Events};
pub use give_way::GiveWay;
pub use identity::Tls;
pub use manager::{
    Arrival, CheckAnswer, CheckCallback, CheckQuestion, Checking, ConnectionManager, DrainReport,
    EndpointReason, EndpointState, LiveEndpoint, LiveState, LiveTcpConnection, LiveUdpConnection,
    ReasonKind, RouteCallback, RouteDecision, Routing, TcpConnection, TcpConnectionInfo,
    TcpConnectionManager, TcpManagerStats, UdpConnection, UdpConnectionInfo, UdpConnectionManager,
    UdpManagerStats, UdpRelayOptions,
};
pub use metrics::{ConnectionMetrics, DropReason, Metrics};
pub use pool::{
    Advice, CheckoutPool, CheckoutPoolStats, ConnectionPool, Connector, DashMapConnectionPool, Got,
    InsertError, Lease, PoolCloseReason, PoolEntry, PoolStats, Tuner, TunerSample, Turn,
};
pub use probe::{
    DnsQuery, PostgresRequest, TcpProbedProtocol, TlsHello, UdpProbedProtocol, Verdict,
};
pub use proxy_protocol::{ProxyAddresses, ProxyHeader, ProxyTlv, ProxyVersion};
pub use secret::Secret;
pub use status::StatusCode;
pub use transport::{
    CloseHandle, ConnectOptions, Datagram, DatagramCloseHandle, DatagramReady, DatagramStats,
    ListenOptions, Listener, ListenerReady, Network, Received, Stream, StreamReady, TlsSession,
    Transport, pipe::Names,
};
pub use tunnel::{
    Agent, AgentStats, Answering, Authenticator, CertificateChoice, CertificateProvider, Claim,
    CommPathStats, FieldChanges, Hub, HubStats, MemoryCommStats, MemoryProxy, MemoryProxyStats,
    Processed, ProxyHello, ProxyHooks, ProxyRefusal, ProxyRequest, ProxyTarget, RequestProcessor,
    Routed, Router, Verified,
};
