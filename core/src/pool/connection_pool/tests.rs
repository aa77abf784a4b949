use super::super::*;
use crate::{
    config::{FullPolicy, PoolConfig, TimeLimit},
    error::{ConnectionError, Place, Step},
    metrics::Metrics,
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot, time::advance};

mod claims;
mod script;
mod sharing;
mod stress;
mod turns;
mod waiting;

type Pool = DashMapConnectionPool<u32, u32>;

/// What a pool closed, in order.
#[derive(Clone, Debug, Default)]
struct Closed(Arc<Mutex<Vec<(u32, u32, PoolCloseReason)>>>);

impl Closed {
    fn push(&self, key: u32, value: u32, reason: PoolCloseReason) {
        self.0.lock().unwrap().push((key, value, reason));
    }

    /// What was closed since the last call.
    fn take(&self) -> Vec<(u32, u32, PoolCloseReason)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Entries of 10 s idle time and 60 s lifetime.
fn config(max_size: u32, when_full: FullPolicy) -> PoolConfig {
    PoolConfig {
        max_size,
        idle_timeout: TimeLimit::secs(10),
        max_lifetime: TimeLimit::secs(60),
        lifetime_jitter: 0.0,
        when_full,
    }
}

fn watched(config: PoolConfig) -> (Pool, Closed) {
    let closed = Closed::default();
    let log = closed.clone();
    let hook = move |key: &u32, value, reason| log.push(*key, value, reason);
    (Pool::new(config).unwrap().on_close(hook), closed)
}

fn pool(max_size: u32) -> (Pool, Closed) {
    watched(config(max_size, FullPolicy::Reject))
}

async fn pass(seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
}

fn refused() -> ConnectionError {
    ConnectionError::ConnectionFailed { at: Place::at(Step::Connect) }
}

/// inserted = size + taken + Σ closed, in the statistics.
fn audit(pool: &Pool) {
    let stats = pool.stats();
    let closed: u64 = PoolCloseReason::ALL.iter().map(|reason| stats.closed(*reason)).sum();
    assert_eq!(stats.inserted, stats.size as u64 + stats.taken + closed, "{stats:?}");
}
