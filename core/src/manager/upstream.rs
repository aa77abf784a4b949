//! Connects to the endpoints of a backend, one after the other until one answers.

use super::{
    backend::{Attempt, Backend, Change},
    check::Checks,
    endpoints::LiveEndpoint,
    names::{NameAction, NameTask},
    places::{NoPlace, Places},
    relayed::Relayed,
    shared::{Shared, clock},
};
use crate::{
    budget::Permit,
    config::{BackendConfig, SendProxy},
    endpoint::{EndpointId, Lookup, Member},
    error::{ConnectionError, Place, Step},
    metrics::Metrics,
    transport::{Stream, look_up},
};
use parking_lot::Mutex;
use std::{mem, net::IpAddr, pin::pin, sync::Arc, time::Instant};
use tokio::{
    sync::Notify,
    time::{sleep_until, timeout_at},
};

/// A backend of a manager.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) places: Places,
    pub(super) checks: Checks,
    /// Held for a pick or the count of an outcome, never across a wait.
    pub(super) state: Mutex<Backend>,
    /// Names lead elsewhere, or are no longer looked up.
    renamed: Notify,
}

/// A connection that counts for an endpoint until it is dropped.
#[derive(Debug)]
pub(super) struct InUse {
    upstream: Arc<Upstream>,
    pub(super) endpoint: EndpointId,
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
        let checks = Checks::new(metrics, &name);
        let state = Mutex::new(Backend::new(config, clock(), fastrand::f64));
        Arc::new(Self { name, places, checks, state, renamed: Notify::new() })
    }

    pub(super) fn send_proxy(&self) -> SendProxy {
        self.state.lock().config().send_proxy_protocol
    }

    /// Its endpoints that are checked, each with the round of checks that is its.
    pub(super) fn checked(&self) -> Vec<(Member, u64)> {
        self.state.lock().checked()
    }

    /// Its hosts that are to be looked up.
    pub(super) fn named(&self) -> Vec<NameTask> {
        self.state.lock().named()
    }

    /// Goes by `config` from now on.
    pub(super) fn reconfigure(&self, config: BackendConfig) -> Change {
        let change = self.state.lock().reconfigure(config, clock(), fastrand::f64);
        self.renamed.notify_waiters();
        change
    }

    /// It is no backend any more: its endpoints are neither checked nor looked up any longer. Says which they were.
    pub(super) fn retire(&self) -> Arc<[Member]> {
        let members = self.state.lock().retire();
        self.renamed.notify_waiters();
        members
    }

    /// Follows a change of its endpoints: begins checks and look-ups, and ends connections to those that are gone when
    /// their time is over.
    pub(super) fn follow(self: &Arc<Self>, shared: &Arc<Shared>, change: Change) {
        let runtime = shared.network.runtime();
        for (member, round) in change.checked {
            shared
                .loops
                .spawn_on(Arc::clone(self).check(Arc::clone(shared), member, round), runtime);
        }
        for task in change.named {
            shared.loops.spawn_on(Arc::clone(self).keep_up(Arc::clone(shared), task), runtime);
        }
        if change.removed.is_empty() {
            return;
        }
        let limit = self.state.lock().config().removed_timeout;
        if let Some(at) = limit.from(clock()) {
            let end = Arc::clone(self).end_removed(Arc::clone(shared), change.removed, at);
            shared.loops.spawn_on(end, runtime);
        }
    }

    /// Looks one host up for as long as the manager lets connections in and the round is the newest.
    async fn keep_up(self: Arc<Self>, shared: Arc<Shared>, task: NameTask) {
        loop {
            let renamed = self.renamed.notified();
            let due = self.state.lock().on_name_timeout(&task, clock(), fastrand::f64);
            let Some((action, change)) = due else { return };
            self.follow(&shared, change);
            let step = async {
                match action {
                    NameAction::LookUp(lookup) => self.look_up(&shared, &task, lookup).await,
                    NameAction::WakeAt(at) => tokio::select! {
                        () = sleep_until(at.into()) => {}
                        () = renamed => {}
                    },
                }
            };
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = step => {}
            }
        }
    }

    async fn look_up(self: &Arc<Self>, shared: &Arc<Shared>, task: &NameTask, lookup: Lookup) {
        let found = look_up(&task.host, task.port, lookup.give_up_at()).await;
        if let Err(error) = &found {
            tracing::warn!(
                backend = &*self.name,
                host = &*task.host,
                error = error as &dyn std::error::Error,
                "a name was not looked up; what it led to stands in"
            );
        }
        let change = self.state.lock().on_looked_up(task, lookup, found, clock(), fastrand::f64);
        self.follow(shared, change);
        self.renamed.notify_waiters();
    }

    /// Ends the connections to `removed` at this time, but not to those that are there again.
    async fn end_removed(self: Arc<Self>, shared: Arc<Shared>, removed: Vec<Member>, at: Instant) {
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            () = sleep_until(at.into()) => {}
        }
        let members = self.members();
        let is_gone = |gone: &&Member| members.iter().all(|member| member.address != gone.address);
        let ids: Vec<_> = removed.iter().filter(is_gone).map(|gone| gone.id).collect();
        shared.live.end_of(&self.name, &ids);
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        self.state.lock().members()
    }

    /// Its endpoints, as they are now.
    pub(super) fn endpoints(&self) -> Vec<LiveEndpoint> {
        self.state.lock().endpoints(&self.name, clock(), fastrand::f64)
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
            let Some(trying) = self.begin_known(key.as_deref(), &tried, deadline).await else {
                break;
            };
            tried.push(trying.endpoint());
            let give_up_at = deadline.min(clock() + attempt_timeout);
            match trying.connect(shared, give_up_at).await {
                Ok(stream) => return Ok((stream, trying.stands(self, place))),
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => {
                    trying.failed(&error);
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

    /// As [`begin`](Self::begin), once the names have told where they lead, where that is what is missing.
    async fn begin_known(
        &self,
        key: Option<&[u8]>,
        tried: &[EndpointId],
        deadline: Instant,
    ) -> Option<Trying<'_>> {
        if let Some(trying) = self.begin(key, tried) {
            return Some(trying);
        }
        loop {
            let mut renamed = pin!(self.renamed.notified());
            renamed.as_mut().enable();
            if !self.state.lock().waits_for_names() {
                return self.begin(key, tried);
            }
            if timeout_at(deadline.into(), renamed).await.is_err() {
                return None;
            }
        }
    }

    fn begin(&self, key: Option<&[u8]>, tried: &[EndpointId]) -> Option<Trying<'_>> {
        let attempt = self.state.lock().begin(key, tried, clock(), fastrand::f64)?;
        Some(Trying { upstream: self, attempt: Some(attempt) })
    }

    fn unreachable(&self) -> ConnectionError {
        let at = Place::at(Step::Connect);
        let state = self.state.lock();
        if let Some(why) = state.why_none() {
            return why;
        }
        match state.open_for(clock()) {
            Some(retry_after) => ConnectionError::CircuitOpen { retry_after, at },
            None => ConnectionError::ConnectionFailed { at },
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
        shared.dial_to(&attempt.address, attempt.host.clone(), Some(give_up_at), None).await
    }

    fn stands(mut self, upstream: &Arc<Upstream>, place: Permit) -> InUse {
        let endpoint = self.endpoint();
        if let Some(attempt) = self.attempt.take() {
            self.upstream.state.lock().on_connected(attempt, clock(), fastrand::f64());
        }
        InUse { upstream: Arc::clone(upstream), endpoint, _place: place }
    }

    fn failed(mut self, error: &ConnectionError) {
        if let Some(attempt) = self.attempt.take() {
            self.upstream.state.lock().on_failed(attempt, error, clock(), fastrand::f64());
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
