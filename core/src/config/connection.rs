//! How a logical connection to one gRPC-style peer behaves, with presets for three environments.

use super::{
    BackoffConfig, CircuitConfig, Config, InterceptorsConfig, ResolverConfig, RetryPolicy,
    ServiceConfig, StatusCode, TimeLimit,
    check::{self, LONGEST, SHORTEST},
    json,
};
use crate::error::ConnectionError;
use serde::{Deserialize, Serialize};
use std::{env, str::FromStr, time::Duration};

/// How a connection to one peer is made, kept alive, retried and given up.
///
/// Start from a preset, change what you must, [`validate`](Config::validate). In JSON the key
/// `preset` (`"production"`, `"development"` or `"high_throughput"`) chooses what absent keys mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionConfig {
    /// The least time that each attempt to connect is given, resolving and handshakes included; a
    /// longer backoff delay extends it. Default: 30 s (development 5 s, high throughput 10 s).
    /// Limits: 1 ms to 365 days. Cost: a peer that silently drops packets is noticed this late.
    #[serde(with = "crate::duration::text")]
    pub connect_timeout: Duration,
    /// How the delay between attempts grows. Default: gRPC's 1 s × 1.6 up to 120 s ± 20 %
    /// (development 500 ms up to 10 s).
    pub backoff: BackoffConfig,
    /// When to ask a silent peer whether it is still there.
    pub keepalive: KeepaliveParams,
    /// Time without a call after which the connection is given up, to be made again by the next
    /// call. Default: 30 min (development 5 min, high throughput never). Limits: zero (with the end
    /// of the last call) to 365 days, or never. Cost: the first call after it pays for connecting.
    pub idle_timeout: TimeLimit,
    /// Largest message either way, in bytes, after decompression. Default: 4 MiB (high throughput
    /// 16 MiB). Limits: 1 to 2 GiB − 1. Cost: as much memory for each message under way.
    pub max_message_size: u32,
    /// Calls that may wait for a connection at one time. Default: 10,000. Limits: 0 (none waits) to 1,000,000.
    /// Cost: the next one is refused as RESOURCE_EXHAUSTED.
    pub max_queued_calls: u32,
    /// Bytes of a call's request that are kept, to be sent again. Default: 256 KiB. Limits: 0 (nothing is sent
    /// again) to 1 GiB. Cost: as much memory for each call under way; one that sends more is not retried.
    pub retry_buffer_size: u32,
    /// Time after which a name is looked up again although its addresses work, or the program's own resolver asked. Default:
    /// never. Limits: 30 s to 365 days, or never. Cost: a look-up for each channel, this often, while somebody calls.
    pub lookup_interval: TimeLimit,
    /// How the program's own resolver is asked, where a channel has one.
    pub resolver: ResolverConfig,
    /// Changes of the state that are kept for who asks what happened, the latest. Default: 64. Limits: 1 to 10,000.
    /// Cost: at most 100 bytes each, and the error behind it where there is one.
    pub state_history: u32,
    /// Whether calls are spread over several connections to the same peer.
    pub pooling: PoolingConfig,
    /// Whether calls and attempts are counted by method under the names that gRPC gives them for OpenTelemetry, as
    /// `grpc_client_*` and `grpc_subchannel_*`. Default: false. Cost: a few figures for each attempt, and the series of
    /// at most 128 methods of a channel; those of others are counted together as `_other`.
    pub opentelemetry: bool,
    /// When calls are kept away from an address. Default: never.
    pub circuit: CircuitConfig,
    /// What is done with every call, before the interceptors of the program. Default: nothing.
    pub interceptors: InterceptorsConfig,
    /// What happens to calls: retries.
    pub service_config: ServiceConfig,
}

/// When to ask a silent peer whether it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveParams {
    /// Time since the last byte from the peer after which a ping is sent. Default: 10 s (high
    /// throughput 30 s). Limits: 10 s, gRPC's floor, to 365 days, or never.
    ///
    /// Cost: gRPC servers allow one ping in 5 min by default and answer more with GOAWAY
    /// `too_many_pings`. The default is such a figure; a channel that is told so doubles its time
    /// for its next connections. Where you know the server's rule, set its time here.
    pub time: TimeLimit,
    /// Time for the answer, after which the connection counts as lost. Default: 5 s (high throughput
    /// 10 s). Limits: 1 ms to 365 days. Cost: set below the slowest round trip, it cuts good connections.
    #[serde(with = "crate::duration::text")]
    pub timeout: Duration,
    /// Whether to ping while no call is open. Default: true. Cost: keeps radios and middleboxes
    /// awake, and a server that forbids it allows one such ping in 2 h.
    pub permit_without_stream: bool,
}

/// Whether calls are spread over several connections to the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolingConfig {
    /// Default: false, one connection (high throughput true).
    pub enabled: bool,
    /// Most connections, if enabled. Default: 5 (high throughput 10); 3 to 10 suit most services.
    /// Limits: 1 to 100. Cost: each is a socket, a handshake and its buffers.
    pub size: u32,
}

/// A named set of figures for [`ConnectionConfig`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// General services: patient, one connection. The default.
    #[default]
    Production,
    /// Fails and recovers fast, for people who wait at a screen.
    Development,
    /// Many or large messages over connections that stay.
    HighThroughput,
}

