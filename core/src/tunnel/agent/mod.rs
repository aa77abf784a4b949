//! The agent: dials its hubs, proves its cluster's name, and serves what they open.

mod admission;
mod backlog;
mod open;
mod session;
mod shared;
mod stats;

pub use stats::AgentStats;

use crate::{
    config::{AgentConfig, Config},
    context::{CloseReason, Protocol},
    error::{ConnectionError, Place, Step},
    manager::DrainReport,
    transport::{Listener, Network},
    tunnel::{ending::finish_by, memory::MemoryCommStats},
};
use admission::Admitted;
use shared::{Shared, clock};
use std::{sync::Arc, time::Instant};

/// Stands for a cluster at its hubs, and serves the connections that they open.
///
/// It keeps one tunnel to each hub, and begins again with backoff where one is lost. A connection without a target
/// goes to `forward` of the configuration, or else to the agent's [`listener`](Self::listener); one with a
/// target is dialled if `targets` lists it.
///
/// Cheap to clone; every clone is the same agent. Dropping the last one ends its tunnels and what it forwards, as
/// [`Cancelled`](CloseReason::Cancelled).
#[derive(Clone, Debug)]
pub struct Agent {
    owner: Arc<Owner>,
}

/// Tasks hold `shared` and never this, so that the last handle is the last.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Owner {
    fn stop(&self) {
        self.shared.stop();
        self.shared.cut.order(CloseReason::Cancelled);
    }
}

impl Agent {
    /// Makes an agent and begins to connect, on the network's runtime.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says. That a hub cannot be reached, or refuses, is
    /// no error here: [`ready`](Self::ready) tells.
    pub fn new(network: Network, config: AgentConfig) -> Result<Self, ConnectionError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(network, config));
        for hub in &shared.config.hubs {
            for _ in 0..shared.config.links {
                let task = session::keep(Arc::clone(&shared), hub.clone());
                shared.tasks.spawn_on(task, shared.network.runtime());
            }
        }
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &AgentConfig {
        &self.shared().config
    }

    /// Waits until a tunnel to any hub stands, until `deadline`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Timeout`] whose cause is why the last attempt failed; [`ConnectionError::Closed`] once the
    /// agent drains or is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ready(&self, deadline: Option<Instant>) -> Result<(), ConnectionError> {
        let shared = self.shared();
        let began = clock();
        let mut links = shared.links.subscribe();
        let stands = async {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => Err(ConnectionError::closed(Step::Connect)),
                _ = links.wait_for(|links| *links > 0) => Ok(()),
            }
        };
        let Some(deadline) = deadline else { return stands.await };
        tokio::time::timeout_at(deadline.into(), stands).await.unwrap_or_else(|_| {
            let at = Place::at(Step::Connect).to(Some(shared.address.clone()));
            let at = match shared.last_error.lock().clone() {
                Some(error) => at.because(error),
                None => at,
            };
            Err(ConnectionError::timeout(Some(clock().saturating_duration_since(began)), at))
        })
    }

    /// Why the newest attempt to reach a hub failed, or the newest tunnel was lost.
    pub fn last_error(&self) -> Option<ConnectionError> {
        self.shared().last_error.lock().clone()
    }

    /// The listener that takes the connections without a target, where `forward` is not set. They wait for it from the
    /// agent's beginning, as in the backlog of a socket.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BindFailed`] with `EADDRINUSE` while another listener of this agent is open;
    /// [`ConnectionError::InvalidConfig`] if `forward` is set; [`ConnectionError::Closed`] once the agent drains
    /// or is closed.
    pub fn listener(&self) -> Result<Listener, ConnectionError> {
        let shared = self.shared();
        if shared.config.forward.is_some() {
            return Err(ConnectionError::invalid_config(
                "forward",
                "must not be set where the host listens",
            ));
        }
        let mut given = shared.given.lock();
        if shared.stopping.is_cancelled() {
            return Err(ConnectionError::closed(Step::Bind));
        }
        let incoming = shared.backlog.listen(&shared.address)?;
        let admission = Admitted::new(&shared.live, shared.comm.as_ref());
        let of = (shared.address.clone(), Protocol::Tunnel);
        let listener = shared.network.listener(of, Box::new(incoming), Arc::new(admission));
        given.retain(|listener| !listener.is_closed());
        given.push(listener.close_handle());
        Ok(listener)
    }

    /// Lets `share` of the connections to come reach the listener by a pipe, and the others over a Unix socket: 1 is
    /// `use_memory_comm` of the configuration, 0 is its absence. Those that stand stay as they are.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for what is not within 0 and 1, and where the configuration has neither
    /// `memory_comm` nor `use_memory_comm`, so that connections come as they are.
    pub fn use_memory_comm(&self, share: f64) -> Result<(), ConnectionError> {
        match &self.shared().comm {
            Some(comm) => comm.set_share(share),
            None => Err(ConnectionError::invalid_config(
                "memory_comm",
                "must be given for connections to go one way or another",
            )),
        }
    }

    /// The counts of both ways to the listener, side by side, also once it is closed.
    pub fn memory_comm_stats(&self) -> MemoryCommStats {
        self.shared().comm.as_ref().map_or_else(MemoryCommStats::default, |comm| comm.stats())
    }

    /// The counts of this moment, also once it is closed.
    pub fn stats(&self) -> AgentStats {
        stats::read(self.shared())
    }

    /// Tells the hubs to open nothing new, waits until every connection has ended, and cuts at `deadline` those that
    /// have not: that of the configuration, where there is none here. Then the tunnels end.
    ///
    /// Connections that the host has not accepted yet are reset.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the agent without new connections, and those that stand as they are. A further call
    /// goes on waiting.
    pub async fn drain(&self, deadline: Option<Instant>) -> DrainReport {
        let shared = self.shared();
        let deadline = deadline.or_else(|| shared.drain_timeout().from(clock()));
        let before = shared.live.stats();
        shared.stop();
        shared.tasks.close();
        let finished = async {
            shared.live.emptied().await;
            shared.tasks.wait().await;
            // What was carried to the host waits there until it has read it.
            if let Some(comm) = &shared.comm {
                comm.left().await;
            }
        };
        if !finish_by(deadline, finished).await {
            shared.cut.order(CloseReason::Drained);
        }
        shared.live.seal();
        shared.live.cut(CloseReason::Drained);
        shared.close_comm(CloseReason::Drained);
        shared.tasks.wait().await;
        DrainReport::between(&before, &shared.live.stats())
    }

    /// Ends every tunnel and connection, those that were given away included. Idempotent; every file descriptor of the
    /// agent is gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to be done in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.stop();
        shared.cut.order(CloseReason::Local);
        shared.live.seal();
        shared.live.cut(CloseReason::Local);
        shared.close_comm(CloseReason::Local);
        shared.tasks.close();
        shared.tasks.wait().await;
    }

    /// Does at once what dropping the last handle does. Waits for nothing.
    pub fn stop(&self) {
        self.owner.stop();
    }
}
