//! Asks the program where a connection goes, within a time, and counts what came of it.

use super::{
    asked::{Unanswered, ask},
    shared::Shared,
    table::Facts,
};
use crate::{
    address::Address,
    budget::Budget,
    context::{ConnectionContext, ConnectionId},
    error::ConnectionError,
    metrics::{Counter, Metrics},
    probe::TcpProbedProtocol,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Says where connections go that a manager has accepted for its listeners.
///
/// It is asked before the routes, once for each connection, and any number of times at once.
pub trait RouteCallback: fmt::Debug + Send + Sync {
    /// Says where the connection goes. An error, a panic, and no answer within the config's `route_callback.timeout`
    /// leave it to the routes.
    ///
    /// # Cancel safety
    ///
    /// The future runs as a task, which is aborted when the time is up or the connection ends.
    fn route(self: Arc<Self>, arrival: Arc<Arrival>) -> Routing;
}

/// What a [`RouteCallback`] answers.
pub type Routing = Pin<Box<dyn Future<Output = Result<RouteDecision, ConnectionError>> + Send>>;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// Where the routes say.
    Default,
    /// To the backend of this name; to where the routes say if there is none.
    Backend(Box<str>),
    /// To this destination, past the backends, their limits and their endpoints; to where the routes say if it
    /// evidently leads back to a listener, or is none that can be connected to.
    Address(Address),
    /// Nowhere: it is reset as [`Refused`](crate::CloseReason::Refused).
    Refuse,
}

/// What is known of a connection that was accepted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number, as in the live table.
    pub id: ConnectionId,
    /// The name of the listener that it came in by.
    pub listener: Box<str>,
    /// Who asked for it, as a proxy in front announced it where one did; `None` where that has no name.
    pub source: Option<Address>,
    /// Our end of it, as announced likewise.
    pub local: Option<Address>,
    /// What its first bytes speak, where they were looked at and it could be told.
    pub protocol: Option<TcpProbedProtocol>,
    /// Time for the answer, from when it is asked for.
    pub timeout: Duration,
}

impl Arrival {
    pub(super) fn of(context: &ConnectionContext, facts: &Facts<'_>, timeout: Duration) -> Self {
        Self {
            id: context.id,
            listener: facts.listener.into(),
            source: context.source.clone(),
            local: context.local().cloned(),
            protocol: facts.protocol.cloned(),
            timeout,
        }
    }

    /// The host that it asks for, by the server name of TLS or the host of HTTP/1.
    pub fn host(&self) -> Option<&str> {
        self.protocol.as_ref()?.host()
    }

    /// The protocols that a client of TLS offers to speak inside.
    pub fn alpn(&self) -> &[Box<str>] {
        self.protocol.as_ref().map_or(&[], TcpProbedProtocol::alpn)
    }
}

/// A callback in use.
#[derive(Debug)]
pub(super) struct Asking {
    callback: Arc<dyn RouteCallback>,
    pending: Budget,
    outcomes: Outcomes,
    /// Its last answer was none: the log has said so.
    fails: AtomicBool,
}

impl Asking {
    pub(super) fn new(
        callback: Arc<dyn RouteCallback>,
        limit: u32,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let (pending, outcomes) = (Budget::new(limit.into()), Outcomes::new(metrics));
        Arc::new(Self { callback, pending, outcomes, fails: AtomicBool::new(false) })
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.pending.set_limit(limit.into());
    }

    /// Where the connection goes. `check` says what is wrong with a destination.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts the task of the callback.
    pub(super) async fn ask(
        &self,
        shared: &Shared,
        arrival: Arrival,
        check: impl Fn(&RouteDecision) -> Result<(), ConnectionError>,
    ) -> RouteDecision {
        let answer = self.answer(shared, arrival).await.and_then(|decision| {
            check(&decision).map_err(Unanswered::Unusable)?;
            Ok(decision)
        });
        match answer {
            Ok(decision) => {
                self.outcomes.of(&decision).add(1);
                self.fails.store(false, Ordering::Relaxed);
                decision
            }
            Err(error) => {
                self.outcomes.of_none(&error).add(1);
                self.complain(&error);
                RouteDecision::Default
            }
        }
    }

    async fn answer(&self, shared: &Shared, arrival: Arrival) -> Result<RouteDecision, Unanswered> {
        let _pending = self.pending.try_acquire().ok_or(Unanswered::NotAsked)?;
        let (callback, limit) = (Arc::clone(&self.callback), arrival.timeout);
        let arrival = Arc::new(arrival);
        ask((&shared.tasks, shared.network.runtime()), limit, async move {
            callback.route(arrival).await
        })
        .await
    }

    /// One warning for the whole time until an answer comes again.
    fn complain(&self, error: &Unanswered) {
        let error = error as &dyn std::error::Error;
        if self.fails.swap(true, Ordering::Relaxed) {
            tracing::debug!(error, "the route callback did not answer, the routes decide");
        } else {
            tracing::warn!(error, "the route callback did not answer, the routes decide");
        }
    }
}

/// What came of connections, each counted once.
#[derive(Debug)]
struct Outcomes {
    default: Counter,
    backend: Counter,
    address: Counter,
    refused: Counter,
    not_asked: Counter,
    timeout: Counter,
    failed: Counter,
    panicked: Counter,
    unusable: Counter,
}

impl Outcomes {
    fn new(metrics: &Metrics) -> Self {
        let of = |outcome| {
            metrics.counter(
                "trunkline_route_callback_total",
                "Connections of which the program was to say where they go, by what came of it.",
                &[("outcome", outcome)],
            )
        };
        Self {
            default: of("default"),
            backend: of("backend"),
            address: of("address"),
            refused: of("refused"),
            not_asked: of("not_asked"),
            timeout: of("timeout"),
            failed: of("failed"),
            panicked: of("panicked"),
            unusable: of("unusable"),
        }
    }

    fn of(&self, decision: &RouteDecision) -> &Counter {
        match decision {
            RouteDecision::Default => &self.default,
            RouteDecision::Backend(_) => &self.backend,
            RouteDecision::Address(_) => &self.address,
            RouteDecision::Refuse => &self.refused,
        }
    }

    fn of_none(&self, why: &Unanswered) -> &Counter {
        match why {
            Unanswered::NotAsked => &self.not_asked,
            Unanswered::TimedOut => &self.timeout,
            Unanswered::Failed(_) | Unanswered::Ended => &self.failed,
            Unanswered::Panicked => &self.panicked,
            Unanswered::Unusable(_) => &self.unusable,
        }
    }
}
