//! What a program holds of a channel.

use super::{
    ConnectivityState, exchange::exchange, history::History, interceptor::Interceptor,
    live::LiveChannel, resolver::Resolver, response::ResponseBody, shared::Shared, wire::now,
};
use crate::{
    address::Address,
    config::ConnectionConfig,
    error::{ConnectionError, Place, Step},
    identity::Tls,
    transport::Network,
};
use http::{Request, Response};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use tonic::{Status, body::Body};

/// One logical gRPC peer, over as many connections as its configuration allows.
///
/// It connects when it is first called, again whenever a connection is lost, and rests when nobody calls. Calls
/// go through [`unary`](Self::unary) and [`call`](Self::call) as bytes; a generated tonic client takes the
/// channel as its service unchanged.
///
/// Clones are handles to one channel. Once the last is dropped, calls under way finish and the connections close.
#[derive(Clone, Debug)]
pub struct Channel {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Waits for the headers of an answer; made by calling a [`Channel`] as a service.
pub type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Status>> + Send>>;

impl Channel {
    /// Makes a channel; nothing is connected yet.
    ///
    /// `target` is `dns:host:port` (or `host:port`), `ipv4:1.2.3.4:5,…`, `ipv6:[::1]:5,…`, `unix:path`,
    /// `unix-abstract:name`, `mem:name`, `passthrough:address`, `file:path` of a file with an
    /// address in each line, or a list such as `tcp://a:1,mem:b`. To `tls://a:1,…`
    /// it is secured by the network's TLS, as with [`secured`](Self::secured); to all others it is not.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a target that is none and a configuration that is out of its range.
    pub fn new(
        network: &Network,
        target: &str,
        config: ConnectionConfig,
    ) -> Result<Self, ConnectionError> {
        let shared = Shared::start(network.clone(), target, config, None, None)?;
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    /// As [`new`](Self::new), with every connection secured by `tls`, whatever carries it.
    ///
    /// A server must agree to speak HTTP/2 (ALPN `h2`, whatever the configuration's `alpn` says), and its certificate
    /// must be for the configuration's `server_name`. Where there is none, for the name that was looked up or the host
    /// that the target names; behind `unix:` and `mem:`, for `localhost`. A new connection uses the certificates that
    /// were read last; those that stand keep what they began with.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), also if `tls` has no client's side.
    pub fn secured(
        network: &Network,
        target: &str,
        config: ConnectionConfig,
        tls: &Tls,
    ) -> Result<Self, ConnectionError> {
        let shared = Shared::start(network.clone(), target, config, Some(tls.clone()), None)?;
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    /// A channel whose addresses the program says, by `resolver`: secured as with [`secured`](Self::secured) if there is a
    /// `tls`, else not.
    ///
    /// `target` is for the resolver, and may be any text of 1 to 4096 bytes. Calls are for what stands behind `scheme:` and
    /// `//…/` in it, such as `web:80` of `zone://…/web:80`, and for `localhost` if that is no host. With TLS that host is
    /// also whom each server must prove to be, unless the configuration has a `server_name`.
    ///
    /// # Errors
    ///
    /// As [`secured`](Self::secured).
    pub fn resolved(
        network: &Network,
        target: &str,
        config: ConnectionConfig,
        tls: Option<&Tls>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, ConnectionError> {
        let shared = Shared::start(network.clone(), target, config, tls.cloned(), Some(resolver))?;
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    /// Says where the target of a channel is that was made by [`resolved`](Self::resolved), without being asked: as if the
    /// resolver had answered. Addresses that stay keep their connections; calls on those that go finish. While the channel
    /// is idle it changes nothing: the resolver is asked when it is next called.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::ConnectionFailed`] for addresses that a resolver may not answer: those before stay.
    /// [`ConnectionError::InvalidConfig`] if the channel has no resolver, [`ConnectionError::Closed`] if it is closed.
    pub fn push_addresses(&self, addresses: Vec<Address>) -> Result<(), ConnectionError> {
        self.shared().push_addresses(addresses)
    }

    /// Has `interceptor` look at every call that begins from now on, behind those that do already.
    pub fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        self.shared().intercept(&interceptor);
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    /// The target, as it was given.
    pub fn target(&self) -> &str {
        &self.shared().target.text
    }

    /// What is told of the channel now; with `try_to_connect` it leaves idle, without waiting.
    pub fn state(&self, try_to_connect: bool) -> ConnectivityState {
        let state = self.shared().state();
        if try_to_connect {
            self.connect();
        }
        state
    }

    /// Whether calls can be sent at once, or a connection is made as soon as one comes.
    pub fn is_healthy(&self) -> bool {
        match self.shared().state() {
            ConnectivityState::Ready | ConnectivityState::Idle | ConnectivityState::Connecting => {
                true
            }
            ConnectivityState::TransientFailure | ConnectivityState::Shutdown => false,
        }
    }

    /// Leaves idle: begins to connect, if nothing stands or is under way. Does not wait.
    pub fn connect(&self) {
        self.shared().connect();
    }

    /// Forgets failures, and tries at once what would have waited: the host knows that the network is back.
    pub fn reset_connect_backoff(&self) {
        self.shared().reset_backoff();
    }

    /// Waits until the state is another than `last_seen`, and says which. States that were left again meanwhile
    /// are not seen.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Timeout`] once `deadline` has passed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_for_state_change(
        &self,
        last_seen: ConnectivityState,
        deadline: Option<Instant>,
    ) -> Result<ConnectivityState, ConnectionError> {
        let mut states = self.shared().states();
        let started = now();
        let changed = async {
            let found = states.wait_for(|state| *state != last_seen).await;
            found.map_or(ConnectivityState::Shutdown, |state| *state)
        };
        within(deadline, changed).await.ok_or_else(|| {
            let waited = now().saturating_duration_since(started);
            ConnectionError::timeout(Some(waited), Place::at(Step::Wait))
        })
    }

    /// The changes of the state that have a number above `after`, `max` of them at most: 0 is before the first.
    ///
    /// As many as `state_history` in the configuration says are kept, the latest; those that were asked for and are no
    /// longer there are counted.
    pub fn history(&self, after: u64, max: usize) -> History {
        self.shared().history(after, max)
    }

    /// Waits until there is a change of the state with a number above `after`, and returns the number of the latest.
    /// With [`history`](Self::history) no change is missed, or those that are missed are counted.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Timeout`] once `deadline` has passed. [`ConnectionError::Closed`] once the channel is closed and
    /// no change has such a number: none will.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_history(
        &self,
        after: u64,
        deadline: Option<Instant>,
    ) -> Result<u64, ConnectionError> {
        let mut changes = self.shared().changes();
        let started = now();
        let changed = async {
            loop {
                // Asked first, so that the change to it is among those that are seen.
                let is_over = self.shared().state() == ConnectivityState::Shutdown;
                let last = *changes.borrow_and_update();
                if last > after {
                    return Ok(last);
                }
                if is_over || changes.changed().await.is_err() {
                    return Err(ConnectionError::closed(Step::Wait));
                }
            }
        };
        within(deadline, changed).await.unwrap_or_else(|| {
            let waited = now().saturating_duration_since(started);
            Err(ConnectionError::timeout(Some(waited), Place::at(Step::Wait)))
        })
    }

    /// Connects, and waits until calls can be sent.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Timeout`] once `deadline` has passed; its cause says for each address why it does not
    /// work and when it is tried again. [`ConnectionError::Closed`] once the channel is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting; the channel goes on connecting.
    pub async fn wait_ready(&self, deadline: Option<Instant>) -> Result<(), ConnectionError> {
        let mut states = self.shared().states();
        let started = now();
        let ready = async {
            loop {
                // Not looked at in place: to connect changes what is borrowed.
                let state = *states.borrow_and_update();
                match state {
                    ConnectivityState::Ready => return Ok(()),
                    ConnectivityState::Shutdown => {
                        return Err(ConnectionError::closed(Step::Connect));
                    }
                    ConnectivityState::Idle => self.connect(),
                    ConnectivityState::Connecting | ConnectivityState::TransientFailure => {}
                }
                if states.changed().await.is_err() {
                    return Err(ConnectionError::closed(Step::Connect));
                }
            }
        };
        within(deadline, ready).await.unwrap_or_else(|| {
            let waited = now().saturating_duration_since(started);
            let at = Place::at(Step::Connect).because(self.shared().unreached());
            Err(ConnectionError::timeout(Some(waited), at))
        })
    }

    /// What the channel looks like now: its state, its calls, its addresses and the connections to each.
    ///
    /// All of it is of one moment, but for the counts of each connection, which go on meanwhile.
    pub fn inspect(&self) -> LiveChannel {
        self.shared().inspect()
    }

    /// Calls that wait for a connection now.
    pub fn queued_calls(&self) -> usize {
        self.shared().queued()
    }

    /// Takes no new calls, lets those under way finish until `deadline` (`None`: none is waited for), ends the
    /// rest, and returns when every descriptor is gone. Idempotent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the channel closed to new calls; those under way go on.
    pub async fn close(&self, deadline: Option<Instant>) {
        self.shared().finish(deadline.unwrap_or_else(now)).await;
    }

    /// Ends everything without waiting.
    pub fn stop(&self) {
        self.shared().close();
        self.shared().cut();
    }
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = ResponseFuture;

    /// Always ready: calls wait for a connection themselves, each within its deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        Box::pin(exchange(Arc::clone(self.shared()), request))
    }
}

async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.ok(),
        None => Some(work.await),
    }
}
