//! The places of a backend: so many connections at one time, and a bounded line of those that wait for one.

use super::{relayed::Relayed, shared::clock};
use crate::{
    budget::{Budget, Permit},
    config::QueueConfig,
    error::{ConnectionError, Place, Step},
    metrics::{Gauge, Histogram, Metrics},
};
use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// The places of one backend.
#[derive(Debug)]
pub(super) struct Places {
    budget: Budget,
    backend: Box<str>,
    waiting: Gauge,
    waited: Histogram,
}

/// Why a connection got no place.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPlace {
    /// All are taken, and the line is full.
    #[error("no room in the line of its backend")]
    Full(#[source] ConnectionError),
    /// It had waited for as long as it may.
    #[error("no place of its backend became free in time")]
    TimedOut(#[source] ConnectionError),
    /// The manager lets no new connection in.
    #[error("the manager drains")]
    Stopping,
}

impl Places {
    /// Backends of one name count into the same metrics.
    pub(super) fn new(metrics: &Metrics, backend: &str, limit: Option<u32>) -> Self {
        let labels = [("backend", backend)];
        Self {
            budget: Budget::new(most(limit)),
            backend: backend.into(),
            waiting: metrics.gauge(
                "trunkline_backend_waiting",
                "Connections that wait for a place of their backend.",
                &labels,
            ),
            waited: metrics.duration_histogram(
                "trunkline_backend_wait_seconds",
                "Time that connections waited for a place of their backend, whether they got it or not.",
                &labels,
            ),
        }
    }

    /// Changes how many there are. Raised, it serves those in line who now fit; lowered, it ends nothing.
    pub(super) fn set_limit(&self, limit: Option<u32>) {
        self.budget.set_limit(most(limit));
    }

    /// Takes a place, waiting in line for it as long as `queue` says and `stopping` is not ordered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a place that was handed over at that moment goes to the next.
    pub(super) async fn take(
        &self,
        queue: QueueConfig,
        stopping: &CancellationToken,
        relayed: &Relayed,
    ) -> Result<Permit, NoPlace> {
        let room = usize::try_from(queue.max_waiting).unwrap_or(usize::MAX);
        let mut turn = pin!(self.budget.acquire_in_line(room));
        // Only who is not served at once is seen to wait.
        match poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await {
            Poll::Ready(taken) => return taken.ok_or_else(|| self.full()),
            Poll::Pending => {}
        }
        let started = clock();
        let _waits = self.waits(relayed, started);
        let too_late = async {
            match queue.timeout.from(started) {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(NoPlace::Stopping),
            taken = turn => taken.ok_or_else(|| self.full()),
            () = too_late => Err(self.timed_out(started)),
        }
    }

    fn waits<'a>(&'a self, relayed: &'a Relayed, started: Instant) -> Waits<'a> {
        self.waiting.add(1);
        relayed.on_waiting(true);
        Waits { places: self, relayed, started }
    }

    fn full(&self) -> NoPlace {
        let (what, at) =
            (format!("connections to backend {}", self.backend), Place::at(Step::Acquire));
        NoPlace::Full(ConnectionError::limit_exceeded(what, self.budget.limit(), at))
    }

    fn timed_out(&self, started: Instant) -> NoPlace {
        let waited = clock().saturating_duration_since(started);
        NoPlace::TimedOut(ConnectionError::timeout(Some(waited), Place::at(Step::Acquire)))
    }
}

fn most(limit: Option<u32>) -> u64 {
    limit.map_or(u64::MAX, u64::from)
}

/// A connection is seen to wait until this is dropped.
struct Waits<'a> {
    places: &'a Places,
    relayed: &'a Relayed,
    started: Instant,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.relayed.on_waiting(false);
        self.places.waiting.add(-1);
        self.places.waited.record_duration(clock().saturating_duration_since(self.started));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::TimeLimit;
    use std::pin::Pin;

    struct Backend {
        metrics: Metrics,
        places: Places,
        stopping: CancellationToken,
        queue: QueueConfig,
    }

    fn backend(limit: u32, max_waiting: u32) -> Backend {
        let metrics = Metrics::new();
        let places = Places::new(&metrics, "a", Some(limit));
        let timeout = TimeLimit::secs(5);
        let queue = QueueConfig { max_waiting, timeout };
        Backend { metrics, places, stopping: CancellationToken::new(), queue }
    }

    impl Backend {
        async fn take(&self, relayed: &Relayed) -> Result<Permit, NoPlace> {
            self.places.take(self.queue, &self.stopping, relayed).await
        }

        fn waiting(&self) -> i64 {
            self.metrics.snapshot().total("trunkline_backend_waiting", &[("backend", "a")])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_seen_and_served_in_turn_and_one_above_the_line_is_refused() {
        let backend = backend(1, 2);
        let relayed: Vec<_> = (0..4).map(|_| Relayed::new(clock())).collect();
        let held = backend.take(&relayed[0]).await.unwrap();
        assert!(!relayed[0].is_waiting());
        let mut first = pin!(backend.take(&relayed[1]));
        let mut second = pin!(backend.take(&relayed[2]));
        assert!(polled(first.as_mut()).await.is_pending());
        assert!(polled(second.as_mut()).await.is_pending());
        assert!(relayed[1].is_waiting() && relayed[2].is_waiting());
        assert_eq!(backend.waiting(), 2);
        let NoPlace::Full(error) = backend.take(&relayed[3]).await.unwrap_err() else {
            panic!("the line is full")
        };
        assert_eq!(error.to_string(), "acquire: limit of 1 connections to backend a reached");
        drop(held);
        assert!(polled(second.as_mut()).await.is_pending(), "in the order of arrival");
        let held = first.await.unwrap();
        assert!(!relayed[1].is_waiting());
        drop(held);
        drop(second.await.unwrap());
        assert_eq!((backend.waiting(), backend.places.budget.in_use()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_or_while_the_manager_stops_gets_none_and_leaves_the_line() {
        let backend = backend(1, 1);
        let relayed = Relayed::new(clock());
        let held = backend.take(&relayed).await.unwrap();
        let NoPlace::TimedOut(error) = backend.take(&relayed).await.unwrap_err() else {
            panic!("nobody gave one back")
        };
        assert_eq!(error.to_string(), "acquire: timed out after 5s");
        let mut waiting = pin!(backend.take(&relayed));
        assert!(polled(waiting.as_mut()).await.is_pending());
        backend.stopping.cancel();
        assert!(matches!(waiting.await, Err(NoPlace::Stopping)));
        assert!(!relayed.is_waiting());
        assert_eq!((backend.waiting(), backend.places.budget.waiting()), (0, 0));
        drop(held);
        assert!(backend.take(&relayed).await.is_ok(), "one that need not wait is served");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_hands_its_turn_on() {
        let backend = backend(1, 2);
        let relayed = [Relayed::new(clock()), Relayed::new(clock())];
        let held = backend.take(&relayed[0]).await.unwrap();
        let mut last = pin!(backend.take(&relayed[1]));
        {
            let mut first = pin!(backend.take(&relayed[0]));
            assert!(polled(first.as_mut()).await.is_pending());
            assert!(polled(last.as_mut()).await.is_pending());
            drop(held);
        }
        assert!(last.await.is_ok());
        assert_eq!(backend.waiting(), 0);
        let waits = backend.metrics.snapshot();
        let waits = waits.samples().iter().find(|one| one.name == "trunkline_backend_wait_seconds");
        let crate::metrics::Value::Histogram(waits) = &waits.unwrap().value else { panic!() };
        assert_eq!(waits.count(), 2);
    }

    /// What one poll says.
    async fn polled<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }
}
