//! Asks the program something, within a time, and takes whatever comes of it for an answer.

use crate::error::ConnectionError;
use std::{future::Future, time::Duration};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Why the program has not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("it was not asked")]
    NotAsked,
    #[error("no answer in time")]
    TimedOut,
    #[error("it failed")]
    Failed(#[source] ConnectionError),
    #[error("it panicked")]
    Panicked,
    #[error("the runtime ends")]
    Ended,
    #[error("the answer is of no use")]
    Unusable(#[source] ConnectionError),
}

/// What `question` comes to within `limit`.
///
/// It is a task, so that a panic in it, or in the call that makes it, is an answer like any other.
///
/// # Cancel safety
///
/// Dropping the future aborts the task.
pub(crate) async fn ask<T: Send + 'static>(
    (tasks, runtime): (&TaskTracker, &Handle),
    limit: Duration,
    question: impl Future<Output = Result<T, ConnectionError>> + Send + 'static,
) -> Result<T, Unanswered> {
    let task = tasks.spawn_on(question, runtime);
    let answer = timeout(limit, AbortOnDropHandle::new(task)).await;
    let answer = answer.map_err(|_| Unanswered::TimedOut)?;
    let answer = answer.map_err(|error| match error.is_panic() {
        true => Unanswered::Panicked,
        false => Unanswered::Ended,
    })?;
    answer.map_err(Unanswered::Failed)
}
