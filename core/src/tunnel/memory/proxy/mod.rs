//! The memory proxy: serves HTTP on connections that need no socket, and passes each request on to a service.
//!
//! ```text
//!   listener ─▶ TLS? ── certificate ─▶ HTTP/1 or 2 ─▶ exchange ── route ─▶ process ─▶ Services ─▶ connect
//!                      of the hook                            of the hooks, or of the configuration
//! ```

mod accept;
mod asking;
mod denied;
mod exchange;
mod hooks;
mod routes;
mod shared;
mod stats;

pub use hooks::{
    Answering, CertificateChoice, CertificateProvider, FieldChanges, Processed, ProxyHello,
    ProxyHooks, ProxyRefusal, ProxyRequest, ProxyTarget, RequestProcessor, Routed, Router,
};
pub use stats::MemoryProxyStats;

use crate::{
    config::{Config, MemoryProxyConfig},
    context::CloseReason,
    error::{ConnectionError, Step},
    manager::DrainReport,
    transport::{Listener, Network},
    tunnel::ending::finish_by,
};
use shared::{Shared, clock};
use std::{sync::Arc, time::Instant};

/// Serves HTTP/1, HTTP/2, HTTPS and upgrades from them on every connection of its listeners, and passes each request on to
/// a service that the configuration or the host's [`Router`] names.
///
/// The listener may be any; that of an [`Agent`](crate::tunnel::Agent) makes a service of what is behind the agent, without a
/// socket between the tunnel and the proxy. What a client begins with tells what is spoken: TLS, with the protocol that
/// is agreed on there, HTTP/2, or HTTP/1.
///
/// Cheap to clone; every clone is the same proxy. Dropping the last one ends its connections, as
/// [`Cancelled`](CloseReason::Cancelled).
#[derive(Clone, Debug)]
pub struct MemoryProxy {
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
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl MemoryProxy {
    /// Makes a proxy that does as its configuration says. Its tasks run on the network's runtime; the network's TLS says who it
    /// is to clients of TLS, and whom it trusts at `tls://` addresses.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] as [`Config::validate`] says.
    pub fn new(network: Network, config: MemoryProxyConfig) -> Result<Self, ConnectionError> {
        Self::with_hooks(network, config, ProxyHooks::default())
    }

    /// As [`new`](Self::new), with hooks of the host's.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with_hooks(
        network: Network,
        config: MemoryProxyConfig,
        hooks: ProxyHooks,
    ) -> Result<Self, ConnectionError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(network, config, hooks));
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &MemoryProxyConfig {
        &self.shared().config
    }

    /// Serves what comes to `listener`, in the background, until it is closed, as it is when the proxy ends. Connections above
    /// `max_connections` wait in its backlog. Any number of listeners can be served at once.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`] once the proxy drains or is closed.
    pub fn serve(&self, listener: impl Into<Arc<Listener>>) -> Result<(), ConnectionError> {
        let shared = self.shared();
        if shared.stopping.is_cancelled() {
            return Err(ConnectionError::closed(Step::Accept));
        }
        let task = accept::accept_clients(Arc::clone(shared), listener.into());
        shared.loops.spawn_on(task, shared.network.runtime());
        Ok(())
    }

    /// The counts of this moment, also once it is closed.
    pub fn stats(&self) -> MemoryProxyStats {
        stats::read(self.shared())
    }

    /// Closes its listeners, answers what was asked, and cuts at `deadline` what is left: that of the
    /// configuration, where there is none here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the proxy without new connections, and those that stand as they are. A further call
    /// goes on waiting.
    pub async fn drain(&self, deadline: Option<Instant>) -> DrainReport {
        let shared = self.shared();
        let deadline = deadline.or_else(|| shared.config.drain_timeout.from(clock()));
        let before = shared.live.stats();
        shared.stopping.cancel();
        shared.loops.close();
        shared.loops.wait().await;
        shared.live.seal();
        shared.fronts.close();
        let finished = async {
            shared.fronts.wait().await;
            shared.live.emptied().await;
        };
        if !finish_by(deadline, finished).await {
            shared.cut.order(CloseReason::Drained);
            shared.live.cut(CloseReason::Drained);
        }
        shared.fronts.wait().await;
        DrainReport::between(&before, &shared.live.stats())
    }

    /// Closes its listeners and ends every connection. Idempotent; every file descriptor of the proxy is gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to be done in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.stopping.cancel();
        shared.cut.order(CloseReason::Local);
        shared.live.cut(CloseReason::Local);
        shared.loops.close();
        shared.loops.wait().await;
        shared.live.seal();
        // What was let in meanwhile.
        shared.live.cut(CloseReason::Local);
        shared.fronts.close();
        shared.fronts.wait().await;
    }

    /// Does at once what dropping the last handle does. Waits for nothing.
    pub fn stop(&self) {
        self.owner.stop();
    }
}
