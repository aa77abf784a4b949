//! Weights from what servers report of their load, and the rounds in which addresses have their turns by them.

use crate::{
    channel::report::LoadReport,
    config::WeightedRoundRobin,
    endpoint::{
        EndpointId, Member, Peers,
        pick::{RoundRobin, Weighted},
    },
};
use std::{collections::HashMap, time::Instant};

/// Addresses in turn, as often as their weights say. Weights are looked at now and then, with a call.
#[derive(Debug)]
pub(super) struct Weighing {
    config: WeightedRoundRobin,
    /// In the order of the set.
    ids: Vec<EndpointId>,
    /// Of those that are connected to and have reported.
    weights: HashMap<EndpointId, Weight>,
    rounds: Rounds,
    next_update: Option<Instant>,
}

#[derive(Debug)]
enum Rounds {
    Even(RoundRobin),
    Weighted(Weighted),
}

/// What one address's reports make.
#[derive(Clone, Copy, Debug)]
struct Weight {
    value: f64,
    /// Of the first report since it was connected to, or since its weight was forgotten.
    first: Instant,
    last: Instant,
}

impl Weighing {
    pub(super) fn new(config: WeightedRoundRobin) -> Self {
        let (ids, weights) = (Vec::new(), HashMap::new());
        let rounds = Rounds::Even(RoundRobin::new(0, 0.0));
        Self { config, ids, weights, rounds, next_update: None }
    }

    /// `unit` is a fresh draw from 0..1.
    pub(super) fn on_endpoints(&mut self, members: &[Member], unit: f64) {
        self.ids = members.iter().map(|member| member.id).collect();
        self.weights.retain(|id, _| self.ids.contains(id));
        self.rounds = Rounds::Even(RoundRobin::new(members.len(), unit));
        self.next_update = None;
    }

    /// A server reported its load. A report without calls or without utilization says nothing.
    pub(super) fn on_report(&mut self, id: EndpointId, report: LoadReport, now: Instant) {
        let Some(value) = self.config.weight(report) else { return };
        if !self.ids.contains(&id) {
            return;
        }
        let fresh = Weight { value, first: now, last: now };
        let weight = self.weights.entry(id).or_insert(fresh);
        let is_forgotten = now.saturating_duration_since(weight.last) >= self.config.expiration;
        let first = if is_forgotten { now } else { weight.first };
        *weight = Weight { value, first, last: now };
    }

    /// An address is not connected to any more: what it reports next is its first report.
    pub(super) fn on_gone(&mut self, id: EndpointId) {
        self.weights.remove(&id);
    }

    /// The next in turn. `unit` is a fresh draw from 0..1.
    pub(super) fn pick(&mut self, peers: &impl Peers, unit: f64, now: Instant) -> Option<usize> {
        if self.next_update.is_none_or(|at| at <= now) {
            self.next_update = Some(now + self.config.update);
            self.update(now, unit);
        }
        match &self.rounds {
            Rounds::Even(rounds) => rounds.pick(peers),
            Rounds::Weighted(rounds) => rounds.pick(peers, unit),
        }
    }

    fn update(&mut self, now: Instant, unit: f64) {
        let weight = |id| self.weights.get(id)?.at(&self.config, now);
        let weights: Vec<Option<f64>> = self.ids.iter().map(weight).collect();
        let known = weights.iter().flatten().count();
        if known >= 2 {
            let mean = weights.iter().flatten().sum::<f64>() / known as f64;
            let weights = weights.into_iter().map(|weight| weight.unwrap_or(mean));
            self.rounds = Rounds::Weighted(Weighted::new(weights, unit));
        } else if let Rounds::Weighted(_) = self.rounds {
            self.rounds = Rounds::Even(RoundRobin::new(self.ids.len(), unit));
        }
    }
}

impl Weight {
    /// What it counts for at `now`, if it counts.
    fn at(&self, config: &WeightedRoundRobin, now: Instant) -> Option<f64> {
        let since = |time| now.saturating_duration_since(time);
        let counts = since(self.first) >= config.blackout && since(self.last) < config.expiration;
        counts.then_some(self.value)
    }
}

