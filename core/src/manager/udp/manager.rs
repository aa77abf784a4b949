//! The manager of UDP sessions.

use super::{
    UdpConnection, UdpConnectionInfo, connection,
    relay::{Relay, receive_loop},
    shared::{Shared, now},
    stats::{LiveUdpConnection, UdpManagerStats},
};
use crate::{
    address::Address,
    config::{Config, TimeLimit, UdpManagerConfig},
    context::CloseReason,
    error::{ConnectionError, Place, Step, UdpCase},
    events::EventKind,
    manager::{ConnectionManager, drain::finish_by, stats::DrainReport},
    transport::{Datagram, Network},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

/// Relays datagrams by session, counts them, and never has more sessions than its limit.
///
/// Cheap to clone; every clone is the same manager. Dropping the last one ends what the manager runs itself, its
/// relays and sessions, as [`Cancelled`](CloseReason::Cancelled). Sockets that it gave away live on;
/// [`close`](Self::close) and [`drain`](Self::drain) end those too.
#[derive(Clone, Debug)]
pub struct UdpConnectionManager {
    owner: Arc<Owner>,
}

/// How one relay differs from the manager's configuration: a relay carries one protocol, which has its own silence.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpRelayOptions {
    /// Time without a datagram either way after which a verified session of this relay ends. Default: the
    /// manager's `idle_timeout`. Limits: 1 ms to 365 days, or never.
    pub idle_timeout: Option<TimeLimit>,
}

impl UdpRelayOptions {
    /// Sets the time of silence.
    #[must_use]
    pub fn idle_timeout(mut self, limit: TimeLimit) -> Self {
        self.idle_timeout = Some(limit);
        self
    }
}

