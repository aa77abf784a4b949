//! Where connections are passed on to: endpoints that stand in for each other.

use super::{
    BalanceConfig, BreakerConfig, Config, HealthConfig, OutlierConfig, QueueConfig, ResolveConfig,
    TimeLimit,
    check::{self, LONGEST, SHORTEST},
};
use crate::{address::Address, error::ConnectionError};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};

/// Where connections are passed on to: endpoints that stand in for each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendConfig {
    /// The endpoints, 1 to 10,000. Must be set.
    pub endpoints: Vec<EndpointConfig>,
    /// Connections to all of them together at one time; those above wait in line, as `queue` says. Default: as many as the
    /// manager lets in. Limits: 1 to 1,000,000.
    pub max_connections: Option<u32>,
    /// Who may wait for a place, and for how long.
    pub queue: QueueConfig,
    /// Which of them gets the next connection. By key the source's IP address is the key.
    pub balance: BalanceConfig,
    /// When one that fails is not tried for a while.
    pub breaker: BreakerConfig,
    /// When one that fails more than the others is left out.
    pub outlier: OutlierConfig,
    /// Whether, how and how often each is checked, to see that it is there. Default: it is not.
    pub health: Option<HealthConfig>,
    /// Endpoints that are tried for one connection, one after the other, all of them within the manager's
    /// `tcp.connect_timeout`. Default: 3. Limits: 1 to 100. Cost: while all fail, each client costs as many
    /// attempts.
    pub max_attempts: u32,
    /// Time after which an endpoint that neither took nor refused the connection is given up for the next.
    /// Default: 2 s. Limits: 1 ms to 365 days. Cost: with as much as `tcp.connect_timeout`, one endpoint that
    /// drops packets leaves no time for another.
    #[serde(with = "crate::duration::text")]
    pub attempt_timeout: Duration,
    /// Whether the endpoints are told for whom the manager speaks.
    pub send_proxy_protocol: SendProxy,
    /// How the names among the endpoints are looked up: for as long as the manager runs, each of their addresses is an
    /// endpoint of its own, with the weight of its name.
    pub resolve: ResolveConfig,
    /// Time that connections to an endpoint have to finish which is no longer one, by another configuration or another
    /// answer to its name; then they are closed as `drained`. Default: never, they stay as long as they like. Limits: zero
    /// (at once) to 365 days, or never.
    pub removed_timeout: TimeLimit,
}

/// An endpoint of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Where it is.
    pub address: Address,
    /// Its share of the connections, beside the others' weights. Default: 1. Limits: 0 (no new ones) to
    /// 1,000,000.
    #[serde(default = "one")]
    pub weight: u32,
}

/// Whether and how endpoints are told for whom the manager speaks, by the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendProxy {
    /// They are not.
    #[default]
    Off,
    /// By a line of text.
    V1,
    /// In binary, with what a proxy in front said besides addresses, and a checksum.
    V2,
}

fn one() -> u32 {
    1
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            max_connections: None,
            queue: QueueConfig::default(),
            balance: BalanceConfig::default(),
            breaker: BreakerConfig::default(),
            outlier: OutlierConfig::default(),
            health: None,
            max_attempts: 3,
            attempt_timeout: Duration::from_secs(2),
            send_proxy_protocol: SendProxy::Off,
            resolve: ResolveConfig::default(),
            removed_timeout: TimeLimit::Never,
        }
    }
}

impl Config for BackendConfig {
    fn validate(&self) -> Result<(), ConnectionError> {
        check::number("endpoints.length", self.endpoints.len(), 1..=10_000)?;
        let mut listed = HashSet::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let twice = !listed.insert(&endpoint.address);
            let checked = endpoint.validate(twice, self.send_proxy_protocol);
            check::within(format_args!("endpoints[{index}]"), checked)?;
        }
        check::connections(self.max_connections)?;
        check::within("queue", self.queue.validate())?;
        check::within("balance", self.balance.validate())?;
        check::within("breaker", self.breaker.validate())?;
        check::within("outlier", self.outlier.validate())?;
        if let Some(health) = &self.health {
            let is_nameless = |endpoint: &EndpointConfig| {
                matches!(
                    endpoint.address,
                    Address::Unix(_) | Address::Abstract(_) | Address::Mem(_)
                )
            };
            let is_nameless = self.endpoints.iter().any(is_nameless);
            check::within("health", health.validate_for(is_nameless))?;
        }
        check::number("max_attempts", self.max_attempts, 1..=100)?;
        check::duration("attempt_timeout", self.attempt_timeout, SHORTEST..=LONGEST)?;
        check::within("resolve", self.resolve.validate())?;
        check::limit("removed_timeout", self.removed_timeout, Duration::ZERO..=LONGEST)
    }
}

impl EndpointConfig {
    fn validate(
        &self,
        is_listed_twice: bool,
        send_proxy: SendProxy,
    ) -> Result<(), ConnectionError> {
        if is_listed_twice {
            return check::refuse("address", format!("{} is listed twice", self.address));
        }
        let port = match &self.address {
            Address::Tcp(literal) | Address::Tls(literal) => literal.port(),
            Address::TcpName { port, .. } | Address::TlsName { port, .. } => *port,
            Address::Unix(_) | Address::Abstract(_) | Address::Mem(_) => 1,
            Address::Udp(_) | Address::UdpName { .. } => {
                return check::refuse("address", "datagrams are no stream".to_owned());
            }
            Address::Tunnel(_) => {
                return check::refuse("address", "a tunnel is reached through a hub".to_owned());
            }
        };
        if port == 0 {
            return check::refuse("address", "the port to connect to is 1 to 65535".to_owned());
        }
        if is_tls(&self.address) && send_proxy != SendProxy::Off {
            let reason = "is secured, and send_proxy_protocol would come after the handshake";
            return check::refuse("address", reason.to_owned());
        }
        check::number("weight", self.weight, 0..=1_000_000)
    }
}

/// Whether the bytes of an address are secured.
pub(crate) fn is_tls(address: &Address) -> bool {
    matches!(address, Address::Tls(_) | Address::TlsName { .. })
}
