//! The server half: takes calls from a listener's connections and hands them to a service.
//!
//! Enough to serve bytes, to say how healthy each service is and what it takes, to age connections out, to keep clients from
//! asking too often, and to drain.

mod connection;
mod descriptors;
mod guarded;
mod health;
mod methods;
mod pings;
mod reflection;

pub use connection::RequestBody;
pub use health::HealthReporter;
pub use methods::{Incoming, Messages, Methods, Outcome};

use super::wire::now;
use crate::{
    config::{ChannelServerConfig, Config as _},
    error::ConnectionError,
    transport::{Listener, Network},
};
use connection::{Serving, serve};
use http::{Request, Response};
use std::{convert::Infallible, fmt, sync::Arc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower_service::Service;

/// Serves calls. Dropping the last handle lets calls under way finish and takes no more.
#[derive(Clone)]
pub struct ChannelServer {
    owner: Arc<Owner>,
}

struct Owner {
    drain: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

impl fmt::Debug for ChannelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelServer")
            .field("draining", &self.owner.drain.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl ChannelServer {
    /// Serves what comes in on `listener` with `service`: [`Methods`], or a service that tonic generated.
    ///
    /// Over TLS a connection must have agreed to speak HTTP/2: listen with `h2` as the
    /// [`alpn`](crate::ListenOptions::alpn). Requests then have an `Arc<`[`TlsSession`](crate::TlsSession)`>`
    /// among their extensions, which says who the client is.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidConfig`] for a configuration that is out of its range.
    pub fn start<S>(
        network: &Network,
        listener: Listener,
        service: S,
        config: ChannelServerConfig,
    ) -> Result<Self, ConnectionError>
    where
        S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        config.validate()?;
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let serving = Serving {
            runtime: network.runtime().clone(),
            service,
            config,
            drain: drain.clone(),
            cut: cut.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn_on(accept(listener, serving), network.runtime());
        Ok(Self { owner: Arc::new(Owner { drain, cut, tasks }) })
    }

    /// Takes no new connections and calls, waits until those under way have ended, cuts the rest at `deadline`
    /// (`None`: at once), and returns when every descriptor is gone. Idempotent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the server draining.
    pub async fn drain(&self, deadline: Option<Instant>) {
        self.owner.drain.cancel();
        self.owner.tasks.close();
        let deadline = deadline.unwrap_or_else(now);
        if tokio::time::timeout_at(deadline.into(), self.owner.tasks.wait()).await.is_err() {
            self.owner.cut.cancel();
            self.owner.tasks.wait().await;
        }
    }
}

async fn accept<S>(listener: Listener, serving: Serving<S>)
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = serving.drain.cancelled() => return,
            () = serving.cut.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let work = serve(stream, serving.clone());
                serving.tasks.spawn_on(work, &serving.runtime);
            }
            Err(_) if listener.is_closed() => return,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
