//! Agents that were welcomed and are not in the registry yet: whoever knows of one from itself may dial it already.

use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::Notify;

/// How many agents of each cluster are on their way in. As many as there are permits for agents, at most.
#[derive(Debug, Default)]
pub(super) struct Welcomed {
    on_their_way: Mutex<HashMap<Box<str>, u32>>,
    changed: Notify,
}

/// An agent on its way in, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct OnItsWay<'a> {
    welcomed: &'a Welcomed,
    cluster: Box<str>,
}

impl Welcomed {
    /// To be called before the agent hears that it is welcome, and to be kept until it is in the registry.
    pub(super) fn expect(&self, cluster: &str) -> OnItsWay<'_> {
        let cluster: Box<str> = cluster.into();
        *self.on_their_way.lock().entry(cluster.clone()).or_default() += 1;
        OnItsWay { welcomed: self, cluster }
    }

    /// Waits while one is on its way to this cluster and `arrived` does not say that one is there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub(super) async fn settled(&self, cluster: &str, arrived: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if arrived() || !self.on_their_way.lock().contains_key(cluster) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        {
            let mut on_their_way = self.welcomed.on_their_way.lock();
            if let Some(count) = on_their_way.get_mut(&self.cluster) {
                *count -= 1;
                if *count == 0 {
                    on_their_way.remove(&self.cluster);
                }
            }
        }
        self.welcomed.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::Cell,
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    fn is_done(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_dial_waits_for_those_on_their_way_to_its_cluster_and_for_nobody_else() {
        let welcomed = Welcomed::default();
        let first = welcomed.expect("c1");
        assert!(is_done(pin!(welcomed.settled("c2", || false))));
        let mut waiting = pin!(welcomed.settled("c1", || false));
        assert!(!is_done(waiting.as_mut()));
        let second = welcomed.expect("c1");
        drop(first);
        assert!(!is_done(waiting.as_mut()), "another one is on its way");
        drop(second);
        assert!(is_done(waiting.as_mut()));
    }

    #[test]
    fn whoever_has_arrived_is_waited_for_no_longer() {
        let welcomed = Welcomed::default();
        let (first, has_arrived) = (welcomed.expect("c1"), Cell::new(false));
        let _second = welcomed.expect("c1");
        let mut waiting = pin!(welcomed.settled("c1", || has_arrived.get()));
        assert!(!is_done(waiting.as_mut()));
        has_arrived.set(true);
        drop(first);
        assert!(is_done(waiting.as_mut()));
    }
}