impl WeightedRoundRobin {
    /// Calls per second and utilization; errors add to the utilization.
    fn weight(&self, report: LoadReport) -> Option<f64> {
        if report.calls <= 0.0 || report.utilization <= 0.0 {
            return None;
        }
        let penalty = report.errors / report.calls * self.error_penalty;
        Some(report.calls / (report.utilization + penalty)).filter(|weight| weight.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Endpoint, EndpointSet};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    struct All;

    impl Peers for All {
        fn is_ready(&self, _: usize) -> bool {
            true
        }

        fn load(&self, _: usize) -> f64 {
            0.0
        }
    }

    struct World {
        weighing: Weighing,
        ids: Vec<EndpointId>,
        now: Instant,
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        fn new(names: &[&str]) -> Self {
            let now = Instant::now();
            let listed = names
                .iter()
                .map(|name| Endpoint::from(name.parse::<crate::address::Address>().unwrap()));
            let members = EndpointSet::new(listed, now).members();
            let mut weighing = Weighing::new(WeightedRoundRobin::default());
            weighing.on_endpoints(&members, 0.0);
            Self { weighing, ids: members.iter().map(|member| member.id).collect(), now }
        }

        fn report(&mut self, at: usize, calls: f64, errors: f64) {
            let report = LoadReport { calls, errors, utilization: 0.5 };
            self.weighing.on_report(self.ids[at], report, self.now);
        }

        fn picks(&mut self, count: usize) -> Vec<usize> {
            let mut counts = vec![0; self.ids.len()];
            for _ in 0..count {
                counts[self.weighing.pick(&All, 0.0, self.now).unwrap()] += 1;
            }
            counts
        }
    }

    #[test]
    fn weights_count_after_the_blackout_and_are_forgotten_without_reports() {
        let mut world = World::new(&["mem:a", "mem:b"]);
        world.report(0, 300.0, 0.0);
        world.report(1, 100.0, 0.0);
        world.now += 9 * SECOND;
        assert_eq!(world.picks(8), [4, 4]);
        world.now += SECOND;
        assert_eq!(world.picks(8), [6, 2]);
        world.now += 180 * SECOND;
        assert_eq!(world.picks(8), [4, 4]);
        world.report(0, 300.0, 0.0);
        world.report(1, 100.0, 0.0);
        world.now += SECOND;
        assert_eq!(world.picks(8), [4, 4], "what was forgotten begins anew");
    }

    #[test]
    fn errors_cost_a_share() {
        let mut world = World::new(&["mem:a", "mem:b"]);
        // Utilization 0.5, and one call in two fails: half the weight.
        world.report(0, 100.0, 50.0);
        world.report(1, 100.0, 0.0);
        world.now += 10 * SECOND;
        assert_eq!(world.picks(9), [3, 6]);
    }

    #[test]
    fn one_without_a_weight_has_the_mean_and_two_weights_are_needed() {
        let mut world = World::new(&["mem:a", "mem:b", "mem:c"]);
        world.report(0, 300.0, 0.0);
        world.now += 10 * SECOND;
        assert_eq!(world.picks(9), [3, 3, 3]);
        world.report(1, 100.0, 0.0);
        world.report(2, 0.0, 0.0);
        world.now += 10 * SECOND;
        assert_eq!(world.picks(12), [6, 2, 4]);
    }

    #[test]
    fn an_address_that_is_connected_to_again_waits_out_the_blackout_again() {
        let mut world = World::new(&["mem:a", "mem:b"]);
        world.report(0, 300.0, 0.0);
        world.report(1, 100.0, 0.0);
        world.now += 10 * SECOND;
        world.weighing.on_gone(world.ids[0]);
        world.report(0, 300.0, 0.0);
        world.now += 9 * SECOND;
        world.report(1, 100.0, 0.0);
        assert_eq!(world.picks(8), [4, 4]);
        world.now += SECOND;
        assert_eq!(world.picks(8), [6, 2]);
    }

    #[test]
    fn weights_are_looked_at_once_in_a_second() {
        let mut world = World::new(&["mem:a", "mem:b"]);
        world.report(0, 300.0, 0.0);
        world.report(1, 100.0, 0.0);
        world.now += 10 * SECOND;
        assert_eq!(world.picks(8), [6, 2]);
        world.report(0, 100.0, 0.0);
        world.now += SECOND / 2;
        assert_eq!(world.picks(8), [6, 2]);
        world.now += SECOND / 2;
        assert_eq!(world.picks(8), [4, 4]);
    }
}
