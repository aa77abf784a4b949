//! Counts calls by their methods.

use crate::{
    channel::interceptor::{Beginning, Ending, Interceptor, OnCall},
    metrics::{Counter, Gauge, Histogram, Metrics},
    status::StatusCode,
};
use parking_lot::Mutex;
use std::{
    array,
    collections::HashMap,
    future::ready,
    sync::{Arc, OnceLock},
};

/// Methods that are told apart.
const MOST: usize = 128;
/// What the others are counted as, as where a label of [`Metrics`] has too many values.
const OTHER: &str = "_other";

#[derive(Debug)]
pub(super) struct Counting {
    metrics: Metrics,
    /// Held for one search and at most one addition.
    methods: Mutex<HashMap<Box<str>, Arc<Figures>>>,
}

/// Of one method.
#[derive(Debug)]
struct Figures {
    method: Box<str>,
    active: Gauge,
    duration: Histogram,
    /// Most methods end with few statuses.
    ended: [OnceLock<Counter>; StatusCode::ALL.len()],
}

impl Counting {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), methods: Mutex::default() }
    }

    fn figures(&self, method: &str) -> Arc<Figures> {
        let mut methods = self.methods.lock();
        if let Some(figures) = methods.get(method) {
            return Arc::clone(figures);
        }
        let method = if methods.len() < MOST { method } else { OTHER };
        let make = || Arc::new(Figures::new(&self.metrics, method));
        Arc::clone(methods.entry(method.into()).or_insert_with(make))
    }
}

impl Figures {
    fn new(metrics: &Metrics, method: &str) -> Self {
        let labels = [("method", method)];
        Self {
            method: method.into(),
            active: metrics.gauge(
                "trunkline_channel_method_calls_active",
                "Calls under way, by method.",
                &labels,
            ),
            duration: metrics.duration_histogram(
                "trunkline_channel_method_duration_seconds",
                "Time that calls took, by method.",
                &labels,
            ),
            ended: array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl Interceptor for Counting {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        self.figures(call.method()).active.add(1);
        Box::pin(ready(Ok(())))
    }

    fn on_end(&self, end: &Ending<'_>) {
        let figures = self.figures(end.method);
        figures.active.add(-1);
        figures.duration.record_duration(end.took);
        let ended = figures.ended[end.code as usize].get_or_init(|| {
            self.metrics.counter(
                "trunkline_channel_method_calls_total",
                "Calls that ended, by method and status.",
                &[("method", &figures.method), ("status", end.code.name())],
            )
        });
        ended.add(1);
    }
}
