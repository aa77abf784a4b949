//! Questions where a channel's target is, which the host answers with addresses.

use super::{JobHost, JobKind, Listed, Withdraw, unanswered};
use crate::{
    error::{Failure, trunkline_error_t},
    job::{Answer, Asker, Question, Taken, Verdict},
    status::TRUNKLINE_E_CALLBACK,
};
use std::sync::Arc;
use tokio::sync::oneshot;
use trunkline_core::{Address, ConnectionError};

impl JobHost {
    /// Asks where a target is, for the `number`th time, of which `question` says what is known.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the job stale: its answer is refused.
    pub(crate) async fn resolve(
        &self,
        number: u64,
        question: Arc<str>,
    ) -> Result<Vec<Address>, ConnectionError> {
        let what = JobKind::Resolve;
        let place = self.0.reserve(what.step())?;
        let (sender, receiver) = oneshot::channel();
        let reply = |listed| Box::new(ResolveReply { sender, question, _listed: listed }) as _;
        let job = self.0.post(place, what, number, reply);
        let _withdraw = Withdraw(job);
        receiver.await.unwrap_or_else(|_| Err(unanswered(what)))
    }
}

struct ResolveReply {
    sender: oneshot::Sender<Result<Vec<Address>, ConnectionError>>,
    question: Arc<str>,
    _listed: Listed,
}

impl Asker for ResolveReply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let error = answer.err().unwrap_or_else(|| {
            Box::new(trunkline_error_t::plain(TRUNKLINE_E_CALLBACK, "no addresses were said"))
        });
        // Whoever asked may be gone by now: then nobody minds.
        let _ = self.sender.send(Err(JobKind::Resolve.failed(*error)));
        Ok(Taken::Kept(0))
    }

    fn question(&self) -> Option<Question> {
        Some(Question::Resolve(Arc::clone(&self.question)))
    }

    fn take(self: Box<Self>, verdict: Verdict) {
        if let Verdict::Resolve(addresses) = verdict {
            let _ = self.sender.send(Ok(addresses));
        }
    }
}
