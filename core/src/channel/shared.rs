//! The driver of a channel: owns its state under one lock, and does what the state says once it is released.

use super::{
    ConnectivityState,
    asking::Asked,
    balance::{Action, Terms},
    connection::Http2,
    history::History,
    interceptor::{Interceptor, Row},
    keepalive::PingTime,
    lookup::look_up,
    meters::Meters,
    place::{Asking, Place, closed},
    ready_made::ready_made,
    resolver::Resolver,
    retry::Tokens,
    security::Security,
    standing::Standings,
    state::{Answer, State, Unit, Work},
    subchannel::{Connect, ConnectionNumber},
    target::Target,
    tasks::{Way, attempt, keep_up},
    telemetry::Telemetry,
    wire::now,
};
use crate::{
    address::Address,
    config::{Config as _, ConnectionConfig, LoadBalancing, MethodConfig, ServiceDocument},
    endpoint::{EndpointId, Sweep},
    error::{ConnectionError, Place as At, Step},
    identity::Tls,
    transport::Network,
};
use arc_swap::ArcSwap;
use http::uri::{Authority, InvalidUriParts, PathAndQuery, Uri};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc, time::Instant};
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

type Core = State<Arc<Http2>, Asking>;

/// What every handle of a channel shares.
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) target: Target,
    pub(super) authority: Authority,
    pub(super) security: Security,
    pub(super) service: ServiceDocument,
    /// Also held by the task of each connection, which may outlive the channel.
    pub(super) meters: Arc<Meters>,
    /// Also held by the task of each connection.
    pub(super) telemetry: Option<Arc<Telemetry>>,
    pub(super) standing: Standings,
    /// Who says where the target is, where the program does.
    pub(super) resolver: Option<Arc<dyn Resolver>>,
    /// Replaced as a whole.
    interceptors: ArcSwap<Vec<Arc<dyn Interceptor>>>,
    /// Held for a few moves of plain data; nobody is woken and nothing is dropped under it.
    core: Mutex<Locked>,
    tokens: Option<Mutex<Tokens>>,
    told: watch::Sender<ConnectivityState>,
    /// The number of the last change of the state.
    changed: watch::Sender<u64>,
    upkeep: Arc<Notify>,
    /// Told when the last call ends.
    pub(super) quiet: Notify,
    /// Every connection, and every attempt to make one.
    pub(super) tasks: TaskTracker,
    /// Cuts everything.
    cut: CancellationToken,
}

struct Locked {
    state: Core,
    /// What ends each attempt to connect that is under way.
    attempts: HashMap<ConnectionNumber, CancellationToken>,
    /// What the upkeep task was last asked to wake at.
    armed: Option<Instant>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("target", &self.target.text)
            .field("state", &*self.told.borrow())
            .finish_non_exhaustive()
    }
}

fn chance() -> f64 {
    fastrand::f64()
}

impl Shared {
    pub(super) fn start(
        network: Network,
        target: &str,
        mut config: ConnectionConfig,
        tls: Option<Tls>,
        resolver: Option<Arc<dyn Resolver>>,
    ) -> Result<Arc<Self>, ConnectionError> {
        config.validate()?;
        let target = match &resolver {
            None => Target::parse(target)?,
            Some(_) => Target::of_program(target)?,
        };
        let security = Security::new(&target, tls, &network)?;
        let authority = security.chosen_name().unwrap_or(&target.authority);
        let authority = authority.parse().map_err(|_| {
            ConnectionError::invalid_config("target", "names nothing that can be an authority")
        })?;
        // Not kept: what it says is in `service`, in a tenth of the room.
        let service = match config.service_config.document.take() {
            Some(document) => ServiceDocument::from_value(&document)?,
            None => ServiceDocument::retrying(&config.service_config.retry_policy),
        };
        let terms = Terms {
            policy: service.load_balancing.clone().unwrap_or_default(),
            backoff: config.backoff,
            min_connect_timeout: config.connect_timeout,
            most_connections: most_connections(&config, &service),
            asks_health: service.health_check_service.is_some(),
            outliers: service.outlier_detection,
            subset: service.subset_size,
            circuit: config.circuit,
        };
        let interceptors = ready_made(&config.interceptors, &target.text, network.metrics());
        let telemetry =
            config.opentelemetry.then(|| Arc::new(Telemetry::new(network.metrics(), &target.text)));
        let state = State::new(target.clone(), terms, &config, now());
        let core = Mutex::new(Locked { state, attempts: HashMap::new(), armed: None });
        let shared = Arc::new(Self {
            meters: Arc::new(Meters::new(network.metrics())),
            tokens: service.retry_throttling.map(|terms| Mutex::new(Tokens::new(terms))),
            core,
            telemetry,
            standing: Standings::default(),
            resolver,
            told: watch::Sender::new(ConnectivityState::Idle),
            changed: watch::Sender::new(0),
            upkeep: Arc::new(Notify::new()),
            cut: CancellationToken::new(),
            network,
            tasks: TaskTracker::new(),
            quiet: Notify::new(),
            config: Arc::new(config),
            target,
            authority,
            security,
            interceptors: ArcSwap::from_pointee(interceptors),
            service,
        });
        let upkeep =
            keep_up(Arc::downgrade(&shared), Arc::clone(&shared.upkeep), shared.cut.clone());
        shared.network.runtime().spawn(upkeep);
        Ok(shared)
    }

