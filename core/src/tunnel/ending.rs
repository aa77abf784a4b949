//! Waits for work to be over, as long as there is time.

use std::{future::Future, time::Instant};

/// Whether `work` was done by `deadline`.
pub(super) async fn finish_by(deadline: Option<Instant>, work: impl Future<Output = ()>) -> bool {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.is_ok(),
        None => {
            work.await;
            true
        }
    }
}
