//! Questions how an endpoint is, which the host answers by doing the job or failing at it.

use super::{JobHost, JobKind, Listed, Withdraw};
use crate::{
    error::{Failure, trunkline_error_t},
    job::{Answer, Asker, Question, Taken},
    status::*,
};
use std::{error::Error, sync::Arc};
use tokio::sync::oneshot;
use trunkline_core::CheckAnswer;

impl JobHost {
    /// Asks how the endpoint is of which `question` says what is known. A host that cannot be asked, or throws the job
    /// away, could not tell.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the job stale: its answer is refused.
    pub(crate) async fn check(&self, question: Arc<str>) -> CheckAnswer {
        let what = JobKind::CheckEndpoint;
        let Ok(place) = self.0.reserve(what.step()) else { return CheckAnswer::Unknown };
        let (sender, receiver) = oneshot::channel();
        let reply = |listed| Box::new(CheckReply { sender, question, _listed: listed }) as _;
        let job = self.0.post(place, what, 0, reply);
        let _withdraw = Withdraw(job);
        receiver.await.unwrap_or(CheckAnswer::Unknown)
    }
}

struct CheckReply {
    sender: oneshot::Sender<CheckAnswer>,
    question: Arc<str>,
    _listed: Listed,
}

impl Asker for CheckReply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let told = answer.map_or_else(|error| found(&error), |_| CheckAnswer::Passed);
        // Whoever asked may be gone by now: then nobody minds.
        let _ = self.sender.send(told);
        Ok(Taken::Kept(0))
    }

    fn question(&self) -> Option<Question> {
        Some(Question::Check(Arc::clone(&self.question)))
    }
}

/// What the host found: why the endpoint fails, unless it says that it could not look.
fn found(error: &trunkline_error_t) -> CheckAnswer {
    let is_unknown = matches!(
        error.status(),
        TRUNKLINE_E_LIMIT_EXCEEDED | TRUNKLINE_E_CANCELLED | TRUNKLINE_E_CALLBACK
    );
    if is_unknown {
        return CheckAnswer::Unknown;
    }
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        reason = format!("{reason}: {next}");
        cause = next.source();
    }
    CheckAnswer::Failed { reason: reason.into() }
}
