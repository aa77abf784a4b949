//! The task that prunes a pool from time to time.

use super::{connection_pool::ConnectionPool, dash_map::DashMapConnectionPool};
use std::{
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

/// How often a pool is swept. An expired value is closed by then, if no call met it before.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

impl<K, V> DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Starts a task on `runtime` that prunes the pool every second, in steps of at most 256 entries with a
    /// yield between them. It ends with the pool and does not keep it alive. A second call does nothing.
    /// The runtime needs its clock enabled; the close hook runs on it.
    pub fn sweep_on(self: &Arc<Self>, runtime: &Handle) {
        let pool = Arc::downgrade(self);
        self.sweeper.get_or_init(|| runtime.spawn(sweep(pool)).abort_handle());
        if self.is_closed() {
            self.close();
        }
    }
}

async fn sweep<K, V>(pool: Weak<DashMapConnectionPool<K, V>>)
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    let mut ticks = interval(SWEEP_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        loop {
            let Some(pool) = pool.upgrade() else { return };
            if !pool.prune_expired().more {
                break;
            }
            drop(pool);
            tokio::task::yield_now().await;
        }
    }
}
