//! What channels count: attempts to connect, connections, calls and what was tried again.

use super::tally::RetireReason;
use crate::{
    config::StatusCode,
    endpoint::{OutlierRule, Sweep},
    metrics::{Counter, Gauge, Histogram, Metrics},
};
use std::{array, time::Duration};

/// The instruments of all channels of one registry.
#[derive(Debug)]
pub(super) struct Meters {
    connected: Counter,
    failed: Counter,
    open: Gauge,
    closed: [Counter; RetireReason::ALL.len()],
    placements: [Counter; 2],
    establishment: Histogram,
    attempts: Counter,
    retries: Counter,
    transparent: Counter,
    hedges: Counter,
    refused: Counter,
    retry_delay: Histogram,
    /// By rule, and whether something followed.
    ejections: [[Counter; 2]; 2],
    calls: [Counter; 17],
    duration: Histogram,
}

impl Meters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let attempt = |result| {
            metrics.counter(
                "trunkline_channel_connection_attempts_total",
                "Attempts of channels to connect, by how they ended.",
                &[("result", result)],
            )
        };
        let call = |at: usize| {
            let status = StatusCode::ALL[at].name();
            let help = "Calls that ended, by status.";
            metrics.counter("trunkline_channel_calls_total", help, &[("status", status)])
        };
        let ejection = |rule: OutlierRule, enforced| {
            metrics.counter(
                "trunkline_channel_ejections_total",
                "Addresses of channels that failed more than the others, by rule, and whether they were left out.",
                &[("rule", rule.name()), ("enforced", enforced)],
            )
        };
        let closed = |reason: RetireReason| {
            let help = "Connections of channels that ended, by why they took no more calls.";
            let labels = &[("reason", reason.name())];
            metrics.counter("trunkline_channel_connections_closed_total", help, labels)
        };
        let placement = |result| {
            let help = "Attempts of calls, by whether they found a place on a connection at once or waited for one.";
            metrics.counter("trunkline_channel_placements_total", help, &[("result", result)])
        };
        let again = |kind| {
            let help = "Attempts that were sent beside or after the first one of a call.";
            metrics.counter("trunkline_channel_repeated_attempts_total", help, &[("kind", kind)])
        };
        Self {
            connected: attempt("succeeded"),
            failed: attempt("failed"),
            open: metrics.gauge(
                "trunkline_channel_connections",
                "Connections of channels that stand.",
                &[],
            ),
            closed: RetireReason::ALL.map(closed),
            placements: ["hit", "miss"].map(placement),
            establishment: metrics.duration_histogram(
                "trunkline_channel_establishment_seconds",
                "Time from the start of an attempt until the peer's SETTINGS.",
                &[],
            ),
            attempts: metrics.counter(
                "trunkline_channel_attempts_total",
                "Attempts of calls that were sent.",
                &[],
            ),
            retries: again("retry"),
            transparent: again("transparent"),
            hedges: again("hedge"),
            refused: metrics.counter(
                "trunkline_channel_refused_calls_total",
                "Calls that no address of a channel took, by its circuit.",
                &[],
            ),
            retry_delay: metrics.duration_histogram(
                "trunkline_channel_retry_delay_seconds",
                "Time between an attempt that failed and the next.",
                &[],
            ),
            ejections: OutlierRule::ALL
                .map(|rule| ["yes", "no"].map(|enforced| ejection(rule, enforced))),
            calls: array::from_fn(call),
            duration: metrics.duration_histogram(
                "trunkline_channel_call_duration_seconds",
                "Time from the start of a call to its status.",
                &[],
            ),
        }
    }

    pub(super) fn on_connected(&self, took: Duration) {
        self.connected.add(1);
        self.open.add(1);
        self.establishment.record_duration(took);
    }

    pub(super) fn on_attempt_failed(&self) {
        self.failed.add(1);
    }

    pub(super) fn on_connection_closed(&self, reason: RetireReason) {
        self.open.add(-1);
        self.closed[reason as usize].add(1);
    }

    /// An attempt of a call found a place on a connection at once, or waits for one.
    pub(super) fn on_placement(&self, is_hit: bool) {
        self.placements[usize::from(!is_hit)].add(1);
    }

    /// One attempt of a call is sent.
    pub(super) fn on_attempt(&self) {
        self.attempts.add(1);
    }

    /// A failed attempt is followed by another one after `delay`.
    pub(super) fn on_retry(&self, delay: Duration) {
        self.retries.add(1);
        self.retry_delay.record_duration(delay);
    }

    /// An attempt that nobody saw is sent again.
    pub(super) fn on_transparent_retry(&self) {
        self.transparent.add(1);
    }

    /// One more copy of a call is sent.
    pub(super) fn on_hedge(&self) {
        self.hedges.add(1);
    }

    /// A call was kept away from every address.
    pub(super) fn on_refused(&self) {
        self.refused.add(1);
    }

    /// Addresses were looked at together.
    pub(super) fn on_swept(&self, sweep: &Sweep) {
        for (found, at) in [(&sweep.ejected, 0), (&sweep.unenforced, 1)] {
            for ejection in found {
                self.ejections[ejection.rule as usize][at].add(1);
            }
        }
    }

    pub(super) fn on_call_ended(&self, code: StatusCode, took: Duration) {
        self.calls[code as usize].add(1);
        self.duration.record_duration(took);
    }
}
