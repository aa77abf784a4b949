//! Looks at the files from time to time, for as long as somebody uses what they hold.

use super::tls::Inner;
use crate::duration::TimeLimit;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;

/// Starts the watching on `runtime`.
pub(super) fn start(runtime: &Handle, watched: &Arc<Inner>, interval: TimeLimit) {
    let TimeLimit::After(interval) = interval else { return };
    let watched = Arc::downgrade(watched);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            // Reading may block, on a network file system for long.
            let look = Weak::clone(&watched);
            let looked = tokio::task::spawn_blocking(move || {
                look.upgrade().map(|inner| inner.reload_if_changed()).is_some()
            });
            if !looked.await.unwrap_or(false) {
                return;
            }
        }
    });
}
