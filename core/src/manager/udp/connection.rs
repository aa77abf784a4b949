//! A session as the trait of managers has it: made for a socket that the program receives on itself.

use super::{
    manager::{literal, not_udp},
    session::{Plan, Session, SessionKey},
    shared::Shared,
};
use crate::{
    address::Address,
    config::{TimeLimit, UdpManagerConfig},
    context::{CloseReason, ConnectionContext},
    error::{ConnectionError, Step},
    metrics::ConnectionMetrics,
    transport::{Datagram, udp::Train},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What a [`UdpConnection`] is made of besides its addresses: the socket that its client sends to.
#[derive(Clone, Debug)]
pub struct UdpConnectionInfo {
    socket: Arc<Datagram>,
    local: Option<IpAddr>,
    idle_timeout: Option<TimeLimit>,
}

impl UdpConnectionInfo {
    /// Answers leave through `socket`.
    pub fn new(socket: Arc<Datagram>) -> Self {
        Self { socket, local: None, idle_timeout: None }
    }

    /// Answers leave from this address, as [`Received::to`](crate::transport::Received::to) told it of what the
    /// client sent.
    #[must_use]
    pub fn addressed_to(mut self, local: Option<IpAddr>) -> Self {
        self.local = local;
        self
    }

    /// The session ends after this time of silence instead of the configured one.
    #[must_use]
    pub fn idle_timeout(mut self, limit: TimeLimit) -> Self {
        self.idle_timeout = Some(limit);
        self
    }
}

/// A session that stands: what its client sends is passed in, and answers go to the client by themselves.
/// Dropping the last handle to it closes it.
#[derive(Debug)]
pub struct UdpConnection {
    pub(super) session: Arc<Session>,
    shared: Arc<Shared>,
}

impl UdpConnection {
    /// Who sends.
    pub fn source(&self) -> SocketAddr {
        self.session.key.source
    }

    /// Which of our addresses the client sends to, and gets its answers from.
    pub fn local(&self) -> SocketAddr {
        self.session.key.local
    }

    /// Where its datagrams go.
    pub fn destination(&self) -> &Address {
        &self.session.to
    }

    /// Id, protocol, both addresses of the client's side and time of creation.
    pub fn context(&self) -> &ConnectionContext {
        &self.session.context
    }

    /// The counts of the client's side.
    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.session.metrics
    }

    /// Whether the client has answered an answer.
    pub fn is_verified(&self) -> bool {
        self.session.is_verified()
    }

    /// Passes on what the client sent. Never waits: what cannot be sent now is dropped and counted.
    ///
    /// # Errors
    ///
    /// Why the session is over.
    pub fn forward(&self, datagram: &[u8]) -> Result<(), ConnectionError> {
        if self.shared.forward(&self.session, Train::one(datagram)) {
            return Ok(());
        }
        Err(self.session.why_over(Step::Write))
    }

    /// `None` if its last holder has just let it go.
    fn new(shared: &Arc<Shared>, session: &Arc<Session>) -> Option<Self> {
        let made = || Self { session: Arc::clone(session), shared: Arc::clone(shared) };
        session.hold().then(made)
    }
}

impl Drop for UdpConnection {
    fn drop(&mut self) {
        if self.session.let_go() {
            self.shared.end(&self.session, CloseReason::Cancelled);
        }
    }
}

pub(super) async fn create(
    shared: &Arc<Shared>,
    source: Address,
    destination: Address,
    info: UdpConnectionInfo,
) -> Result<UdpConnection, ConnectionError> {
    shared.check_open(Step::Connect)?;
    let source = source.socket_addr().ok_or_else(|| not_udp("source"))?;
    if let Some(limit) = info.idle_timeout {
        UdpManagerConfig::check_idle_timeout(limit)?;
    }
    let to = literal(destination, "destination")?;
    let bound = info.socket.address().socket_addr().ok_or_else(|| not_udp("socket"))?;
    let local = SocketAddr::new(info.local.unwrap_or_else(|| bound.ip()), bound.port());
    let key = SessionKey { source, local };
    loop {
        let make = || {
            shared.begin(Plan {
                key,
                outlet: Arc::clone(&info.socket),
                to: to.clone(),
                idle_timeout: info.idle_timeout.unwrap_or(shared.config.idle_timeout),
            })
        };
        let session = shared.sessions.find_or_make(key, make).await?;
        let Some(connection) = UdpConnection::new(shared, &session) else {
            // It was found a moment too late: ours is the next one.
            shared.sessions.forget(&session);
            continue;
        };
        connection.session.opened().await?;
        return Ok(connection);
    }
}

pub(super) async fn handle(connection: UdpConnection) -> Result<(), ConnectionError> {
    connection.session.over().await;
    match connection.session.metrics.close_reason() {
        Some(CloseReason::IdleTimeout) => Ok(()),
        _ => Err(connection.session.why_over(Step::Read)),
    }
}
