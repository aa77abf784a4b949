//! The two keyed pools: unverified sessions make room for each other, verified ones stay until they are silent.

use super::session::{Session, SessionKey};
use crate::{
    config::{FullPolicy, PoolConfig, TimeLimit, UdpManagerConfig},
    context::CloseReason,
    error::ConnectionError,
    metrics::Metrics,
    pool::{ConnectionPool, DashMapConnectionPool, InsertError, PoolCloseReason},
};
use std::{future::ready, sync::Arc};
use tokio::runtime::Handle;

type Pool = DashMapConnectionPool<SessionKey, Arc<Session>>;

/// Whatever a pool closes is ended; a session that ends otherwise is taken out by [`forget`](Self::forget).
#[derive(Debug)]
pub(super) struct Sessions {
    verified: Arc<Pool>,
    unverified: Arc<Pool>,
}

impl Sessions {
    pub(super) fn new(
        config: &UdpManagerConfig,
        metrics: &Metrics,
        runtime: &Handle,
    ) -> Result<Self, ConnectionError> {
        let verified = PoolConfig {
            max_size: config.max_sessions,
            idle_timeout: config.idle_timeout,
            when_full: FullPolicy::Reject,
            ..lasting()
        };
        let unverified = PoolConfig {
            max_size: config.max_unverified,
            idle_timeout: config.unverified_timeout,
            when_full: FullPolicy::EvictLru,
            ..lasting()
        };
        let pool = |config, name| {
            let pool = Pool::new(config)?
                .on_close(|_: &SessionKey, session: Arc<Session>, reason| {
                    session.close(ended_because(reason));
                })
                .with_metrics(metrics, name);
            let pool = Arc::new(pool);
            pool.sweep_on(runtime);
            Ok::<_, ConnectionError>(pool)
        };
        Ok(Self {
            verified: pool(verified, "udp")?,
            unverified: pool(unverified, "udp_unverified")?,
        })
    }

    /// The session of this source. It counts as used.
    pub(super) fn find(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.verified.get(key).or_else(|| self.unverified.get(key))
    }

    /// Puts a new session in, in place of the least used unverified one where need be.
    pub(super) fn insert(&self, session: Arc<Session>) -> Result<(), InsertError<Arc<Session>>> {
        self.unverified.insert(session.key, session)
    }

    /// The session of this source, made if there is none; however many ask at once, one is made.
    pub(super) async fn find_or_make(
        &self,
        key: SessionKey,
        make: impl FnOnce() -> Result<Arc<Session>, ConnectionError> + Send,
    ) -> Result<Arc<Session>, ConnectionError> {
        if let Some(session) = self.find(&key) {
            return Ok(session);
        }
        let made = self.unverified.get_or_create(key, || ready(make())).await?;
        match self.verified.get(&key) {
            // It was verified between the look and the making.
            Some(elder) if !Arc::ptr_eq(&elder, &made) => {
                made.close(CloseReason::Cancelled);
                self.forget(&made);
                Ok(elder)
            }
            _ => Ok(made),
        }
    }

    /// Makes room for a new session before it begins, so that the cap is kept while an old one is on its way out.
    pub(super) fn make_room_among_unverified(&self) {
        while self.unverified.size() >= self.unverified.max_size() && self.unverified.evict() {}
    }

    /// An unverified session that was used least recently makes room; says whether there was one.
    pub(super) fn make_room(&self) -> bool {
        self.unverified.evict()
    }

    /// Moves a session to the verified ones; says whether it is there. At every moment a look finds it.
    pub(super) fn promote(&self, session: &Arc<Session>) -> bool {
        let put =
            self.verified.insert_idle_for(session.key, Arc::clone(session), session.idle_timeout);
        let is_moved = put.is_ok();
        if is_moved {
            let _ = self.unverified.remove(&session.key);
        }
        if session.is_over() {
            // It ended meanwhile, and nothing else would take it out.
            self.forget(session);
        }
        is_moved
    }

    /// The session is in use: an answer came.
    pub(super) fn touch(&self, session: &Session) {
        let _ = self.find(&session.key);
    }

    /// Takes out a session that has ended; a newer one under the same key stays.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        for pool in [&self.verified, &self.unverified] {
            if let Some(entry) = pool.get_entry(&session.key)
                && Arc::ptr_eq(entry.value(), session)
            {
                pool.discard_same(&session.key, &entry);
            }
        }
    }
}

/// Sessions end by silence alone.
fn lasting() -> PoolConfig {
    PoolConfig { max_lifetime: TimeLimit::Never, lifetime_jitter: 0.0, ..Default::default() }
}

fn ended_because(reason: PoolCloseReason) -> CloseReason {
    match reason {
        PoolCloseReason::IdleTimeout => CloseReason::IdleTimeout,
        PoolCloseReason::Evicted => CloseReason::Evicted,
        PoolCloseReason::PoolClosed => CloseReason::Cancelled,
        _ => CloseReason::Local,
    }
}
