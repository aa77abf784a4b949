//! Connects to the endpoints of a backend, one after the other until one answers.

use super::{
    backend::{Attempt, Backend},
    places::{NoPlace, Places},
    relayed::Relayed,
    shared::{Shared, clock},
};
use crate::{
    budget::Permit,
    config::{BackendConfig, SendProxy},
    endpoint::{EndpointId, HealthAction, HealthChange, Member},
    error::{ConnectionError, Place, Step},
    metrics::Metrics,
    transport::{ConnectOptions, Stream},
};
use parking_lot::Mutex;
use std::{mem, net::IpAddr, sync::Arc, time::Instant};
use tokio::time::sleep_until;

/// A backend of a manager.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) places: Places,
    /// Held for a pick or the count of an outcome, never across a wait.
    state: Mutex<Backend>,
}

/// A connection that counts for an endpoint until it is dropped.
#[derive(Debug)]
pub(super) struct InUse {
    upstream: Arc<Upstream>,
    endpoint: EndpointId,
    _place: Permit,
}

/// An attempt that is given back however it ends.
struct Trying<'a> {
    upstream: &'a Upstream,
    attempt: Option<Attempt>,
}

impl Upstream {
    pub(super) fn new(name: Arc<str>, config: BackendConfig, metrics: &Metrics) -> Arc<Self> {
        let places = Places::new(metrics, &name, config.max_connections);
        let state = Mutex::new(Backend::new(config, clock(), fastrand::f64));
        Arc::new(Self { name, places, state })
    }

    pub(super) fn send_proxy(&self) -> SendProxy {
        self.state.lock().config().send_proxy_protocol
    }

    /// Its endpoints that are checked, each with the round of checks that is its.
    pub(super) fn checked(&self) -> Vec<(Member, u64)> {
        self.state.lock().checked()
    }

    /// Goes by `config` from now on; its endpoints of which a new round of checks begins.
    pub(super) fn reconfigure(&self, config: BackendConfig) -> Vec<(Member, u64)> {
        self.state.lock().reconfigure(config, clock(), fastrand::f64)
    }

    /// It is no backend any more: its endpoints are checked no longer.
    pub(super) fn retire(&self) {
        self.state.lock().retire();
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        self.state.lock().members()
    }

    /// The right to one connection more, waited for in line where all places are taken.
    pub(super) async fn place(
        &self,
        shared: &Shared,
        relayed: &Relayed,
    ) -> Result<Permit, NoPlace> {
        let queue = self.state.lock().config().queue;
        self.places.take(queue, &shared.stopping, relayed).await
    }

    /// Connects to one endpoint after the other until one answers, within the connect timeout of the manager. The
    /// connection keeps its `place`.
    ///
    /// # Errors
    ///
    /// `CircuitOpen` while no endpoint is tried, else why the last one was not reached. That this process has
    /// no file left, or closes, ends it at once and says nothing about the endpoint.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt, which then counts neither way.
    pub(super) async fn connect(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        source: Option<IpAddr>,
        place: Permit,
    ) -> Result<(Stream, InUse), ConnectionError> {
        let deadline = clock() + shared.settings().config.tcp.connect_timeout;
        let key = source.map(octets);
        let mut tried = Vec::new();
        let mut last = None;
        let (max_attempts, attempt_timeout) = {
            let state = self.state.lock();
            (state.config().max_attempts as usize, state.config().attempt_timeout)
        };
        while tried.len() < max_attempts && clock() < deadline {
            let Some(trying) = self.begin(key.as_deref(), &tried) else { break };
            tried.push(trying.endpoint());
            let give_up_at = deadline.min(clock() + attempt_timeout);
            match trying.connect(shared, give_up_at).await {
                Ok(stream) => return Ok((stream, trying.stands(self, place))),
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => {
                    trying.failed();
                    tracing::debug!(
                        backend = &*self.name,
                        error = &error as &dyn std::error::Error,
                        "an endpoint was not reached"
                    );
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| self.unreachable()))
    }

    fn begin(&self, key: Option<&[u8]>, tried: &[EndpointId]) -> Option<Trying<'_>> {
        let attempt = self.state.lock().begin(key, tried, clock(), fastrand::f64)?;
        Some(Trying { upstream: self, attempt: Some(attempt) })
    }

    fn unreachable(&self) -> ConnectionError {
        let at = Place::at(Step::Connect);
        match self.state.lock().open_for(clock()) {
            Some(retry_after) => ConnectionError::CircuitOpen { retry_after, at },
            None => ConnectionError::ConnectionFailed { at },
        }
    }

    /// Checks one endpoint for as long as the manager lets connections in and the round is the newest.
    pub(super) async fn check(self: Arc<Self>, shared: Arc<Shared>, member: Member, round: u64) {
        while let Some(action) =
            { self.state.lock().on_health_timeout(member.id, round, clock(), fastrand::f64()) }
        {
            let step = async {
                match action {
                    HealthAction::Check { give_up_at } => {
                        self.check_once(&shared, &member, give_up_at).await
                    }
                    HealthAction::WakeAt(at) => sleep_until(at.into()).await,
                    HealthAction::Nothing => {}
                }
            };
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = step => {}
            }
        }
    }

    async fn check_once(&self, shared: &Shared, member: &Member, give_up_at: Instant) {
        let tcp = shared.settings().config.tcp;
        let options = ConnectOptions { tcp, ..Default::default() };
        let answer = shared.network.connect_with(&member.address, Some(give_up_at), &options).await;
        let change = self.state.lock().on_checked(member.id, answer.is_ok(), clock());
        let (backend, endpoint) = (&*self.name, &member.address);
        match change {
            HealthChange::Nothing => {}
            HealthChange::Up => tracing::info!(backend, %endpoint, "endpoint is healthy"),
            HealthChange::Down => tracing::warn!(backend, %endpoint, "endpoint is not healthy"),
        }
    }
}

impl Trying<'_> {
    fn endpoint(&self) -> EndpointId {
        self.attempt.as_ref().expect("there until it is given back").endpoint
    }

    async fn connect(
        &self,
        shared: &Arc<Shared>,
        give_up_at: Instant,
    ) -> Result<Stream, ConnectionError> {
        let attempt = self.attempt.as_ref().expect("there until it is given back");
        shared.dial(&attempt.address, Some(give_up_at), None).await
    }

    fn stands(mut self, upstream: &Arc<Upstream>, place: Permit) -> InUse {
        let endpoint = self.endpoint();
        if let Some(attempt) = self.attempt.take() {
            self.upstream.state.lock().on_connected(attempt, clock(), fastrand::f64());
        }
        InUse { upstream: Arc::clone(upstream), endpoint, _place: place }
    }

    fn failed(mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.upstream.state.lock().on_failed(attempt, clock(), fastrand::f64());
        }
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = mem::take(&mut self.attempt) {
            self.upstream.state.lock().on_cancelled(attempt, clock(), fastrand::f64());
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.upstream.state.lock().on_closed(self.endpoint);
    }
}

/// Whether a failure lies with this process, so that another endpoint would fare no better.
fn is_ours(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::LimitExceeded { .. } | ConnectionError::Closed { .. })
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
