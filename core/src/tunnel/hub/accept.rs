//! Takes connections from a listener of the hub until it stops, with pauses while the process is out of files.

use super::shared::{Shared, clock};
use crate::{
    error::ConnectionError,
    events::{EventKind, PauseCause},
    manager::{Next, Pacing},
    transport::{Listener, Stream},
};
use std::error::Error;
use tokio::time::sleep_until;

/// The connections of one listener.
pub(super) struct Incoming<'a> {
    shared: &'a Shared,
    listener: Listener,
    pacing: Pacing,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(shared: &'a Shared, listener: Listener) -> Self {
        Self { shared, listener, pacing: Pacing::new(shared.config.accept_pause) }
    }

    /// The next connection; `None` once the hub stops or the listener is closed.
    pub(super) async fn next(&mut self) -> Option<Stream> {
        loop {
            let answer = tokio::select! {
                biased;
                () = self.shared.stopping.cancelled() => return None,
                answer = self.listener.accept() => answer,
            };
            match answer {
                Ok(stream) => {
                    if self.pacing.on_accepted() {
                        self.shared.record(EventKind::AcceptResumed, self.listener.address());
                    }
                    return Some(stream);
                }
                Err(_) if self.listener.is_closed() => return None,
                Err(error) => self.pause(&error).await,
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
            self.shared.record(EventKind::AcceptPaused { cause }, self.listener.address());
            let address = self.listener.address();
            tracing::warn!(%address, error = error as &dyn Error, "accepting paused");
        }
        tokio::select! {
            biased;
            () = self.shared.stopping.cancelled() => {}
            () = sleep_until(until.into()) => {}
        }
    }
}
