//! The manager of TCP connections, which takes Unix sockets and in-memory pipes as well.

use super::{
    ConnectionManager, RouteCallback, TcpConnection, TcpConnectionInfo,
    accept::{Target, accept_loop},
    backend::Change,
    callback::Asking,
    check::{AskingHealth, CheckCallback},
    connection,
    endpoints::LiveEndpoint,
    serve::Entrance,
    shared::{Listening, Shared, Started, clock, limit_of},
    stats::{LiveTcpConnection, TcpManagerStats},
};
use crate::{
    address::Address,
    config::{Config, TcpManagerConfig},
    context::CloseReason,
    error::{ConnectionError, Step},
    transport::{Admission, Listener, Network, Stream, needs_hub},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// Accepts, dials, relays and counts connections, and never has more than its limit.
///
/// Cheap to clone; every clone is the same manager. Dropping the last one ends what the manager runs
/// itself, its relays, as [`Cancelled`](CloseReason::Cancelled). Streams and listeners that it gave
/// away live on under their permits; [`close`](Self::close) and [`drain`](Self::drain) end those too.
#[derive(Clone, Debug)]
pub struct TcpConnectionManager {
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
        self.shared.ask_nobody();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TcpConnectionManager {
    /// Makes a manager without connections. Its tasks run on the network's runtime.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says.
    pub fn new(network: Network, config: TcpManagerConfig) -> Result<Self, ConnectionError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(network, config));
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The configuration that it goes by now.
    pub fn config(&self) -> TcpManagerConfig {
        self.shared().settings().config.clone()
    }

    /// Connects until `deadline`, or for the config's connect timeout where there is none. The stream
    /// is counted, and holds its permit until it is closed.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::LimitExceeded`] at once if the limit is reached, [`ConnectionError::Closed`]
    /// once the manager drains or is closed, else as [`Network::connect_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt; its permit comes back with its socket.
    pub async fn connect(
        &self,
        address: &Address,
        deadline: Option<Instant>,
    ) -> Result<Stream, ConnectionError> {
        let shared = self.shared();
        shared.check_open(Step::Connect)?;
        let permit = shared.permit(address)?;
        let stream = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => Err(ConnectionError::closed(Step::Connect)),
            answer = shared.dial(address, deadline, Some(permit)) => answer,
        }?;
        shared.live.admit(stream)
    }

    /// Listens on `address`; port 0 means a free port. Streams that the listener accepts are counted and
    /// hold a permit; while none is free, connections wait in the backlog.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the manager drains or is closed, else as
    /// [`Network::listen_with`].
    pub async fn listen(&self, address: &Address) -> Result<Listener, ConnectionError> {
        let shared = self.shared();
        let listener = shared.bind(address, &shared.budget).await?;
        let handle = listener.close_handle();
        let mut listening = shared.listening.lock();
        shared.check_open(Step::Bind)?;
        listening.given.retain(|listener| !listener.is_closed());
        listening.given.push(handle);
        drop(listening);
        // Another configuration may have come between.
        shared.apply_limits();
        Ok(listener)
    }

    /// Relays every connection to `listen` to the destination `to`, in the background, until the manager
    /// ends; returns the address that is listened on. Destinations are reached within the connect
    /// timeout; a client whose destination is not reached is reset as
    /// [`ConnectFailed`](CloseReason::ConnectFailed).
    ///
    /// A connection is accepted only under a permit; one of a network that has as many as it may is reset as
    /// [`SourceLimit`](CloseReason::SourceLimit). When the process or the system is out of files or memory,
    /// accepting pauses for the config's `accept_pause` at a time.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a destination that evidently leads back to `listen`, or
    /// has port 0; else as [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn relay(&self, listen: &Address, to: Address) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        check_destination(&to)?;
        if shared.listening.lock().routes.is_loop(listen, &to) {
            return Err(leads_back());
        }
        let listener = shared.bind(listen, &shared.budget).await?;
        let bound = listener.address().clone();
        let mut listening = shared.listening.lock();
        shared.check_open(Step::Bind)?;
        if listening.routes.is_loop(&bound, &to) {
            return Err(leads_back());
        }
        listening.routes.add(bound.clone(), to.clone());
        listening.own.retain(|listener| !listener.is_closed());
        listening.own.push(listener.close_handle());
        tracing::debug!(listen = %bound, %to, "relaying");
        let task = accept_loop(Arc::clone(shared), listener, Target::Direct(to));
        shared.loops.spawn_on(task, shared.network.runtime());
        drop(listening);
        // Another configuration may have come between.
        shared.apply_limits();
        Ok(bound)
    }

    /// Listens where the configuration says, and passes every connection on to the backend that the routes
    /// say, in the background, until the manager ends; returns the address of each listener by its name.
    /// Either all listen or none.
    ///
    /// A connection is accepted only under a permit, as by [`relay`](Self::relay), and one of its listener. What no
    /// route takes, and who breaks the rules for PROXY headers, is reset as [`Refused`](CloseReason::Refused); whose
    /// backend is not reached as [`ConnectFailed`](CloseReason::ConnectFailed). Whose backend has as many connections as
    /// it may waits for a place; it is reset as [`BackendFull`](CloseReason::BackendFull) where too many wait, as
    /// [`QueueTimeout`](CloseReason::QueueTimeout) in the end, and as [`Drained`](CloseReason::Drained) by a drain.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] if it was started before, and for an endpoint that evidently leads
    /// back to a listener; else as [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(&self) -> Result<BTreeMap<String, Address>, ConnectionError> {
        let shared = self.shared();
        check_not_started(&shared.listening.lock())?;
        let settings = shared.settings();
        let mut bound = Vec::new();
        for (name, config) in &settings.config.listeners {
            let Some(address) = &config.address else { continue };
            let budget = shared.budget.within(limit_of(&settings.config, name));
            let listener = shared.bind(address, &budget).await?;
            let entrance = Entrance { name: name.clone() };
            bound.push((listener, budget, Arc::new(entrance)));
        }
        let addresses: BTreeMap<_, _> = bound
            .iter()
            .map(|(listener, _, entrance)| (entrance.name.clone(), listener.address().clone()))
            .collect();
        let mut listening = shared.listening.lock();
        shared.check_open(Step::Bind)?;
        check_not_started(&listening)?;
        if !Arc::ptr_eq(&settings, &shared.settings()) {
            let reason = "changed while they were started";
            return Err(ConnectionError::invalid_config("listeners", reason));
        }
        for upstream in settings.upstreams.values() {
            for member in &*upstream.members() {
                let is_loop = |listen| listening.routes.is_loop(listen, &member.address);
                if addresses.values().any(is_loop) {
                    return Err(leads_back());
                }
            }
        }
        let mut started = BTreeMap::new();
        for (listener, budget, entrance) in bound {
            let address = listener.address().clone();
            started.insert(entrance.name.clone(), Started { address, budget });
            listening.own.push(listener.close_handle());
            tracing::debug!(listener = entrance.name, address = %listener.address(), "serving");
            let task = accept_loop(Arc::clone(shared), listener, Target::Routed(entrance));
            shared.loops.spawn_on(task, shared.network.runtime());
        }
        listening.started = Some(started);
        for upstream in settings.upstreams.values() {
            let (checked, named) = (upstream.checked(), upstream.named());
            upstream.follow(shared, Change { checked, named, ..Change::default() });
        }
        drop(listening);
        Ok(addresses)
    }

    /// Has `callback` say where each connection goes that is accepted for a listener of the configuration, from now on
    /// and before the routes; `None` ends that. What it does not say is left to the routes.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the manager drains or is closed.
    pub fn on_route(
        &self,
        callback: Option<Arc<dyn RouteCallback>>,
    ) -> Result<(), ConnectionError> {
        let shared = self.shared();
        // None may come after the last was dropped.
        let listening = shared.listening.lock();
        shared.check_open(Step::Configure)?;
        let limit = shared.settings().config.route_callback.max_pending;
        let asking =
            callback.map(|callback| Asking::new(callback, limit, shared.network.metrics()));
        let last = shared.asking.swap(asking);
        drop(listening);
        drop(last);
        Ok(())
    }

    /// Has `callback` say how the endpoints are of backends whose check is a callback, from now on; `None` ends that, and
    /// then the config's `no_answer` says what that means.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the manager drains or is closed.
    pub fn on_check(
        &self,
        callback: Option<Arc<dyn CheckCallback>>,
    ) -> Result<(), ConnectionError> {
        let shared = self.shared();
        // None may come after the last was dropped.
        let listening = shared.listening.lock();
        shared.check_open(Step::Configure)?;
        let asking = callback.map(|callback| AskingHealth::new(callback, shared.network.metrics()));
        let last = shared.asking_health.swap(asking);
        drop(listening);
        drop(last);
        Ok(())
    }

    /// The endpoints of every backend, as they are now: by the names of the backends, and in the order in which they are
    /// configured.
    ///
    /// Costs a look at every endpoint, under the lock under which connections of its backend are given theirs.
    pub fn endpoints(&self) -> Vec<LiveEndpoint> {
        let settings = self.shared().settings();
        settings.upstreams.values().flat_map(|upstream| upstream.endpoints()).collect()
    }

    /// The address of a listener of the configuration, once it is started.
    pub fn listener_address(&self, name: &str) -> Option<Address> {
        let listening = self.shared().listening.lock();
        Some(listening.started.as_ref()?.get(name)?.address.clone())
    }

    /// All counts at one moment.
    pub fn stats(&self) -> TcpManagerStats {
        let shared = self.shared();
        let (limit, bytes_spliced) = (shared.budget.limit(), shared.pipes.spliced());
        TcpManagerStats { limit, bytes_spliced, ..shared.live.stats() }
    }

    /// Connections that stand and have a number above `after`, in the order of their numbers, which is that in which they
    /// began: `max` of them at most. A shorter list is the last; the number of the last in it, for `after`, begins the next.
    ///
    /// Costs a look at every connection, and a copy of `max` of them.
    pub fn live(&self, after: u64, max: usize) -> Vec<LiveTcpConnection> {
        self.shared().live.list(after, max, clock())
    }

    /// The connection with this number, if it stands.
    pub fn inspect(&self, id: u64) -> Option<LiveTcpConnection> {
        self.shared().live.inspect(id, clock())
    }

    /// Ends the connection with this number as [`Killed`](CloseReason::Killed), on both sides where it is relayed, and
    /// says whether it stood. A side that is owed bytes sees a reset, and so does a client that has no server yet.
    ///
    /// Waits for nothing: one that the manager relays ends soon after.
    pub fn kill(&self, id: u64) -> bool {
        self.shared().live.kill(id)
    }

    /// Closes every listener and every connection, those that were given away included. Idempotent;
    /// every file descriptor of the manager is gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to be done in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.stop();
        shared.cut.order(CloseReason::Local);
        shared.live.cut(CloseReason::Local);
        self.end_loops().await;
        shared.live.seal();
        // What was let in meanwhile.
        shared.live.cut(CloseReason::Local);
        self.end_tasks().await;
    }

    /// Does at once what dropping the last handle does: no new connection gets in, and the relays end as
    /// [`Cancelled`](CloseReason::Cancelled). Waits for nothing.
    pub fn stop(&self) {
        self.owner.stop();
    }

    pub(super) async fn end_loops(&self) {
        self.shared().loops.close();
        self.shared().loops.wait().await;
    }

    pub(super) async fn end_tasks(&self) {
        self.shared().tasks.close();
        self.shared().tasks.wait().await;
        self.shared().ask_nobody();
    }
}

