//! What a user may set: plain data with documented units, defaults, limits and costs.
//!
//! Three things are never mixed up, here and in every binding:
//!
//! | | in Rust | in JSON |
//! |---|---|---|
//! | not set: the documented default | `..Default::default()` | key absent, or `null` |
//! | zero | `Duration::ZERO`, `0` | `"0s"`, `0` |
//! | never | [`TimeLimit::Never`], [`ByteLimit::Never`] | `"never"` |
//!
//! Every default is finite. Nothing here acts: drivers take a checked configuration.

mod backend;
mod backoff;
mod balance;
mod bandwidth;
mod breaker;
mod channel_server;
mod check;
mod checkout;
mod circuit;
mod connection;
mod endpoint_check;
mod health;
mod http;
mod interceptors;
mod json;
mod listener;
mod manager;
mod memory_comm;
mod memory_proxy;
mod outlier;
mod per_source;
mod pool;
mod queue;
mod resolve;
mod resolver;
mod retry;
mod route;
mod route_callback;
mod service;
mod socks;
mod source;
mod splice;
mod target;
mod tls;
mod transport;
mod tuner;
mod tunnel;
mod udp;
mod user;

pub use self::http::{ClusterFrom, HeaderRule, HttpConfig, HttpRoute};
pub use crate::{
    backoff::BackoffConfig, duration::TimeLimit, status::StatusCode, volume::ByteLimit,
};
pub(crate) use backend::is_tls;
pub use backend::{BackendConfig, EndpointConfig, SendProxy};
pub use balance::{BalanceConfig, EwmaConfig, PickPolicy, SlowStartConfig};
pub use bandwidth::BandwidthConfig;
pub use breaker::BreakerConfig;
pub use channel_server::ChannelServerConfig;
pub use checkout::{CheckoutPoolConfig, IdleOrder};
pub use circuit::CircuitConfig;
pub use connection::{ConnectionConfig, KeepaliveParams, PoolingConfig, Preset};
pub use endpoint_check::{
    CallbackCheckConfig, EndpointCheck, HttpCheckConfig, NoAnswer, StatusRange, StatusRangeError,
    TlsCheckConfig,
};
pub use health::HealthConfig;
pub use interceptors::{CallLogConfig, CallerConfig, InterceptorsConfig};
pub use listener::{AcceptProxy, AcceptProxyConfig, ListenerConfig, ProbeConfig};
pub use manager::TcpManagerConfig;
pub use memory_comm::MemoryCommConfig;
pub(crate) use memory_proxy::check_proxy_target;
pub use memory_proxy::{MemoryProxyConfig, ProxyRoute, ProxyRouting};
pub use outlier::{FailurePercentageConfig, OutlierConfig, SuccessRateConfig};
pub use per_source::{PerSourceConfig, SourcesFull};
pub use pool::{FullPolicy, PoolConfig};
pub use queue::QueueConfig;
pub use resolve::ResolveConfig;
pub use resolver::ResolverConfig;
pub use retry::{RetryPolicy, ServiceConfig};
pub(crate) use route::PROTOCOLS;
pub use route::RouteConfig;
pub use route_callback::RouteCallbackConfig;
pub use service::{
    CallPolicy, HedgingPolicy, LoadBalancing, MethodConfig, RetryThrottling, ServiceDocument,
    WeightedRoundRobin,
};
pub use socks::SocksConfig;
pub use source::{SourcePrefix, SourcePrefixError};
pub use splice::SpliceConfig;
pub use target::{TargetRule, TargetRuleError};
pub use tls::{
    ClientAuth, TlsCertificate, TlsChain, TlsClientConfig, TlsConfig, TlsKey, TlsRoots,
    TlsServerConfig, TlsVersion,
};
pub use transport::{PipeConfig, TcpConfig, TcpKeepalive};
pub use tuner::{TunerConfig, TunerMode};
pub use tunnel::{AgentConfig, AgentPolicy, HubConfig, LinkConfig, TunnelCarrier};
pub use udp::UdpManagerConfig;
pub(crate) use user::ALL_CLUSTERS;
pub use user::UserConfig;

use crate::error::ConnectionError;
use serde::{Serialize, de::DeserializeOwned};

/// What every configuration can do: check itself, read and write JSON.
pub trait Config: Default + Serialize + DeserializeOwned {
    /// Checks every field, and fields against each other.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for the first field that is out of its range, with its path,
    /// such as `keepalive.time`, the allowed range and the value.
    fn validate(&self) -> Result<(), ConnectionError>;

    /// Reads and checks one JSON object. Keys that are absent or `null` keep their default.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] naming the path of a key that is unknown, of another type
    /// or out of its range; naming `json` for a text that is no JSON.
    fn from_json(text: &str) -> Result<Self, ConnectionError> {
        json::read(text, |_| Ok(Self::default()))
    }

    /// Writes every field as JSON, for [`from_json`](Self::from_json) to read back unchanged.
    fn to_json(&self) -> String {
        json::write(self)
    }
}

#[cfg(test)]
mod tests;
