//! The hub: lets agents in, and opens connections through them.

mod dial;
mod forward;
mod http;
mod link;
mod registry;
mod shared;
mod socks;
mod stats;
mod welcome;

#[cfg(fuzzing)]
pub(super) use socks::fuzzing::messages as fuzz_socks;
pub use stats::HubStats;

use crate::{
    address::Address,
    config::{Config, HubConfig},
    context::CloseReason,
    error::{ConnectionError, Step},
    events::EventKind,
    manager::DrainReport,
    transport::{ListenOptions, Network, Stream},
    tunnel::{
        auth::{Authenticator, Configured},
        ending::finish_by,
        greet,
        http::alpn,
    },
};
use dial::{Holder, Wanted, dial};
use shared::{Shared, clock};
use std::{sync::Arc, time::Instant};

/// Knows which agent serves which cluster, and opens connections to them.
///
/// Cheap to clone; every clone is the same hub. Dropping the last one ends its listeners, tunnels and forwards, as
/// [`Cancelled`](CloseReason::Cancelled).
#[derive(Clone, Debug)]
pub struct Hub {
    owner: Arc<Owner>,
}

/// Tasks hold `shared` and never this, so that the last handle is the last.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Owner {
    fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.cut.order(CloseReason::Cancelled);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hub {
    /// Makes a hub that lets in the agents whose tokens or certificates are in the configuration. Its tasks run on the
    /// network's runtime, and its `tls://` addresses are secured by the network's TLS.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says.
    pub fn new(network: Network, config: HubConfig) -> Result<Self, ConnectionError> {
        let configured = Arc::new(Configured::new(&config));
        Self::with_authenticator(network, config, configured)
    }

    /// Makes a hub that lets in the agents that `authenticator` lets in; the configuration's tokens and
    /// certificates count for nothing.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with_authenticator(
        network: Network,
        config: HubConfig,
        authenticator: Arc<dyn Authenticator>,
    ) -> Result<Self, ConnectionError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(network, config, authenticator));
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &HubConfig {
        &self.shared().config
    }

    /// Lets agents in at `address`, in the background, until the hub ends; returns the address that is listened on.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] where tokens would cross a network in the clear, for a `tls://` address without
    /// a server's side of TLS, and where agents are known by certificates that TLS does not ask them for;
    /// [`ConnectionError::Closed`] once the hub drains or is closed; else as [`Network::listen_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn listen(&self, address: &Address) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        shared.check_listen(address)?;
        shared.check_open(Step::Bind)?;
        let carriers = shared.config.carriers.iter();
        let alpn = Some(carriers.map(|carrier| greet::alpn(*carrier).to_owned()).collect());
        let options = ListenOptions { tcp: shared.config.tcp, alpn, ..Default::default() };
        let is_open_door = shared.config.allow_unauthenticated_agents.contains(address);
        let listener = shared.network.listen_with(address, &options).await?;
        let bound = listener.address().clone();
        tracing::debug!(address = %bound, is_open_door, "agents may come");
        let task = link::accept_agents(Arc::clone(shared), listener, is_open_door);
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(bound)
    }

    /// Opens a connection to `cluster`, until `deadline`, or for the configuration's `dial_timeout` where there is none.
    ///
    /// Without a `target` the agent decides where it goes. The stream stands once the agent has accepted it: its host's
    /// listener has it in line, or the target was reached. Of several links the one with the fewest connections
    /// is asked first; one that opens nothing any more is passed over.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::ConnectionFailed`] if no agent of the cluster is there, nobody listens at it, or it cannot
    /// reach the target; [`ConnectionError::InvalidConfig`] for what is no cluster's name, and if the agent
    /// does not allow the target; [`ConnectionError::LimitExceeded`] at once, for a limit of the hub, the cluster or
    /// the agent; [`ConnectionError::Timeout`]; [`ConnectionError::Closed`] once the hub drains or is closed.
    /// Nothing was sent in any case.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the request back: the agent gives its own attempt up.
    pub async fn dial(
        &self,
        cluster: &str,
        target: Option<&Address>,
        deadline: Option<Instant>,
    ) -> Result<Stream, ConnectionError> {
        let wanted = Wanted { cluster: cluster.into(), target: target.cloned(), source: None };
        dial(self.shared(), wanted, Holder::Dialled, deadline).await
    }

    /// Forwards every connection to `listen` to `cluster`, and there to `target` or where the agent decides, in the
    /// background, until the hub ends; returns the address that is listened on.
    ///
    /// Who connects is not asked who it is. So a TCP address must be on loopback, unless the configuration's
    /// `allow_public_forwards` is set.
    ///
    /// A client whose cluster or target is not reached is reset. Clients above `max_connections` wait in the backlog.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for an address that is not allowed or what is no cluster's name;
    /// [`ConnectionError::Closed`] once the hub drains or is closed; else as [`Network::listen_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn forward(
        &self,
        listen: &Address,
        cluster: &str,
        target: Option<&Address>,
    ) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        shared.config.check_forward(listen)?;
        let wanted = Wanted { cluster: cluster.into(), target: target.cloned(), source: None };
        wanted.check()?;
        shared.check_open(Step::Bind)?;
        let budget = Some(shared.connections.clone());
        let options = ListenOptions { tcp: shared.config.tcp, budget, ..Default::default() };
        let listener = shared.network.listen_with(listen, &options).await?;
        let bound = listener.address().clone();
        tracing::debug!(listen = %bound, cluster, "forwarding");
        let task = forward::accept_clients(Arc::clone(shared), listener, wanted);
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(bound)
    }

    /// Serves users who speak HTTP/1 or HTTP/2 at `address`, in the background, until the hub ends; returns the address that
    /// is listened on. Over TLS the version is agreed on; else HTTP/2 is spoken by who begins with it.
    ///
    /// Each request goes to the cluster that the configuration's `http.routes` say, if its user, or everybody, may
    /// use it. Bodies stream both ways; upgrades such as WebSocket are carried for as long as bytes cross. What cannot
    /// be read in one way only is refused.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for an address that is not allowed or without routes;
    /// [`ConnectionError::Closed`] once the hub drains or is closed; else as [`Network::listen_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn listen_http(&self, address: &Address) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        shared.config.check_listen_http(address)?;
        shared.check_open(Step::Bind)?;
        let budget = Some(shared.users_connections.clone());
        let options = ListenOptions { tcp: shared.config.tcp, budget, alpn: Some(alpn()) };
        let listener = shared.network.listen_with(address, &options).await?;
        let bound = listener.address().clone();
        tracing::debug!(address = %bound, "users may come");
        let task = http::accept_users(Arc::clone(shared), listener);
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(bound)
    }

    /// Serves users who speak SOCKS5 at `address`, in the background, until the hub ends; returns the address that is listened
    /// on. Over TLS they speak it inside.
    ///
    /// A user says who it is by a name of the configuration's `users` with a token as the password, or by a certificate, and is
    /// connected to what the host that it asks for means by the configuration's `socks`, if it, or everybody, may use that
    /// cluster. CONNECT alone is served.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for an address that is not allowed; [`ConnectionError::Closed`] once the hub
    /// drains or is closed; else as [`Network::listen_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn listen_socks(&self, address: &Address) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        shared.config.check_listen_socks(address)?;
        shared.check_open(Step::Bind)?;
        let budget = Some(shared.socks_connections.clone());
        let options = ListenOptions { tcp: shared.config.tcp, budget, ..Default::default() };
        let listener = shared.network.listen_with(address, &options).await?;
        let bound = listener.address().clone();
        tracing::debug!(address = %bound, "users of SOCKS5 may come");
        let task = socks::accept_users(Arc::clone(shared), listener);
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(bound)
    }

    /// The counts of this moment, also once it is closed.
    pub fn stats(&self) -> HubStats {
        stats::read(self.shared())
    }

    /// Lets no agent and no connection in any more, waits until every connection has ended, and cuts at `deadline`
    /// those that have not: that of the configuration, where there is none here. Then the tunnels end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the hub without new connections, and those that stand as they are. A further call
    /// goes on waiting.
    pub async fn drain(&self, deadline: Option<Instant>) -> DrainReport {
        let shared = self.shared();
        let deadline = deadline.or_else(|| shared.config.drain_timeout.from(clock()));
        let before = shared.live.stats();
        shared.network.events().record(crate::events::Event::of_listener(
            EventKind::DrainStarted { connections: before.active },
            None,
            clock(),
        ));
        shared.stopping.cancel();
        shared.loops.close();
        shared.loops.wait().await;
        shared.live.seal();
        shared.fronts.close();
        let finished = async {
            shared.live.emptied().await;
            // What was answered may still be on its way to users.
            shared.fronts.wait().await;
        };
        if !finish_by(deadline, finished).await {
            shared.cut.order(CloseReason::Drained);
            shared.live.cut(CloseReason::Drained);
        }
        self.end_links().await;
        DrainReport::between(&before, &shared.live.stats())
    }

    /// Ends every listener, tunnel and connection, those that were given away included. Idempotent; every file
    /// descriptor of the hub is gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to be done in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.stopping.cancel();
        shared.cut.order(CloseReason::Local);
        shared.live.cut(CloseReason::Local);
        shared.loops.close();
        shared.loops.wait().await;
        shared.live.seal();
        // What was let in meanwhile.
        shared.live.cut(CloseReason::Local);
        self.end_links().await;
    }

    /// Does at once what dropping the last handle does. Waits for nothing.
    pub fn stop(&self) {
        self.owner.stop();
    }

    async fn end_links(&self) {
        let shared = self.shared();
        shared.finished.cancel();
        let members = shared.registry.lock().clear();
        drop(members);
        shared.fronts.close();
        shared.fronts.wait().await;
        shared.tasks.close();
        shared.tasks.wait().await;
    }
}
