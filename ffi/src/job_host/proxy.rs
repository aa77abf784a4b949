//! Questions of a memory proxy, each of which the host answers with a verdict of its own kind.

use super::{JobHost, JobKind, Listed, ProxyHook, Withdraw, unanswered};
use crate::{
    error::Failure,
    job::{Answer, Asker, Question, Taken, Verdict},
};
use std::sync::Arc;
use tokio::sync::oneshot;
use trunkline_core::ConnectionError;

impl JobHost {
    /// Asks what `hook` says of the connection `about`, of which `question` says what is known; `None` where the host has
    /// said that it is done, and no more.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the job stale: its answer is refused.
    pub(crate) async fn hooked(
        &self,
        hook: ProxyHook,
        about: u64,
        question: Arc<str>,
    ) -> Result<Option<Verdict>, ConnectionError> {
        let what = JobKind::Proxy(hook);
        let place = self.0.reserve(what.step())?;
        let (sender, receiver) = oneshot::channel();
        let reply = |listed| Box::new(HookReply { sender, hook, question, _listed: listed }) as _;
        let job = self.0.post(place, what, about, reply);
        let _withdraw = Withdraw(job);
        receiver.await.unwrap_or_else(|_| Err(unanswered(what)))
    }
}

struct HookReply {
    sender: oneshot::Sender<Result<Option<Verdict>, ConnectionError>>,
    hook: ProxyHook,
    question: Arc<str>,
    _listed: Listed,
}

impl Asker for HookReply {
    fn answer(self: Box<Self>, answer: Answer) -> Result<Taken, Failure> {
        let what = JobKind::Proxy(self.hook);
        // Whoever asked may be gone by now: then nobody minds.
        let _ = self.sender.send(answer.map(|_| None).map_err(|error| what.failed(*error)));
        Ok(Taken::Kept(0))
    }

    fn question(&self) -> Option<Question> {
        Some(Question::Proxy(self.hook, Arc::clone(&self.question)))
    }

    fn take(self: Box<Self>, verdict: Verdict) {
        let _ = self.sender.send(Ok(Some(verdict)));
    }
}
