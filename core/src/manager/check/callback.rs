//! Asks the program how an endpoint is, within the time of a check, and counts what came of it.

use super::Checkable;
use crate::{
    address::Address,
    config::{CallbackCheckConfig, NoAnswer},
    manager::{
        asked::{Unanswered, ask},
        backend::CheckOutcome,
        endpoints::EndpointReason,
        shared::{Shared, clock},
    },
    metrics::{Counter, Metrics},
};
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// Says how the endpoints of backends are whose check is a callback.
///
/// It is asked about each of them once at a time, and about any number of them at once.
pub trait CheckCallback: fmt::Debug + Send + Sync {
    /// Checks the endpoint. Where it panics, does not answer within the config's `health.timeout`, or says
    /// [`Unknown`](CheckAnswer::Unknown), the config's `no_answer` says what that means.
    ///
    /// # Cancel safety
    ///
    /// The future runs as a task, which is aborted when the time is up or the manager stops.
    fn check(self: Arc<Self>, endpoint: Arc<CheckQuestion>) -> Checking;
}

/// What a [`CheckCallback`] answers.
pub type Checking = Pin<Box<dyn Future<Output = CheckAnswer> + Send>>;

/// How an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckAnswer {
    /// It passes.
    Passed,
    /// It fails.
    Failed {
        /// Why, in words.
        reason: Box<str>,
    },
    /// It could not be told.
    Unknown,
}

/// An endpoint that the program is asked about.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckQuestion {
    /// The name of its backend.
    pub backend: Box<str>,
    /// Where it is.
    pub address: Address,
    /// The name that led there; `None` where its address was given.
    pub host: Option<Box<str>>,
    /// Time for the answer, from when it is asked for.
    pub timeout: Duration,
}

/// A callback in use.
#[derive(Debug)]
pub(in super::super) struct AskingHealth {
    callback: Arc<dyn CheckCallback>,
    outcomes: Outcomes,
}

impl AskingHealth {
    pub(in super::super) fn new(callback: Arc<dyn CheckCallback>, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self { callback, outcomes: Outcomes::new(metrics) })
    }

    async fn ask(
        &self,
        shared: &Shared,
        question: CheckQuestion,
    ) -> Result<CheckAnswer, Unanswered> {
        let (callback, limit) = (Arc::clone(&self.callback), question.timeout);
        let question = Arc::new(question);
        let answer = ask((&shared.tasks, shared.network.runtime()), limit, async move {
            Ok(callback.check(question).await)
        })
        .await;
        self.outcomes.of(&answer).add(1);
        answer
    }
}

/// What the program says, or what it means that it says nothing.
pub(super) async fn check(
    endpoint: Checkable<'_>,
    config: CallbackCheckConfig,
    shared: &Shared,
    backend: &str,
) -> CheckOutcome {
    let asking = shared.asking_health.load_full();
    let question = CheckQuestion {
        backend: backend.into(),
        address: endpoint.address.clone(),
        host: endpoint.host,
        timeout: endpoint.give_up_at.saturating_duration_since(clock()),
    };
    let answer = match asking {
        Some(asking) => asking.ask(shared, question).await,
        None => Err(Unanswered::NotAsked),
    };
    let failed = |text: Arc<str>| CheckOutcome::Failed(EndpointReason::of_check("callback", text));
    let unknown = match answer {
        Ok(CheckAnswer::Passed) => return CheckOutcome::Passed,
        Ok(CheckAnswer::Failed { reason }) => return failed(reason.into()),
        Ok(CheckAnswer::Unknown) => "it could not be told".into(),
        Err(unanswered) => unanswered.to_string().into(),
    };
    match config.no_answer {
        NoAnswer::Fail => failed(unknown),
        NoAnswer::Pass => CheckOutcome::Passed,
        NoAnswer::Keep => CheckOutcome::Nothing,
    }
}

/// What came of questions, each counted once.
#[derive(Debug)]
struct Outcomes {
    passed: Counter,
    failed: Counter,
    unknown: Counter,
    timeout: Counter,
    panicked: Counter,
}

impl Outcomes {
    fn new(metrics: &Metrics) -> Self {
        let of = |outcome| {
            metrics.counter(
                "trunkline_check_callback_total",
                "Endpoints of which the program was asked how they are, by what came of it.",
                &[("outcome", outcome)],
            )
        };
        Self {
            passed: of("passed"),
            failed: of("failed"),
            unknown: of("unknown"),
            timeout: of("timeout"),
            panicked: of("panicked"),
        }
    }

    fn of(&self, answer: &Result<CheckAnswer, Unanswered>) -> &Counter {
        match answer {
            Ok(CheckAnswer::Passed) => &self.passed,
            Ok(CheckAnswer::Failed { .. }) => &self.failed,
            Err(Unanswered::TimedOut) => &self.timeout,
            Err(Unanswered::Panicked) => &self.panicked,
            Ok(CheckAnswer::Unknown)
            | Err(
                Unanswered::NotAsked
                | Unanswered::Failed(_)
                | Unanswered::Ended
                | Unanswered::Unusable(_),
            ) => &self.unknown,
        }
    }
}
