//! What an agent and its tasks have in common. The tasks hold this, and never the agent itself.

use super::backlog::Backlog;
use crate::{
    address::Address,
    budget::Budget,
    config::{AgentConfig, ByteLimit, TimeLimit},
    context::CloseReason,
    error::ConnectionError,
    events::{Event, EventKind},
    manager::{Cut, Live},
    relay::RelayLimits,
    transport::{ListenerCloseHandle, Network},
    tunnel::{
        counts::{Counts, What},
        hello::{Hello, Instance},
        memory::MemoryConnManager,
        native, packet,
    },
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) network: Network,
    pub(super) config: AgentConfig,
    pub(super) address: Address,
    instance: Instance,
    /// Logical connections.
    pub(super) budget: Budget,
    /// Targets being dialled.
    pub(super) dials: Budget,
    pub(super) live: Arc<Live>,
    pub(super) backlog: Backlog,
    /// The way to the listener, where connections do not come as they are.
    pub(super) comm: Option<MemoryConnManager>,
    pub(super) counts: Counts,
    /// Links that stand.
    pub(super) links: watch::Sender<usize>,
    /// Why the newest link that failed or was lost did.
    pub(super) last_error: Mutex<Option<ConnectionError>>,
    pub(super) given: Mutex<Vec<ListenerCloseHandle>>,
    /// Nothing new, but what stands may finish.
    pub(super) stopping: CancellationToken,
    pub(super) cut: Cut,
    /// Links, dials and relays.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(network: Network, config: AgentConfig) -> Self {
        let counts = Counts::new(network.metrics(), "agent");
        let address = Address::Tunnel(config.cluster.as_str().into());
        let comm = config.comm().map(|comm| {
            let by_memory = config.use_memory_comm;
            MemoryConnManager::new(network.clone(), comm, address.clone(), by_memory)
        });
        Self {
            address,
            instance: std::array::from_fn(|_| fastrand::u8(..)),
            budget: Budget::new(u64::from(config.max_connections)),
            dials: Budget::new(u64::from(config.max_pending_dials)),
            live: Live::new(),
            backlog: Backlog::new(config.backlog as usize),
            comm,
            counts,
            links: watch::Sender::new(0),
            last_error: Mutex::default(),
            given: Mutex::default(),
            stopping: CancellationToken::new(),
            cut: Cut::default(),
            tasks: TaskTracker::new(),
            network,
            config,
        }
    }

    pub(super) fn hello(&self) -> Hello {
        let Self { config, instance, .. } = self;
        Hello {
            cluster: config.cluster.as_str().into(),
            token: config.token.clone(),
            instance: *instance,
        }
    }

    pub(super) fn native_limits(&self) -> native::Limits {
        native::Limits::new(&self.config.link, self.config.max_connections)
    }

    pub(super) fn packet_limits(&self) -> packet::Limits {
        packet::Limits::new(&self.config.link, self.config.max_connections)
    }

    pub(super) fn relay_limits(&self) -> RelayLimits {
        let AgentConfig { idle_timeout, half_close_timeout, buffer_size, .. } = self.config;
        RelayLimits {
            idle: idle_timeout,
            half_close: half_close_timeout,
            buffer_size: buffer_size as usize,
            max_duration: TimeLimit::Never,
            splice_after: ByteLimit::Never,
            ..RelayLimits::default()
        }
    }

    pub(super) fn drain_timeout(&self) -> TimeLimit {
        self.config.drain_timeout
    }

    /// Ends what the host has of the way to it.
    pub(super) fn close_comm(&self, reason: CloseReason) {
        if let Some(comm) = &self.comm {
            comm.close(reason);
        }
    }

    /// A link stands, until the guard is dropped.
    pub(super) fn link_up(self: &Arc<Self>) -> LinkUp {
        self.counts.add(What::Opened);
        self.record(EventKind::LinkUp);
        self.links.send_modify(|links| *links += 1);
        LinkUp(Arc::clone(self))
    }

    fn record(&self, kind: EventKind) {
        let event = Event::of_listener(kind, Some(self.address.clone()), clock());
        self.network.events().record(event);
    }

    /// Nothing new from here on.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        let given = std::mem::take(&mut *self.given.lock());
        for listener in given {
            listener.close();
        }
        self.backlog.clear();
    }
}

/// A link that stands. Its end is counted also where the runtime ends under its task.
#[derive(Debug)]
pub(super) struct LinkUp(Arc<Shared>);

impl Drop for LinkUp {
    fn drop(&mut self) {
        self.0.counts.add(What::Closed);
        self.0.record(EventKind::LinkDown);
        self.0.links.send_modify(|links| *links -= 1);
    }
}

#[expect(clippy::disallowed_methods, reason = "events and deadlines are told by this clock")]
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
