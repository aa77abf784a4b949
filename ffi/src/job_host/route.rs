//! Questions where a connection goes, which the host answers with a decision.

use super::{JobHost, JobKind, Listed, Withdraw, unanswered};
use crate::{
    error::Failure,
    job::{Answer, Asker, Question, Taken, Verdict},
};
use std::sync::Arc;
use tokio::sync::oneshot;
use trunkline_core::{ConnectionError, RouteDecision};

impl JobHost {
    /// Asks where the connection `about` goes, of which `question` says what is known.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the job stale: its answer is refused.
    pub(crate) async fn route(
        &self,
        about: u64,
        question: Arc<str>,
    ) -> Result<RouteDecision, ConnectionError> {
        let what = JobKind::Route;
        let place = self.0.reserve(what.step())?;
        let (sender, receiver) = oneshot::channel();
        let reply = |listed| Box::new(RouteReply { sender, question, _listed: listed }) as _;
        let job = self.0.post(place, what, about, reply);
        let _withdraw = Withdraw(job);
        receiver.await.unwrap_or_else(|_| Err(unanswered(what)))
    }
}

struct RouteReply {
    sender: oneshot::Sender<Result<RouteDecision, ConnectionError>>,
    question: Arc<str>,
    _listed: Listed,
}

impl Asker for RouteReply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let decided = answer.map(|_| RouteDecision::Default);
        // Whoever asked may be gone by now: then nobody minds.
        let _ = self.sender.send(decided.map_err(|error| JobKind::Route.failed(*error)));
        Ok(Taken::Kept(0))
    }

    fn question(&self) -> Option<Question> {
        Some(Question::Route(Arc::clone(&self.question)))
    }

    fn take(self: Box<Self>, verdict: Verdict) {
        if let Verdict::Route(decision) = verdict {
            let _ = self.sender.send(Ok(decision));
        }
    }
}