fn check_not_started(listening: &Listening) -> Result<(), ConnectionError> {
    match listening.started {
        Some(_) => Err(ConnectionError::invalid_config("listeners", "were started before")),
        None => Ok(()),
    }
}

pub(super) fn check_destination(to: &Address) -> Result<(), ConnectionError> {
    let port = match to {
        Address::Tcp(literal) | Address::Tls(literal) => literal.port(),
        Address::TcpName { port, .. } | Address::TlsName { port, .. } => *port,
        Address::Unix(_) | Address::Abstract(_) | Address::Mem(_) => return Ok(()),
        Address::Udp(_) | Address::UdpName { .. } => {
            return Err(ConnectionError::invalid_config("destination", "datagrams are no stream"));
        }
        Address::Tunnel(_) => return Err(needs_hub("destination")),
    };
    if port == 0 {
        return Err(ConnectionError::invalid_config(
            "destination",
            "the port to connect to is 1 to 65535",
        ));
    }
    Ok(())
}

pub(super) fn leads_back() -> ConnectionError {
    ConnectionError::invalid_config("destination", "must not lead back to where the relay listens")
}

impl ConnectionManager for TcpConnectionManager {
    type Connection = TcpConnection;
    type ConnectionInfo = TcpConnectionInfo;

    /// Connects the accepted stream in `info` to `destination`, within the connect timeout. If that
    /// fails, its client is reset as [`ConnectFailed`](CloseReason::ConnectFailed).
    async fn create_connection(
        &self,
        source: impl Into<Address> + Send,
        destination: impl Into<Address> + Send,
        info: TcpConnectionInfo,
    ) -> Result<TcpConnection, ConnectionError> {
        connection::create(self.shared(), source.into(), destination.into(), info).await
    }

    /// Copies both ways until it is over, with half-close and the timeouts of the configuration.
    async fn handle_connection(&self, connection: TcpConnection) -> Result<(), ConnectionError> {
        connection::handle(self.shared(), connection).await
    }

    fn connection_count(&self) -> usize {
        self.shared().live.len()
    }

    fn max_connections(&self) -> usize {
        usize::try_from(self.shared().budget.limit()).unwrap_or(usize::MAX)
    }

    fn can_accept_connection(&self) -> bool {
        let shared = self.shared();
        shared.check_open(Step::Accept).is_ok() && shared.budget.in_use() < shared.budget.limit()
    }
}
