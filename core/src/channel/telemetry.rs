//! Counts calls and attempts under the names that gRPC gives them for OpenTelemetry (gRFC A66, A94, A96), as its exporter for
//! Prometheus writes them.

use super::{tally::RetireReason, wire::now};
use crate::{
    metrics::{Counter, Gauge, Histogram, Metrics},
    status::StatusCode,
};
use parking_lot::Mutex;
use std::{
    array,
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Methods of a channel that are told apart.
const MOST: usize = 128;
/// What the others are counted as, as where a label of [`Metrics`] has too many values.
const OTHER: &str = "_other";
/// The bytes before each message, which do not count.
const PREFIX: u64 = 5;

/// The figures of one channel.
#[derive(Debug)]
pub(super) struct Telemetry {
    metrics: Metrics,
    target: Box<str>,
    /// Held for one search and at most one addition.
    methods: Mutex<HashMap<Box<str>, Arc<MethodFigures>>>,
    succeeded: Counter,
    failed: Counter,
    open: Gauge,
    ended: [OnceLock<Counter>; RetireReason::ALL.len()],
}

/// Of the calls of one method.
#[derive(Debug)]
pub(super) struct MethodFigures {
    metrics: Metrics,
    target: Box<str>,
    method: Box<str>,
    started: Counter,
    /// Most methods end with few statuses.
    attempts: [OnceLock<AttemptFigures>; StatusCode::ALL.len()],
    calls: [OnceLock<Histogram>; StatusCode::ALL.len()],
    again: OnceLock<Again>,
}

/// Of attempts with one status.
#[derive(Debug)]
struct AttemptFigures {
    duration: Histogram,
    sent: Histogram,
    received: Histogram,
}

/// Of calls that were sent more than once.
#[derive(Debug)]
struct Again {
    retries: Histogram,
    transparent: Histogram,
    hedges: Histogram,
    delay: Histogram,
}

/// How often one call was sent again.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    pub(super) retries: AtomicU64,
    pub(super) transparent: AtomicU64,
    pub(super) hedges: AtomicU64,
    /// Nanoseconds between attempts in which none was under way.
    pub(super) delay: AtomicU64,
}

/// Bytes of the messages of one attempt, as they are on the wire, without what frames them.
#[derive(Debug, Default)]
pub(super) struct Volume {
    sent: AtomicU64,
    received: AtomicU64,
}

/// One attempt that is under way, counted when it is dropped.
#[derive(Debug)]
pub(super) struct AttemptMeter {
    figures: Arc<MethodFigures>,
    pub(super) volume: Arc<Volume>,
    started: Instant,
    /// What it ended with; none where it was given up.
    pub(super) code: Option<StatusCode>,
}

impl Telemetry {
    pub(super) fn new(metrics: &Metrics, target: &str) -> Self {
        let labels = [("grpc_target", target)];
        Self {
            succeeded: metrics.counter(
                "grpc_subchannel_connection_attempts_succeeded_total",
                "Attempts of subchannels to connect that succeeded.",
                &labels,
            ),
            failed: metrics.counter(
                "grpc_subchannel_connection_attempts_failed_total",
                "Attempts of subchannels to connect that failed.",
                &labels,
            ),
            open: metrics.gauge(
                "grpc_subchannel_open_connections",
                "Connections of subchannels that stand.",
                &labels,
            ),
            ended: array::from_fn(|_| OnceLock::new()),
            metrics: metrics.clone(),
            target: target.into(),
            methods: Mutex::default(),
        }
    }

    /// The figures of a method such as `/package.Service/Method`.
    pub(super) fn method(&self, path: &str) -> Arc<MethodFigures> {
        let mut methods = self.methods.lock();
        if let Some(figures) = methods.get(path) {
            return Arc::clone(figures);
        }
        let path = if methods.len() < MOST { path } else { OTHER };
        let make = || Arc::new(MethodFigures::new(&self.metrics, &self.target, path));
        Arc::clone(methods.entry(path.into()).or_insert_with(make))
    }

    pub(super) fn on_connected(&self) {
        self.succeeded.add(1);
        self.open.add(1);
    }

    pub(super) fn on_attempt_failed(&self) {
        self.failed.add(1);
    }

    pub(super) fn on_connection_closed(&self, reason: RetireReason) {
        self.open.add(-1);
        let ended = self.ended[reason as usize].get_or_init(|| {
            self.metrics.counter(
                "grpc_subchannel_disconnections_total",
                "Connections of subchannels that ended.",
                &[
                    ("grpc_target", &self.target),
                    ("grpc_disconnect_error", disconnect_error(reason)),
                ],
            )
        });
        ended.add(1);
    }
}

/// What gRFC A94 calls the end of a connection.
fn disconnect_error(reason: RetireReason) -> &'static str {
    match reason {
        RetireReason::Idle
        | RetireReason::Closed
        | RetireReason::Unlisted
        | RetireReason::Surplus => "subchannel shutdown",
        RetireReason::GoAway => "GOAWAY",
        RetireReason::Unanswered => "connection timed out",
        RetireReason::Lost => "connection reset",
    }
}

