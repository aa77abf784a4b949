//! What a manager and its tasks have in common. The tasks hold this, and never the manager itself.

use super::{
    callback::Asking, check::AskingHealth, live::Live, routes::Routes, settings::Settings,
    sources::Sources,
};
use crate::{
    address::Address,
    budget::{Budget, Permit},
    config::{SpliceConfig, TcpManagerConfig},
    context::CloseReason,
    error::{ConnectionError, Place, Step},
    events::{Event, EventKind},
    relay::RelayLimits,
    transport::{
        Admission, ConnectOptions, ListenOptions, Listener, ListenerCloseHandle, Network, Pipes,
        Securing, Stream,
    },
};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) budget: Budget,
    pub(super) sources: Arc<Sources>,
    /// For relays to splice through.
    pub(super) pipes: Pipes,
    settings: ArcSwap<Settings>,
    /// What says where connections go before the routes do.
    pub(super) asking: ArcSwapOption<Asking>,
    /// What says how the endpoints are whose check is a callback.
    pub(super) asking_health: ArcSwapOption<AskingHealth>,
    pub(super) live: Arc<Live>,
    /// No new connections, but those that stand may finish.
    pub(super) stopping: CancellationToken,
    pub(super) cut: Cut,
    /// The accept loops; they end soon after `stopping`.
    pub(super) loops: TaskTracker,
    /// Dials and relays.
    pub(super) tasks: TaskTracker,
    /// Whoever adds to it looks at `stopping` under its lock; whoever stops takes it after `stopping`.
    pub(super) listening: Mutex<Listening>,
}

/// What a manager listens on.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Given away to the caller.
    pub(super) given: Vec<ListenerCloseHandle>,
    /// Those that the manager accepts from itself.
    pub(super) own: Vec<ListenerCloseHandle>,
    /// Those of the configuration by their names, once they are started.
    pub(super) started: Option<BTreeMap<String, Started>>,
    pub(super) routes: Routes,
}

/// A listener of the configuration that listens.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) address: Address,
    /// What came in by it.
    pub(super) budget: Budget,
}

impl Listening {
    /// All of them, to be spoken to without the lock.
    fn handles(&self) -> Vec<ListenerCloseHandle> {
        self.given.iter().chain(&self.own).cloned().collect()
    }

    /// Whether what a listener of the configuration passes on `to` there would evidently come back to one.
    pub(super) fn leads_back(&self, to: &Address) -> bool {
        let mut started = self.started.iter().flat_map(|started| started.values());
        started.any(|one| self.routes.is_loop(&one.address, to))
    }
}

/// The order to end what the manager's own tasks run, with the reason.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    reason: OnceLock<CloseReason>,
    token: CancellationToken,
}

impl Cut {
    /// The first reason wins.
    pub(crate) fn order(&self, reason: CloseReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Waits for the order.
    pub(crate) async fn ordered(&self) -> CloseReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(CloseReason::Cancelled)
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.token.is_cancelled()
    }
}

impl Shared {
    pub(super) fn new(network: Network, config: TcpManagerConfig) -> Self {
        Self {
            budget: Budget::new(u64::from(config.max_connections)),
            sources: Sources::new(config.per_source),
            pipes: pipes(&config.splice),
            settings: ArcSwap::from_pointee(Settings::new(config, network.metrics())),
            network,
            live: Live::new(),
            asking: ArcSwapOption::empty(),
            asking_health: ArcSwapOption::empty(),
            stopping: CancellationToken::new(),
            cut: Cut::default(),
            loops: TaskTracker::new(),
            tasks: TaskTracker::new(),
            listening: Mutex::default(),
        }
    }

    pub(super) fn relay_limits(&self) -> RelayLimits {
        RelayLimits::from(&self.settings().config)
    }

    /// As they are now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Brings limits and listeners to what the settings say. Of several at one time, each goes on until the newest hold.
    pub(super) fn apply_limits(&self) {
        loop {
            let settings = self.settings();
            self.apply(&settings);
            if Arc::ptr_eq(&settings, &self.settings()) {
                return;
            }
        }
    }

    fn apply(&self, settings: &Settings) {
        let config = &settings.config;
        self.budget.set_limit(u64::from(config.max_connections));
        self.sources.reconfigure(config.per_source);
        self.pipes.resize(u64::from(config.splice.max_pipes), config.splice.pipe_size as usize);
        if let Some(asking) = &*self.asking.load() {
            asking.set_limit(config.route_callback.max_pending);
        }
        let (started, handles) = {
            let listening = self.listening.lock();
            (listening.started.clone().unwrap_or_default(), listening.handles())
        };
        for listener in handles {
            listener.reconfigure(&config.tcp);
        }
        for (name, listener) in started {
            listener.budget.set_limit(limit_of(config, &name));
        }
        for (name, upstream) in &settings.upstreams {
            upstream.places.set_limit(config.backends[name].max_connections);
        }
    }