    /// Calls that begin from now on pass it too, last.
    pub(super) fn intercept(&self, interceptor: &Arc<dyn Interceptor>) {
        self.interceptors.rcu(|all| {
            let mut all = Vec::clone(all);
            all.push(Arc::clone(interceptor));
            all
        });
    }

    /// Those that a call of `method` must pass.
    pub(super) fn row(&self, method: &str) -> Row {
        Row::new(&self.interceptors.load(), method)
    }

    pub(super) fn states(&self) -> watch::Receiver<ConnectivityState> {
        self.told.subscribe()
    }

    /// The number of the last change, and of each that follows.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn history(&self, after: u64, max: usize) -> History {
        self.core.lock().state.changes.after(after, max)
    }

    pub(super) fn state(&self) -> ConnectivityState {
        self.core.lock().state.state()
    }

    /// What holds for a method.
    pub(super) fn method(&self, path: &str) -> Option<Arc<MethodConfig>> {
        self.service.method(path).cloned()
    }

    /// Whether tokens allow to send something again.
    pub(super) fn may_resend(&self) -> bool {
        self.tokens.as_ref().is_none_or(|tokens| tokens.lock().allow())
    }

    /// A call ended: well, or in a way that is tried again.
    pub(super) fn count_tokens(&self, is_success: bool) {
        if let Some(tokens) = &self.tokens {
            match is_success {
                true => tokens.lock().on_success(),
                false => tokens.lock().on_failure(),
            }
        }
    }

    pub(super) fn connect(self: &Arc<Self>) {
        self.with(|state, now, draw| {
            if !state.is_closed() {
                state.connect(now, draw)
            }
        });
    }

    pub(super) fn reset_backoff(self: &Arc<Self>) {
        self.with(|state, now, draw| state.balance.reset_backoff(now, draw));
    }

    /// No new calls from here on.
    pub(super) fn close(self: &Arc<Self>) {
        self.with(|state, now, _| state.close(now));
    }

    /// Ends every call, connection and attempt.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Lets the calls under way finish until `deadline`, ends what is left, and returns when every descriptor is
    /// gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the channel closed to new calls; those under way go on.
    pub(super) async fn finish(self: &Arc<Self>, deadline: Instant) {
        self.close();
        self.tasks.close();
        let finished = async {
            loop {
                let quiet = self.quiet.notified();
                if self.core.lock().state.idle.calls() == 0 {
                    return;
                }
                quiet.await;
            }
        };
        let in_time = async {
            finished.await;
            self.tasks.wait().await;
        };
        if tokio::time::timeout_at(deadline.into(), in_time).await.is_err() {
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }

    /// Calls that wait for a connection.
    pub(super) fn queued(&self) -> usize {
        self.core.lock().state.queued()
    }

    /// The header whose value decides where a call goes.
    pub(super) fn hash_header(&self) -> Option<&str> {
        match &self.service.load_balancing {
            Some(LoadBalancing::RingHash { header, .. }) => header.as_deref(),
            _ => None,
        }
    }

    /// Where a request goes: to the channel's authority unless `authority` is another.
    pub(super) fn uri(
        &self,
        authority: Option<&Authority>,
        path: Option<&PathAndQuery>,
    ) -> Result<Uri, InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.security.scheme());
        parts.authority = Some(authority.unwrap_or(&self.authority).clone());
        parts.path_and_query = path.cloned();
        Uri::from_parts(parts)
    }

    /// Why calls are not carried, for people.
    pub(super) fn unreached_text(&self) -> String {
        self.core.lock().state.unreached(now()).to_string()
    }

    /// Why calls are not carried: a failure of TLS if it is the same one at every address.
    pub(super) fn unreached(&self) -> ConnectionError {
        let why = self.core.lock().state.unreached(now());
        let fault = why.tls_fault();
        let at = At::at(Step::Connect).because(why);
        match fault {
            Some(fault) => ConnectionError::Tls { fault, at },
            None => ConnectionError::ConnectionFailed { at },
        }
    }

    /// Changes the state, and then does what follows from it.
    pub(super) fn with<R>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Core, Instant, Unit<'_>) -> R,
    ) -> R {
        let (result, work) = {
            let mut locked = self.core.lock();
            let now = now();
            let result = change(&mut locked.state, now, &mut chance);
            let work = locked.state.settle(now, &mut chance);
            self.told.send_if_modified(|told| std::mem::replace(told, work.state) != work.state);
            self.changed
                .send_if_modified(|last| std::mem::replace(last, work.changes) != work.changes);
            let is_earlier = match (work.wake_at, locked.armed) {
                (Some(wake_at), Some(armed)) => wake_at < armed,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_earlier {
                locked.armed = work.wake_at;
            }
            (result, (work, is_earlier))
        };
        let (work, is_earlier) = work;
        if is_earlier {
            self.upkeep.notify_one();
        }
        self.perform(work);
        result
    }

    fn perform(self: &Arc<Self>, work: Work<Arc<Http2>, Asking>) {
        for (who, answer) in work.answers {
            // One who has gone drops the place, and so hands it on.
            let _ = who.send(match answer {
                Answer::Placed(placed) => Ok(Place::new(self, placed)),
                Answer::Refused => Err(self.refused()),
                Answer::Failing(why) => Err(Status::unavailable(why.to_string())),
                Answer::Closed => Err(closed()),
            });
        }
        for action in work.actions {
            match action {
                Action::Connect(connect) => self.attempt(connect),
                Action::Abandon(number) => {
                    let attempt = self.core.lock().attempts.remove(&number);
                    if let Some(attempt) = attempt {
                        attempt.cancel();
                    }
                }
                Action::Ask { topic, subchannel, number, connection } => {
                    self.ask(topic, Asked { subchannel, number, connection });
                }
                Action::Swept(sweep) => self.on_swept(&sweep),
                Action::Retire(connection, reason) => connection.retire(reason),
                Action::Resolve => {}
            }
        }
        if let Some(wanted) = work.lookup {
            self.network.runtime().spawn(look_up(Arc::downgrade(self), wanted));
        }
    }

    fn attempt(self: &Arc<Self>, connect: Connect) {
        let given_up = self.cut.child_token();
        let ping = {
            let mut locked = self.core.lock();
            locked.attempts.insert(connect.number, given_up.clone());
            locked.state.ping
        };
        let way = self.way(ping, &connect.address);
        let work = attempt(Arc::downgrade(self), way, connect, given_up);
        self.tasks.spawn_on(work, self.network.runtime());
    }

    fn way(&self, ping: PingTime, to: &Address) -> Way {
        let (network, config) = (self.network.clone(), Arc::clone(&self.config));
        let securing = self.security.securing(&self.target, to);
        Way { network, config, securing, ping, cut: self.cut.clone() }
    }

    fn on_swept(&self, sweep: &Sweep) {
        self.meters.on_swept(sweep);
        for ejection in &sweep.ejected {
            tracing::info!(
                target = %self.target.text,
                rule = ejection.rule.name(),
                failures = ejection.failures,
                successes = ejection.successes,
                "an address of the channel gets no calls for a while"
            );
        }
    }

    /// An attempt has ended, one way or the other.
    pub(super) fn forget_attempt(&self, number: ConnectionNumber) {
        self.core.lock().attempts.remove(&number);
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.core.lock().armed
    }

    pub(super) fn on_timeout(self: &Arc<Self>) {
        self.core.lock().armed = None;
        self.with(|state, now, draw| state.on_timeout(now, draw));
    }

    pub(super) fn on_attempt_failed(
        self: &Arc<Self>,
        id: EndpointId,
        number: ConnectionNumber,
        error: ConnectionError,
    ) {
        self.meters.on_attempt_failed();
        if let Some(telemetry) = &self.telemetry {
            telemetry.on_attempt_failed();
        }
        let why = &error as &dyn std::error::Error;
        tracing::debug!(target = %self.target.text, error = why, "no connection for the channel");
        self.with(|state, now, draw| {
            state.balance.on_attempt_failed(id, number, error, now, draw);
        });
    }
}

fn most_connections(config: &ConnectionConfig, service: &ServiceDocument) -> u32 {
    let pooled = if config.pooling.enabled { config.pooling.size } else { 1 };
    service.max_connections.unwrap_or(pooled)
}