impl MethodFigures {
    fn new(metrics: &Metrics, target: &str, path: &str) -> Self {
        let method: Box<str> = path.trim_start_matches('/').into();
        let labels = [("grpc_method", &*method), ("grpc_target", target)];
        let started = metrics.counter(
            "grpc_client_attempt_started_total",
            "Attempts of calls that began.",
            &labels,
        );
        Self {
            metrics: metrics.clone(),
            target: target.into(),
            started,
            method,
            attempts: array::from_fn(|_| OnceLock::new()),
            calls: array::from_fn(|_| OnceLock::new()),
            again: OnceLock::new(),
        }
    }

    /// An attempt of a call begins.
    pub(super) fn begin(self: &Arc<Self>) -> AttemptMeter {
        self.started.add(1);
        let volume = Arc::default();
        AttemptMeter { figures: Arc::clone(self), volume, started: now(), code: None }
    }

    /// A call ended with `code`.
    pub(super) fn on_call_ended(&self, code: StatusCode, took: Duration, repeats: &Repeats) {
        let duration = self.calls[code as usize].get_or_init(|| {
            self.metrics.duration_histogram(
                "grpc_client_call_duration_seconds",
                "Time from the start of a call to its status, all its attempts included.",
                &self.labels(code),
            )
        });
        duration.record_duration(took);
        let counts = [&repeats.retries, &repeats.transparent, &repeats.hedges];
        if counts.iter().all(|count| count.load(Relaxed) == 0) {
            return;
        }
        let again = self.again.get_or_init(|| self.again());
        let of = [&again.retries, &again.transparent, &again.hedges];
        for (count, histogram) in counts.into_iter().zip(of) {
            // None is not told.
            match count.load(Relaxed) {
                0 => {}
                count => histogram.record(count),
            }
        }
        again.delay.record(repeats.delay.load(Relaxed));
    }

    fn labels(&self, code: StatusCode) -> [(&'static str, &str); 3] {
        [("grpc_method", &self.method), ("grpc_target", &self.target), ("grpc_status", code.name())]
    }

    fn again(&self) -> Again {
        let labels = [("grpc_method", &*self.method), ("grpc_target", &*self.target)];
        let count = |name, help| self.metrics.histogram(name, help, &labels);
        Again {
            retries: count("grpc_client_call_retries", "Retries of a call that was retried."),
            transparent: count(
                "grpc_client_call_transparent_retries",
                "Transparent retries of a call that had any.",
            ),
            hedges: count("grpc_client_call_hedges", "Hedges of a call that had any."),
            delay: self.metrics.duration_histogram(
                "grpc_client_call_retry_delay_seconds",
                "Time in which no attempt of a call was under way, between its first and its last.",
                &labels,
            ),
        }
    }

    fn attempts(&self, code: StatusCode) -> &AttemptFigures {
        self.attempts[code as usize].get_or_init(|| {
            let labels = self.labels(code);
            AttemptFigures {
                duration: self.metrics.duration_histogram(
                    "grpc_client_attempt_duration_seconds",
                    "Time from the start of an attempt to its status.",
                    &labels,
                ),
                sent: self.metrics.histogram(
                    "grpc_client_attempt_sent_total_compressed_message_size_bytes",
                    "Bytes of the messages of an attempt to the server, compressed, without framing.",
                    &labels,
                ),
                received: self.metrics.histogram(
                    "grpc_client_attempt_rcvd_total_compressed_message_size_bytes",
                    "Bytes of the messages of an attempt from the server, compressed, without framing.",
                    &labels,
                ),
            }
        })
    }
}

impl Repeats {
    pub(super) fn on_retry(&self, delay: Duration) {
        self.retries.fetch_add(1, Relaxed);
        let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.delay.fetch_add(delay, Relaxed);
    }
}

impl Volume {
    /// So many bytes go out; `begun` messages begin in them.
    pub(super) fn on_sent(&self, bytes: usize, begun: u32) {
        count(&self.sent, bytes, begun);
    }

    /// So many bytes came; `begun` messages begin in them.
    pub(super) fn on_received(&self, bytes: usize, begun: u32) {
        count(&self.received, bytes, begun);
    }
}

/// A message has begun once its prefix is there, so that what is taken off was counted before.
fn count(total: &AtomicU64, bytes: usize, begun: u32) {
    total.fetch_add(bytes as u64, Relaxed);
    total.fetch_sub(PREFIX * u64::from(begun), Relaxed);
}

impl Drop for AttemptMeter {
    fn drop(&mut self) {
        let figures = self.figures.attempts(self.code.unwrap_or(StatusCode::Cancelled));
        figures.duration.record_duration(now().saturating_duration_since(self.started));
        figures.sent.record(self.volume.sent.load(Relaxed));
        figures.received.record(self.volume.received.load(Relaxed));
    }
}
