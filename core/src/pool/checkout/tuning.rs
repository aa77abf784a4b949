//! Takes samples of a pool for its tuner, keeps what it advises, and follows it if it may.

use super::{
    connector::Connector,
    shared::{Shared, clock},
    stats::Usage,
};
use crate::{
    config::{TunerConfig, TunerMode},
    pool::tuner::{Advice, Tuner, TunerSample},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::time::sleep;

/// Advice that is kept for whoever asks.
const KEPT: usize = 32;

/// What the tuner of a pool advised, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolAdvice {
    /// What it said, and why.
    pub advice: Advice,
    /// When it said so.
    pub at: Instant,
}

/// The last advice, oldest first.
#[derive(Debug, Default)]
pub(crate) struct AdviceLog(VecDeque<PoolAdvice>);

impl AdviceLog {
    fn note(&mut self, advice: PoolAdvice) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(advice);
    }

    pub(crate) fn to_vec(&self) -> Vec<PoolAdvice> {
        self.0.iter().copied().collect()
    }
}

/// Starts the task that asks the tuner after each interval, unless there is none.
pub(crate) fn tune<C: Connector>(shared: &Arc<Shared<C>>, config: TunerConfig) {
    match config.mode {
        TunerMode::Off => {}
        TunerMode::Observe | TunerMode::Apply => {
            shared.runtime.spawn(watch(Arc::downgrade(shared), config));
        }
    }
}

async fn watch<C: Connector>(watched: Weak<Shared<C>>, config: TunerConfig) {
    let mut tuner = Tuner::new(config);
    let mut before = Usage::default();
    loop {
        sleep(config.interval).await;
        let Some(shared) = watched.upgrade() else { return };
        let (sample, now) = (sample(&shared, &mut before), clock().into());
        if let Some(advice) = tuner.on_sample(sample, now) {
            shared.follow(PoolAdvice { advice, at: now });
        }
    }
}

/// What happened since the reading before, which becomes this one.
fn sample<C: Connector>(shared: &Shared<C>, before: &mut Usage) -> TunerSample {
    let ((usage, peak_used), max_size, min_idle) =
        shared.write(|state| (state.take_usage(), state.terms().max_size, state.terms().min_idle));
    let since = usage.since(before);
    *before = usage;
    TunerSample {
        p95_wait: since.wait_within(0.95),
        peak_used,
        max_size,
        min_idle,
        backend_latency: since.mean_use(),
    }
}

impl<C: Connector> Shared<C> {
    fn follow(self: &Arc<Self>, advised: PoolAdvice) {
        let new_size = advised.advice.new_size();
        tracing::info!(pool = &*self.name, applied = new_size.is_some(), "{}", advised.advice);
        self.advice.lock().note(advised);
        if let Some(max_size) = new_size {
            self.update(|state, actions| {
                let min_idle = state.terms().min_idle;
                state.on_resize(max_size, min_idle, clock(), actions);
            });
        }
    }
}
