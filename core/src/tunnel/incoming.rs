//! Takes connections from a listener until its owner stops, with pauses while the process is out of files.

use crate::{
    budget::Budget,
    error::ConnectionError,
    events::{Event, EventKind, PauseCause},
    manager::{Next, Pacing},
    transport::{Listener, Network, Stream},
};
use std::{
    error::Error,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// The connections of one listener.
pub(super) struct Incoming {
    network: Network,
    stopping: CancellationToken,
    listener: Arc<Listener>,
    /// Taken before each of them, where the listener has none of its own.
    budget: Option<Budget>,
    pacing: Pacing,
}

impl Incoming {
    pub(super) fn new(
        network: &Network,
        stopping: &CancellationToken,
        listener: impl Into<Arc<Listener>>,
        pause: Duration,
    ) -> Self {
        Self {
            network: network.clone(),
            stopping: stopping.clone(),
            listener: listener.into(),
            budget: None,
            pacing: Pacing::new(pause),
        }
    }

    /// Takes a permit before each connection; without one it stays in the backlog.
    pub(super) fn within(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// The next connection; `None` once the owner stops or the listener is closed.
    pub(super) async fn next(&mut self) -> Option<Stream> {
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                answer = self.accept() => answer,
            };
            match answer {
                Ok(stream) => {
                    if self.pacing.on_accepted() {
                        self.record(EventKind::AcceptResumed);
                    }
                    return Some(stream);
                }
                Err(_) if self.listener.is_closed() => return None,
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn accept(&self) -> Result<Stream, ConnectionError> {
        let Some(budget) = &self.budget else { return self.listener.accept().await };
        loop {
            self.listener.ready().await;
            let permit = budget.acquire().await;
            if let Poll::Ready(answer) = self.listener.try_accept() {
                return answer.map(|stream| stream.holding(permit));
            }
        }
    }

    async fn pause(&mut self, error: &ConnectionError) {
        let out_of_resources = matches!(error, ConnectionError::LimitExceeded { .. });
        let Next::Pause { until, is_new } = self.pacing.on_failed(out_of_resources, clock()) else {
            return;
        };
        if is_new {
            let cause = PauseCause::Resources;
            self.record(EventKind::AcceptPaused { cause });
            let address = self.listener.address();
            tracing::warn!(%address, error = error as &dyn Error, "accepting paused");
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            () = sleep_until(until.into()) => {}
        }
    }

    fn record(&self, kind: EventKind) {
        let event = Event::of_listener(kind, Some(self.listener.address().clone()), clock());
        self.network.events().record(event);
    }
}

#[expect(clippy::disallowed_methods, reason = "events and pauses are told by this clock")]
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
