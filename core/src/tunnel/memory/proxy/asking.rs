//! Asks a hook of the host, within a time and a limit, and counts what came of it.

use super::hooks::Answering;
use crate::{
    budget::Budget,
    manager::{Unanswered, ask},
    metrics::{Counter, Metrics},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// One kind of hook, in use.
#[derive(Debug)]
pub(super) struct Asking<H: ?Sized> {
    name: &'static str,
    hook: Arc<H>,
    pending: Budget,
    limit: Duration,
    answered: Counter,
    unanswered: Counter,
    failures: Arc<AtomicU64>,
    /// Its last answer was none: the log has said so.
    fails: AtomicBool,
}

/// Where hooks run, and how much of them.
pub(super) struct Terms<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) limit: Duration,
    pub(super) max_pending: u32,
    pub(super) failures: &'a Arc<AtomicU64>,
}

impl<H: ?Sized> Asking<H> {
    pub(super) fn new(name: &'static str, hook: Arc<H>, terms: &Terms<'_>) -> Self {
        let of = |outcome| {
            terms.metrics.counter(
                "trunkline_memory_proxy_hooks_total",
                "Questions to the hooks of memory proxies, by the hook and by what came of it.",
                &[("hook", name), ("outcome", outcome)],
            )
        };
        Self {
            name,
            hook,
            pending: Budget::new(terms.max_pending.into()),
            limit: terms.limit,
            answered: of("answered"),
            unanswered: of("unanswered"),
            failures: Arc::clone(terms.failures),
            fails: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What the hook says to what `question` asks it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts the task of the hook.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        tasks: &TaskTracker,
        runtime: &Handle,
        question: impl FnOnce(Arc<H>) -> Answering<T> + Send + 'static,
    ) -> Result<T, Unanswered>
    where
        H: Send + Sync + 'static,
    {
        let answer = self.answer(tasks, runtime, question).await;
        match &answer {
            Ok(_) => {
                self.answered.add(1);
                self.fails.store(false, Ordering::Relaxed);
            }
            Err(why) => {
                self.unanswered.add(1);
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.complain(why);
            }
        }
        answer
    }

    async fn answer<T: Send + 'static>(
        &self,
        tasks: &TaskTracker,
        runtime: &Handle,
        question: impl FnOnce(Arc<H>) -> Answering<T> + Send + 'static,
    ) -> Result<T, Unanswered>
    where
        H: Send + Sync + 'static,
    {
        let _pending = self.pending.try_acquire().ok_or(Unanswered::NotAsked)?;
        let hook = Arc::clone(&self.hook);
        ask((tasks, runtime), self.limit, async move { question(hook).await }).await
    }

    /// One warning for the whole time until an answer comes again.
    fn complain(&self, why: &Unanswered) {
        let (hook, error) = (self.name, why as &dyn std::error::Error);
        if self.fails.swap(true, Ordering::Relaxed) {
            tracing::debug!(hook, error, "a hook of a memory proxy did not answer");
        } else {
            tracing::warn!(hook, error, "a hook of a memory proxy did not answer");
        }
    }
}