impl Preset {
    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
            Self::HighThroughput => "high_throughput",
        }
    }

    /// The figures.
    pub fn config(self) -> ConnectionConfig {
        match self {
            Self::Production => ConnectionConfig::production(),
            Self::Development => ConnectionConfig::development(),
            Self::HighThroughput => ConnectionConfig::high_throughput(),
        }
    }

    /// What a value of `ENVIRONMENT` means: production unless it names another preset.
    fn of_environment(value: Option<&str>) -> Self {
        value.and_then(|name| name.parse().ok()).unwrap_or_default()
    }
}

impl FromStr for Preset {
    type Err = ConnectionError;

    /// Reads the name; `high-throughput` is the same as `high_throughput`.
    fn from_str(name: &str) -> Result<Self, ConnectionError> {
        match name {
            "production" => Ok(Self::Production),
            "development" => Ok(Self::Development),
            "high_throughput" | "high-throughput" => Ok(Self::HighThroughput),
            _ => Err(ConnectionError::invalid_config(
                "preset",
                format!("must be production, development or high_throughput, is {name:?}"),
            )),
        }
    }
}

impl ConnectionConfig {
    /// For general services in production. The same as `Default`.
    pub fn production() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            backoff: BackoffConfig::default(),
            keepalive: KeepaliveParams::default(),
            idle_timeout: TimeLimit::secs(30 * 60),
            max_message_size: 4 << 20,
            max_queued_calls: 10_000,
            retry_buffer_size: 256 << 10,
            lookup_interval: TimeLimit::Never,
            resolver: ResolverConfig::default(),
            state_history: 64,
            pooling: PoolingConfig::default(),
            opentelemetry: false,
            circuit: CircuitConfig::default(),
            interceptors: InterceptorsConfig::default(),
            service_config: ServiceConfig::default(),
        }
    }

    /// For development: short timeouts, little backoff, few retries.
    pub fn development() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            backoff: BackoffConfig {
                base_delay: Duration::from_millis(500),
                max_delay: Duration::from_secs(10),
                ..BackoffConfig::default()
            },
            idle_timeout: TimeLimit::secs(5 * 60),
            service_config: ServiceConfig {
                retry_policy: RetryPolicy {
                    max_attempts: 3,
                    initial_backoff: Duration::from_millis(500),
                    max_backoff: Duration::from_secs(5),
                    backoff_multiplier: 1.5,
                    retryable_status_codes: vec![StatusCode::Unavailable],
                },
                document: None,
            },
            ..Self::production()
        }
    }

    /// For many or large messages over long-lived connections: pooled, never idle.
    pub fn high_throughput() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            keepalive: KeepaliveParams {
                time: TimeLimit::secs(30),
                timeout: Duration::from_secs(10),
                ..KeepaliveParams::default()
            },
            idle_timeout: TimeLimit::Never,
            max_message_size: 16 << 20,
            pooling: PoolingConfig { enabled: true, size: 10 },
            service_config: ServiceConfig {
                retry_policy: RetryPolicy {
                    max_attempts: 3,
                    initial_backoff: Duration::from_secs(2),
                    max_backoff: Duration::from_secs(60),
                    backoff_multiplier: 2.0,
                    retryable_status_codes: vec![
                        StatusCode::Unavailable,
                        StatusCode::DeadlineExceeded,
                    ],
                },
                document: None,
            },
            ..Self::production()
        }
    }

    /// The preset that the environment variable `ENVIRONMENT` names: `development`, `production` or
    /// `high-throughput`; production if it is not set or says anything else.
    ///
    /// The one place in this crate that reads the environment.
    pub fn from_env() -> Self {
        Preset::of_environment(env::var("ENVIRONMENT").ok().as_deref()).config()
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self::production()
    }
}

impl Config for ConnectionConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::duration("connect_timeout", self.connect_timeout, SHORTEST..=LONGEST)?;
        check::within("backoff", self.backoff.validate())?;
        check::within("keepalive", self.keepalive.validate())?;
        check::limit("idle_timeout", self.idle_timeout, Duration::ZERO..=LONGEST)?;
        check::number("max_message_size", self.max_message_size, 1..=i32::MAX as u32)?;
        check::number("max_queued_calls", self.max_queued_calls, 0..=1_000_000)?;
        check::number("retry_buffer_size", self.retry_buffer_size, 0..=1 << 30)?;
        check::limit("lookup_interval", self.lookup_interval, Duration::from_secs(30)..=LONGEST)?;
        check::within("resolver", self.resolver.validate())?;
        check::number("state_history", self.state_history, 1..=10_000)?;
        check::within("pooling", self.pooling.validate())?;
        check::within("circuit", self.circuit.validate())?;
        check::within("interceptors", self.interceptors.validate())?;
        check::within("service_config", self.service_config.validate())
    }

    fn from_json(text: &str) -> Result<Self, ConnectionError> {
        json::read(text, |document| match document.remove("preset") {
            None | Some(serde_json::Value::Null) => Ok(Self::default()),
            Some(serde_json::Value::String(name)) => name.parse().map(Preset::config),
            Some(_) => Err(ConnectionError::invalid_config("preset", "must be a string")),
        })
    }
}

impl Default for KeepaliveParams {
    fn default() -> Self {
        Self {
            time: TimeLimit::secs(10),
            timeout: Duration::from_secs(5),
            permit_without_stream: true,
        }
    }
}

impl Config for KeepaliveParams {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::limit("time", self.time, Duration::from_secs(10)..=LONGEST)?;
        check::duration("timeout", self.timeout, SHORTEST..=LONGEST)
    }
}

impl Default for PoolingConfig {
    fn default() -> Self {
        Self { enabled: false, size: 5 }
    }
}

impl Config for PoolingConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("size", self.size, 1..=100)
    }
}
