//! What a hub and its tasks have in common. The tasks hold this, and never the hub itself.

use super::{http::Users, registry::Registry, welcome::Welcomed};
use crate::{
    address::Address,
    budget::Budget,
    config::{ByteLimit, HubConfig, TimeLimit},
    error::{ConnectionError, Step},
    events::{Event, EventKind},
    manager::{Cut, Live},
    relay::RelayLimits,
    transport::{Listener, Network},
    tunnel::{
        auth::Authenticator, carrier::Carrier, counts::Counts, http::Requests, incoming::Incoming,
        native, packet,
    },
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Instant};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) config: HubConfig,
    pub(super) authenticator: Arc<dyn Authenticator>,
    /// Held for one step; carriers are dropped outside of it.
    pub(super) registry: Mutex<Registry<Arc<Member>, Books>>,
    /// A link was registered.
    pub(super) joined: Notify,
    /// Numbers of connections over packets.
    pub(super) ids: Arc<packet::Ids>,
    /// Links that will be.
    pub(super) welcomed: Welcomed,
    /// Logical connections, over all clusters.
    pub(super) connections: Budget,
    /// Agents that have not proved their name yet.
    pub(super) hellos: Budget,
    /// Links.
    pub(super) agents: Budget,
    pub(super) live: Arc<Live>,
    pub(super) counts: Counts,
    /// Nothing new, but what stands may finish.
    pub(super) stopping: CancellationToken,
    /// Nothing stands any more: the links may end.
    pub(super) finished: CancellationToken,
    pub(super) cut: Cut,
    /// Accept loops.
    pub(super) loops: TaskTracker,
    /// Links, dials and relays.
    pub(super) tasks: TaskTracker,
    /// Who may use what by HTTP.
    pub(super) users: Users,
    /// Their connections.
    pub(super) users_connections: Budget,
    /// Connections of those who speak SOCKS5.
    pub(super) socks_connections: Budget,
    pub(super) requests: Requests,
    /// Connections of users who speak HTTP, and what serves them.
    pub(super) fronts: TaskTracker,
}

/// One link in the registry.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) carrier: Arc<dyn Carrier>,
    /// Another agent has taken the place.
    pub(super) replaced: CancellationToken,
}

/// What dials to one cluster count in.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) connections: Budget,
    pub(super) pending: Budget,
}

impl Shared {
    pub(super) fn new(
        network: Network,
        config: HubConfig,
        authenticator: Arc<dyn Authenticator>,
    ) -> Self {
        let counts = Counts::new(network.metrics(), "hub");
        Self {
            authenticator,
            registry: Mutex::new(Registry::new(config.policy)),
            joined: Notify::new(),
            ids: Arc::new(packet::Ids::new(nanoseconds())),
            welcomed: Welcomed::default(),
            connections: Budget::new(u64::from(config.max_connections)),
            hellos: Budget::new(u64::from(config.max_hellos)),
            agents: Budget::new(u64::from(config.max_agents)),
            live: Live::new(),
            counts,
            stopping: CancellationToken::new(),
            finished: CancellationToken::new(),
            cut: Cut::default(),
            loops: TaskTracker::new(),
            tasks: TaskTracker::new(),
            users: Users::new(&config),
            users_connections: Budget::new(u64::from(config.http.max_connections)),
            socks_connections: Budget::new(u64::from(config.socks.max_connections)),
            requests: Requests::new(network.metrics(), "trunkline_tunnel_requests_total"),
            fronts: TaskTracker::new(),
            network,
            config,
        }
    }

    pub(super) fn books(&self) -> Books {
        Books {
            connections: Budget::new(u64::from(self.config.max_connections_per_cluster)),
            pending: Budget::new(u64::from(self.config.max_pending_dials)),
        }
    }

    pub(super) fn native_limits(&self) -> native::Limits {
        native::Limits::new(&self.config.link, self.config.max_connections_per_cluster)
    }

    pub(super) fn packet_limits(&self) -> packet::Limits {
        packet::Limits::new(&self.config.link, self.config.max_connections_per_cluster)
    }

    /// Whether some agent of the cluster may swap what is sent to it.
    pub(super) fn may_lose_order(&self, cluster: &str) -> bool {
        self.registry.lock().any(cluster, |member| !member.carrier.keeps_order())
    }

    pub(super) fn relay_limits(&self) -> RelayLimits {
        let HubConfig { idle_timeout, half_close_timeout, buffer_size, .. } = self.config;
        RelayLimits {
            idle: idle_timeout,
            half_close: half_close_timeout,
            buffer_size: buffer_size as usize,
            max_duration: TimeLimit::Never,
            splice_after: ByteLimit::Never,
            ..RelayLimits::default()
        }
    }

    /// Whether agents may come in at `address`.
    pub(super) fn check_listen(&self, address: &Address) -> Result<(), ConnectionError> {
        self.config.check_listen(address)?;
        let is_secured = matches!(address, Address::Tls(_) | Address::TlsName { .. });
        let by_certificates = !self.config.agent_certificates.is_empty();
        if is_secured && by_certificates && !self.network.asks_clients() {
            return Err(ConnectionError::invalid_config(
                "tls.server.client_auth",
                "must be optional or required where agent_certificates are given",
            ));
        }
        Ok(())
    }

    pub(super) fn check_open(&self, step: Step) -> Result<(), ConnectionError> {
        if self.stopping.is_cancelled() {
            return Err(ConnectionError::closed(step));
        }
        Ok(())
    }

    /// What comes to `listener`.
    pub(super) fn incoming(&self, listener: Listener) -> Incoming {
        Incoming::new(&self.network, &self.stopping, listener, self.config.accept_pause)
    }

    pub(super) fn record(&self, kind: EventKind, address: &Address) {
        let event = Event::of_listener(kind, Some(address.clone()), clock());
        self.network.events().record(event);
    }
}

/// Higher than at any hub before this one, as long as the system's clock is.
#[expect(clippy::disallowed_methods, reason = "the only thing that goes up over restarts")]
fn nanoseconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "events and deadlines are told by this clock")]
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
