//! What one connection of a channel is and has carried, for who looks at it while it lives.

use super::{
    live::{LiveConnection, LiveSecurity},
    tally::RetireReason,
};
use crate::{
    address::Address,
    metrics::ConnectionMetrics,
    transport::{CloseHandle, Stream},
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// One connection: written by its calls and its task, read by who looks.
#[derive(Debug)]
pub(super) struct Record {
    stream: CloseHandle,
    metrics: Arc<ConnectionMetrics>,
    security: Option<Box<LiveSecurity>>,
    stood: Instant,
    limit: AtomicU32,
    started: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// When the last call began: nanoseconds since the connection stood, and one more; 0 is none yet.
    last_call: AtomicU64,
    keepalives: AtomicU64,
    retired: OnceLock<RetireReason>,
}

impl Record {
    /// Of a stream that stands since `stood`.
    pub(super) fn new(stream: &Stream, stood: Instant) -> Self {
        let security = stream.tls().map(|session| {
            Box::new(LiveSecurity {
                version: session.version,
                server_name: session.server_name.clone(),
                peer_uri: session.peer_uri.clone(),
            })
        });
        Self {
            stream: stream.close_handle(),
            metrics: stream.shared_metrics(),
            security,
            stood,
            limit: AtomicU32::new(0),
            started: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_call: AtomicU64::new(0),
            keepalives: AtomicU64::new(0),
            retired: OnceLock::new(),
        }
    }

    /// The peer takes so many calls at once from now on.
    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }

    /// An attempt of a call goes on it at `now`.
    pub(super) fn on_call(&self, now: Instant) {
        let since = nanoseconds(now.saturating_duration_since(self.stood));
        self.started.fetch_add(1, Relaxed);
        self.last_call.store(since.saturating_add(1), Relaxed);
    }

    /// An attempt of a call on it has ended.
    pub(super) fn on_call_ended(&self, is_success: bool) {
        let count = if is_success { &self.succeeded } else { &self.failed };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn on_keepalive(&self) {
        self.keepalives.fetch_add(1, Relaxed);
    }

    /// It takes no new calls. The first reason is the one that counts.
    pub(super) fn on_retired(&self, reason: RetireReason) -> RetireReason {
        *self.retired.get_or_init(|| reason)
    }

    /// Whether it takes no new calls.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.get().is_some()
    }

    /// Who is at its other end, where that has a name; `None` once it has gone.
    pub(super) fn peer(&self) -> Option<Address> {
        self.stream.context()?.peer().cloned()
    }

    /// What it looks like at `now`; `None` once it has gone.
    pub(super) fn look(&self, now: Instant) -> Option<LiveConnection> {
        let context = self.stream.context()?;
        // Read first what only grows with the others, so that no call is seen to end before it began.
        let (succeeded, failed) = (self.succeeded.load(Relaxed), self.failed.load(Relaxed));
        let started = self.started.load(Relaxed).max(succeeded + failed);
        let last_call = self.last_call.load(Relaxed).checked_sub(1).map(Duration::from_nanos);
        let since = now.saturating_duration_since(self.stood);
        Some(LiveConnection {
            id: context.id,
            local: context.local().cloned(),
            remote: context.peer().cloned(),
            security: self.security.as_deref().cloned(),
            age: since,
            last_call: last_call.map(|at| since.saturating_sub(at)),
            calls_started: started,
            calls_succeeded: succeeded,
            calls_failed: failed,
            calls_limit: self.limit.load(Relaxed),
            keepalives_sent: self.keepalives.load(Relaxed),
            bytes_received: self.metrics.bytes_received(),
            bytes_sent: self.metrics.bytes_sent(),
            retired: self.retired.get().copied(),
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