/// Tasks hold `shared` and never this, so that the last handle is the last.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Owner {
    fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.live.seal();
        self.shared.cut.order(CloseReason::Cancelled);
        self.shared.end_all(CloseReason::Cancelled);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl UdpConnectionManager {
    /// Makes a manager without sessions. Its tasks run on the network's runtime.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says.
    pub fn new(network: Network, config: UdpManagerConfig) -> Result<Self, ConnectionError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(network, config)?);
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &UdpManagerConfig {
        &self.shared().config
    }

    /// Binds a socket as [`Network::bind`] does, which this manager closes when it is closed.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the manager drains or is closed, else as [`Network::bind`].
    pub async fn bind(&self, address: &Address) -> Result<Datagram, ConnectionError> {
        let shared = self.shared();
        shared.check_open(Step::Bind)?;
        let socket = shared.network.bind(address).await?;
        let handle = socket.close_handle();
        let mut listening = shared.listening.lock();
        shared.check_open(Step::Bind)?;
        listening.given.retain(|socket| !socket.is_closed());
        listening.given.push(handle);
        drop(listening);
        Ok(socket)
    }

    /// Relays what comes to `listen` to the destination `to`, in the background, until the manager ends; returns the
    /// address that is bound. Each source has a session with its own socket to the destination, and gets its
    /// answers from the address that it sent to.
    ///
    /// Nothing is lost while a session is made, up to the config's `early_datagrams`; what is dropped is counted
    /// under its reason. A destination that refuses may come back: the session goes on.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for an address that is not one of UDP, a destination that evidently leads
    /// back to `listen`, or has port 0, and an idle timeout out of range; else as [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn relay(
        &self,
        listen: &Address,
        to: Address,
        options: UdpRelayOptions,
    ) -> Result<Address, ConnectionError> {
        let shared = self.shared();
        let to = check_destination(to)?;
        let idle_timeout = options.idle_timeout.unwrap_or(shared.config.idle_timeout);
        UdpManagerConfig::check_idle_timeout(idle_timeout)?;
        shared.check_open(Step::Bind)?;
        if shared.listening.lock().routes.is_loop(listen, &to) {
            return Err(leads_back());
        }
        let socket = Arc::new(shared.network.bind(listen).await?);
        let bound = socket.address().clone();
        let local = bound.socket_addr().ok_or_else(|| not_udp("listen"))?;
        let mut listening = shared.listening.lock();
        shared.check_open(Step::Bind)?;
        if listening.routes.is_loop(&bound, &to) {
            return Err(leads_back());
        }
        listening.routes.add(bound.clone(), to.clone());
        tracing::debug!(listen = %bound, %to, "relaying");
        let task = receive_loop(Arc::clone(shared), Relay { socket, local, to, idle_timeout });
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(bound)
    }

    /// All counts at one moment.
    pub fn stats(&self) -> UdpManagerStats {
        let shared = self.shared();
        UdpManagerStats {
            datagrams_received: shared.datagrams.received(),
            datagrams_sent: shared.datagrams.sent(),
            refused: shared.datagrams.refused(),
            receive_pauses: shared.receive_pauses.load(Ordering::Relaxed),
            dropped_by_reason: shared.datagrams.all_dropped(),
            ..shared.live.stats()
        }
    }

    /// The sessions that stand, in the order in which they began.
    pub fn live(&self) -> Vec<LiveUdpConnection> {
        self.shared().live.list(now())
    }

    /// Ends one session as [`Killed`](CloseReason::Killed). Its client's next datagram begins a new one.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Udp`] with [`UdpCase::NoSession`] if none that stands has this number.
    pub fn kill(&self, id: u64) -> Result<(), ConnectionError> {
        let shared = self.shared();
        let session = shared.live.find(id).ok_or_else(|| ConnectionError::Udp {
            case: UdpCase::NoSession,
            at: Place::at(Step::Shutdown),
        })?;
        shared.end(&session, CloseReason::Killed);
        Ok(())
    }

    /// Lets no new session begin, waits until those that stand have fallen silent, and at `deadline` (or after the
    /// config's `drain_timeout` where there is none) closes the rest as [`Drained`](CloseReason::Drained).
    /// Then the manager is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the manager without new sessions, and those that stand as they are. A
    /// further call goes on waiting.
    pub async fn drain(&self, deadline: Option<Instant>) -> DrainReport {
        let shared = self.shared();
        let deadline = deadline.or_else(|| shared.config.drain_timeout.from(now()));
        let before = shared.live.stats();
        shared.record(EventKind::DrainStarted { connections: before.active }, None);
        shared.stopping.cancel();
        shared.live.seal();
        if !finish_by(deadline, shared.live.emptied()).await {
            shared.end_all(CloseReason::Drained);
        }
        shared.cut.order(CloseReason::Drained);
        self.end_tasks().await;
        let after = shared.live.stats();
        let cut = after.closed_because(CloseReason::Drained)
            - before.closed_because(CloseReason::Drained);
        shared.record(EventKind::DrainEnded { cut }, None);
        tracing::info!(cut, "drained");
        DrainReport { finished: after.closed() - before.closed() - cut, cut }
    }

    /// Closes every socket and every session, those that were given away included. Idempotent; every file
    /// descriptor of the manager is gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to be done in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.stopping.cancel();
        shared.live.seal();
        shared.cut.order(CloseReason::Local);
        shared.end_all(CloseReason::Local);
        self.end_tasks().await;
    }

    /// Does at once what dropping the last handle does. Waits for nothing.
    pub fn stop(&self) {
        self.owner.stop();
    }

    async fn end_tasks(&self) {
        let shared = self.shared();
        let given = std::mem::take(&mut shared.listening.lock().given);
        for socket in given {
            socket.close();
        }
        for tasks in [&shared.loops, &shared.tasks] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// An address of UDP; a bare socket address is taken for one.
pub(super) fn literal(address: Address, field: &'static str) -> Result<Address, ConnectionError> {
    match address {
        Address::Udp(_) | Address::UdpName { .. } => Ok(address),
        Address::Tcp(literal) => Ok(Address::Udp(literal)),
        Address::TcpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => Err(not_udp(field)),
    }
}

pub(super) fn not_udp(field: &'static str) -> ConnectionError {
    ConnectionError::invalid_config(field, "must be udp://host:port")
}

fn check_destination(to: Address) -> Result<Address, ConnectionError> {
    let port = match &to {
        Address::Udp(literal) => literal.port(),
        Address::UdpName { port, .. } => *port,
        Address::Tcp(_)
        | Address::TcpName { .. }
        | Address::Tls(_)
        | Address::TlsName { .. }
        | Address::Unix(_)
        | Address::Abstract(_)
        | Address::Mem(_)
        | Address::Tunnel(_) => return Err(not_udp("destination")),
    };
    if port == 0 {
        return Err(ConnectionError::invalid_config(
            "destination",
            "the port to send to is 1 to 65535",
        ));
    }
    Ok(to)
}

fn leads_back() -> ConnectionError {
    ConnectionError::invalid_config("destination", "must not lead back to where the relay listens")
}

impl ConnectionManager for UdpConnectionManager {
    type Connection = UdpConnection;
    type ConnectionInfo = UdpConnectionInfo;

    /// Makes the session of `source` with a socket to `destination`, or joins it if it stands: however many ask at
    /// once, one is made. A bare socket address is taken for one of UDP.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Udp`] with [`UdpCase::SessionTableFull`] if every place is taken by a verified session;
    /// else as the trait says.
    async fn create_connection(
        &self,
        source: impl Into<Address> + Send,
        destination: impl Into<Address> + Send,
        info: UdpConnectionInfo,
    ) -> Result<UdpConnection, ConnectionError> {
        connection::create(self.shared(), source.into(), destination.into(), info).await
    }

    /// Waits for the end of the session: falling silent is the orderly one.
    async fn handle_connection(&self, connection: UdpConnection) -> Result<(), ConnectionError> {
        connection::handle(connection).await
    }

    fn connection_count(&self) -> usize {
        self.shared().live.len()
    }

    fn max_connections(&self) -> usize {
        usize::try_from(self.shared().budget.limit()).unwrap_or(usize::MAX)
    }

    /// Also at the limit, as long as an unverified session can make room.
    fn can_accept_connection(&self) -> bool {
        let shared = self.shared();
        let stats = shared.live.stats();
        shared.check_open(Step::Accept).is_ok()
            && (stats.active < stats.limit || stats.unverified > 0)
    }
}
