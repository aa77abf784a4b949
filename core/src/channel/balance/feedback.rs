//! What servers say of themselves, and what their calls say of them.

use super::{Action, Balance, Done, Policy, Topic};
use crate::{
    channel::{health::Health, report::LoadReport, subchannel::ConnectionNumber},
    config::LoadBalancing,
    endpoint::{EndpointId, OutlierDetector, Sweep},
    error::ConnectionError,
    status::StatusCode,
};
use std::time::Instant;

impl<C: Clone> Balance<C> {
    /// What the server behind a new connection is asked. One that carries no more calls than there are questions is
    /// asked nothing: they would take the places of calls.
    pub(super) fn topics(&self, limit: u32) -> Vec<Topic> {
        let Policy::Spread(_) = self.policy else { return Vec::new() };
        let load = match &self.terms.policy {
            LoadBalancing::WeightedRoundRobin(config) => config.report_period.map(Topic::Load),
            LoadBalancing::PickFirst { .. }
            | LoadBalancing::RoundRobin
            | LoadBalancing::LeastRequest { .. }
            | LoadBalancing::RingHash { .. } => None,
        };
        let health = self.terms.asks_health.then_some(Topic::Health);
        let topics: Vec<_> = health.into_iter().chain(load).collect();
        if limit as usize > topics.len() { topics } else { Vec::new() }
    }

    /// A server reported its load, unasked or asked.
    pub(in crate::channel) fn on_report(
        &mut self,
        id: EndpointId,
        report: LoadReport,
        now: Instant,
    ) {
        match &mut self.policy {
            Policy::Spread(policy) => policy.on_report(id, report, now),
            Policy::PickFirst(_) => {}
        }
    }

    /// The server behind a connection says something else of its health; `why` if calls must not go there.
    pub(in crate::channel) fn on_health(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        health: Health,
        why: Option<ConnectionError>,
    ) {
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            self.failure = why.clone().or_else(|| self.failure.take());
            subchannel.set_health(number, health, why);
        }
    }

    /// The peer changed how many calls a connection carries.
    pub(in crate::channel) fn set_limit(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        limit: u32,
    ) {
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            subchannel.set_limit(number, limit);
        }
    }

    /// An attempt has ended; what it cost counts no more, and how it ended does.
    pub(in crate::channel) fn give_back(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        done: Done,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        if let (Some(detector), Some(code)) = (&mut self.outliers, done.code) {
            detector.on_outcome(id, code == StatusCode::Ok);
        }
        if let Some(report) = done.report {
            self.on_report(id, report, now);
        }
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            subchannel.give_back(number);
            subchannel.calls.on_end(done.code == Some(StatusCode::Ok));
            subchannel.guard.on_done(done.pass, done.code, now, draw());
        }
    }

    pub(super) fn watch_for_outliers(&mut self, now: Instant) {
        let Some(config) = self.terms.outliers else { return };
        let detector = self.outliers.get_or_insert_with(|| OutlierDetector::new(config, now));
        detector.set_members(self.subchannels.iter().map(|subchannel| subchannel.id));
    }

    /// Leaves those out that failed more than the others, and lets those back in whose time is over.
    pub(super) fn sweep(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        let Some(detector) = &mut self.outliers else { return };
        let sweep = detector.on_sweep(now, draw);
        if sweep == Sweep::default() {
            return;
        }
        for subchannel in &mut self.subchannels {
            subchannel.is_ejected = detector.is_ejected(subchannel.id);
        }
        self.actions.push(Action::Swept(sweep));
    }
}