    pub(super) fn replace_settings(&self, settings: Arc<Settings>) {
        self.settings.store(settings);
    }

    /// The right to one more connection, or the refusal at once.
    pub(super) fn permit(&self, destination: &Address) -> Result<Permit, ConnectionError> {
        if let Some(permit) = self.budget.try_acquire() {
            return Ok(permit);
        }
        let limit = self.budget.limit();
        self.record(EventKind::LimitReached { limit }, destination);
        tracing::debug!(%destination, limit, "refused a connection above the limit");
        let at = Place::at(Step::Connect).to(Some(destination.clone()));
        Err(ConnectionError::limit_exceeded("connections", limit, at))
    }

    /// Connects, in a task of its own: the caller may be on any runtime, and [closing] waits for the
    /// attempt to be over. Dropping the future ends the attempt. With a `permit` it is a new connection,
    /// which a stop ends too; without, it belongs to one that stands.
    ///
    /// [closing]: super::TcpConnectionManager::close
    pub(super) async fn dial(
        self: &Arc<Self>,
        address: &Address,
        deadline: Option<Instant>,
        permit: Option<Permit>,
    ) -> Result<Stream, ConnectionError> {
        self.dial_to(address, None, deadline, permit).await
    }

    /// As [`dial`](Self::dial); the certificate of a server by TLS must be for `host` where there is one.
    pub(super) async fn dial_to(
        self: &Arc<Self>,
        address: &Address,
        host: Option<Box<str>>,
        deadline: Option<Instant>,
        permit: Option<Permit>,
    ) -> Result<Stream, ConnectionError> {
        let (shared, address) = (Arc::clone(self), address.clone());
        let attempt = async move {
            let tcp = shared.settings().config.tcp;
            let options = ConnectOptions { tcp, ..Default::default() };
            let given_up = async {
                match &permit {
                    Some(_) => shared.stopping.cancelled().await,
                    None => drop(shared.cut.ordered().await),
                }
            };
            tokio::select! {
                biased;
                () = given_up => Err(ConnectionError::closed(Step::Connect)),
                answer = reach(&shared.network, &address, host, deadline, &options) => {
                    answer.map(|stream| match permit {
                        Some(permit) => stream.holding(permit),
                        None => stream,
                    })
                }
            }
        };
        let task = self.tasks.spawn_on(attempt, self.network.runtime());
        AbortOnDropHandle::new(task).await.unwrap_or_else(|panic| {
            let at = Place::at(Step::Connect).because(panic);
            Err(ConnectionError::ConnectionFailed { at })
        })
    }

    /// Listens under the limit of `budget`; what is accepted is counted.
    pub(super) async fn bind(
        &self,
        address: &Address,
        budget: &Budget,
    ) -> Result<Listener, ConnectionError> {
        self.check_open(Step::Bind)?;
        let budget = Some(budget.clone());
        let tcp = self.settings().config.tcp;
        let options = ListenOptions { tcp, budget, ..Default::default() };
        let admission = Arc::clone(&self.live) as Arc<dyn Admission>;
        self.network.listen_admitting(address, &options, Some(admission)).await
    }

    pub(super) fn check_open(&self, step: Step) -> Result<(), ConnectionError> {
        if self.stopping.is_cancelled() {
            return Err(ConnectionError::closed(step));
        }
        Ok(())
    }

    pub(super) fn record(&self, kind: EventKind, address: &Address) {
        let event = Event::of_listener(kind, Some(address.clone()), clock());
        self.network.events().record(event);
    }

    /// Lets go of what says where connections go, and how endpoints are. There is none any more.
    pub(super) fn ask_nobody(&self) {
        let listening = self.listening.lock();
        let last = (self.asking.swap(None), self.asking_health.swap(None));
        drop(listening);
        // A destructor of the program's runs here.
        drop(last);
    }

    /// No new connections from here on.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        let given = std::mem::take(&mut self.listening.lock().given);
        for listener in given {
            listener.close();
        }
    }
}

/// Connects to `address`, where the certificate of TLS must be for `host` if there is one.
pub(super) async fn reach(
    network: &Network,
    address: &Address,
    host: Option<Box<str>>,
    deadline: Option<Instant>,
    options: &ConnectOptions,
) -> Result<Stream, ConnectionError> {
    match host {
        None => network.connect_with(address, deadline, options).await,
        Some(_) => {
            let securing = Securing { tls: None, host };
            network.connect_secured(address, deadline, options, &securing).await
        }
    }
}

/// How many connections may come in by a listener of the configuration.
pub(super) fn limit_of(config: &TcpManagerConfig, listener: &str) -> u64 {
    let own = config.listeners.get(listener).and_then(|listener| listener.max_connections);
    own.map_or(u64::MAX, u64::from)
}

fn pipes(config: &SpliceConfig) -> Pipes {
    Pipes::new(u64::from(config.max_pipes), config.pipe_size as usize)
}

#[expect(clippy::disallowed_methods, reason = "events and deadlines are told by this clock")]
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
