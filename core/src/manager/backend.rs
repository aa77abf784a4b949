//! Decides which endpoint of a backend gets a connection, from how those before it went.

use crate::{
    address::Address,
    config::{BackendConfig, PickPolicy},
    endpoint::{
        Availability, Breaker, Draw, Endpoint, EndpointId, EndpointSet, HealthAction, HealthChange,
        HealthCheck, Member, Outcome, OutlierDetector, Pass, Peers, Picker, pick::Weighted,
    },
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often weights that grow are looked at.
const REWEIGH: Duration = Duration::from_secs(1);

/// The endpoints of a backend, and what is known of each.
#[derive(Debug)]
pub(super) struct Backend {
    config: BackendConfig,
    set: EndpointSet,
    members: Arc<[Member]>,
    picker: Picker,
    peers: HashMap<EndpointId, Peer>,
    outliers: OutlierDetector,
    usable: Availability,
    reweigh_at: Instant,
    /// Drawn for each round of checks.
    next_round: u64,
}

#[derive(Debug)]
struct Peer {
    breaker: Breaker,
    /// Connections that stand.
    active: u64,
    health: Option<Checked>,
    /// Since when it is in use: in the set, or healthy again.
    since: Instant,
}

/// The checks of one endpoint by one configuration, whoever makes them.
#[derive(Debug)]
struct Checked {
    check: HealthCheck,
    round: u64,
}

/// An attempt to connect that may begin now, to be given back with how it ended.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) endpoint: EndpointId,
    pub(super) address: Address,
    pass: Pass,
}

impl Backend {
    /// Starts with the endpoints of `config`, all of them unchecked. `unit` are fresh draws from 0..1.
    pub(super) fn new(config: BackendConfig, now: Instant, mut unit: impl FnMut() -> f64) -> Self {
        let mut set = EndpointSet::default();
        set.replace(listed(&config), now);
        let members = set.members();
        let picker = Picker::new(&config.balance, &members, unit());
        let usable = Availability::new([], config.balance.panic_threshold);
        let outliers = OutlierDetector::new(config.outlier, now);
        let peers = HashMap::new();
        let mut backend = Self {
            config,
            set,
            members,
            picker,
            peers,
            outliers,
            usable,
            reweigh_at: now,
            next_round: 0,
        };
        backend.enlist(now, &mut unit);
        backend
    }

    /// Goes by `config` from now on. An endpoint that stays keeps its connections, and its breaker, standing and
    /// checks where their figures are the same. Says of which a new round of checks begins.
    pub(super) fn reconfigure(
        &mut self,
        config: BackendConfig,
        now: Instant,
        mut unit: impl FnMut() -> f64,
    ) -> Vec<(Member, u64)> {
        let before = std::mem::replace(&mut self.config, config);
        let first_new = self.next_round;
        self.set.replace(listed(&self.config), now);
        self.members = self.set.members();
        if before.breaker != self.config.breaker {
            let breaker = Breaker::new(self.config.breaker, now);
            self.peers.values_mut().for_each(|peer| peer.breaker = breaker.clone());
        }
        if before.health != self.config.health {
            self.peers.values_mut().for_each(|peer| peer.health = None);
        }
        if before.outlier != self.config.outlier {
            self.outliers = OutlierDetector::new(self.config.outlier, now);
        }
        self.picker = Picker::new(&self.config.balance, &self.members, unit());
        self.reweigh_at = now;
        self.enlist(now, &mut unit);
        self.checked().into_iter().filter(|(_, round)| *round >= first_new).collect()
    }

    /// Its endpoints are checked no longer.
    pub(super) fn retire(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.health = None);
    }

    /// Those that are checked, each with its round.
    pub(super) fn checked(&self) -> Vec<(Member, u64)> {
        let round = |member: &Member| {
            let checked = self.peers.get(&member.id)?.health.as_ref()?;
            Some((member.clone(), checked.round))
        };
        self.members.iter().filter_map(round).collect()
    }

    /// Keeps what is known of those that are in the set, and begins with those that are new in it.
    fn enlist(&mut self, now: Instant, unit: &mut impl FnMut() -> f64) {
        let mut before = std::mem::take(&mut self.peers);
        for member in &*self.members {
            let mut peer = before.remove(&member.id).unwrap_or_else(|| Peer {
                breaker: Breaker::new(self.config.breaker, now),
                active: 0,
                health: None,
                since: member.since,
            });
            if let (None, Some(health)) = (&peer.health, self.config.health) {
                let check = HealthCheck::new(health, now, unit());
                peer.health = Some(Checked { check, round: self.next_round });
                self.next_round += 1;
            }
            self.peers.insert(member.id, peer);
        }
        self.outliers.set_members(self.members.iter().map(|member| member.id));
        self.judge();
    }

    pub(super) fn config(&self) -> &BackendConfig {
        &self.config
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.members)
    }

    /// Begins an attempt to the endpoint whose turn it is of those that may be tried and are not in `tried`.
    /// Connections with the same `key` go to the same one, under the policies that look at it.
    pub(super) fn begin(
        &mut self,
        key: Option<&[u8]>,
        tried: &[EndpointId],
        now: Instant,
        mut unit: impl FnMut() -> f64,
    ) -> Option<Attempt> {
        self.sweep(now, &mut unit);
        self.reweigh(now, unit());
        let draw = Draw { key, units: [unit(), unit()] };
        let index = self.picker.pick(&View { backend: self, tried, now }, draw)?;
        let member = self.members.get(index)?;
        let peer = self.peers.get_mut(&member.id)?;
        let pass = peer.breaker.on_admit(now).ok()?;
        // Counted from the start, so that many who come at once do not all take the same one.
        peer.active += 1;
        Some(Attempt { endpoint: member.id, address: member.address.clone(), pass })
    }

    /// The attempt became a connection, which counts until [`on_closed`](Self::on_closed).
    pub(super) fn on_connected(&mut self, attempt: Attempt, now: Instant, unit: f64) {
        let endpoint = self.end(attempt, Outcome::Success, now, unit);
        self.outliers.on_outcome(endpoint, true);
    }

    /// The endpoint refused, or did not answer in time.
    pub(super) fn on_failed(&mut self, attempt: Attempt, now: Instant, unit: f64) {
        let endpoint = self.end(attempt, Outcome::Failure, now, unit);
        self.outliers.on_outcome(endpoint, false);
        self.on_closed(endpoint);
    }

    /// The attempt ended for a reason that says nothing about the endpoint.
    pub(super) fn on_cancelled(&mut self, attempt: Attempt, now: Instant, unit: f64) {
        let endpoint = self.end(attempt, Outcome::Cancelled, now, unit);
        self.on_closed(endpoint);
    }

    /// A connection to the endpoint ended.
    pub(super) fn on_closed(&mut self, endpoint: EndpointId) {
        if let Some(peer) = self.peers.get_mut(&endpoint) {
            peer.active = peer.active.saturating_sub(1);
        }
    }

    fn end(&mut self, attempt: Attempt, outcome: Outcome, now: Instant, unit: f64) -> EndpointId {
        if let Some(peer) = self.peers.get_mut(&attempt.endpoint) {
            peer.breaker.on_outcome(attempt.pass, outcome, now, unit);
        }
        attempt.endpoint
    }

    /// For how long no endpoint is tried because all of them keep failing; `None` if one may be.
    pub(super) fn open_for(&self, now: Instant) -> Option<Duration> {
        let waits = self.peers.values().map(|peer| peer.breaker.next_admission(now));
        let first = waits.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        first.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// What is due in a round of checks of an endpoint; `None` once it is over.
    pub(super) fn on_health_timeout(
        &mut self,
        endpoint: EndpointId,
        round: u64,
        now: Instant,
        unit: f64,
    ) -> Option<HealthAction> {
        let checked = self.peers.get_mut(&endpoint)?.health.as_mut()?;
        (checked.round == round).then(|| checked.check.on_timeout(now, unit))
    }

    /// The check of an endpoint ended; says what that changed.
    pub(super) fn on_checked(
        &mut self,
        endpoint: EndpointId,
        passed: bool,
        now: Instant,
    ) -> HealthChange {
        let Some(peer) = self.peers.get_mut(&endpoint) else { return HealthChange::Nothing };
        let Some(checked) = &mut peer.health else { return HealthChange::Nothing };
        let change = checked.check.on_result(passed, now);
        match change {
            HealthChange::Nothing => {}
            HealthChange::Up | HealthChange::Down => {
                peer.since = now;
                self.judge();
            }
        }
        change
    }

    fn sweep(&mut self, now: Instant, unit: &mut impl FnMut() -> f64) {
        if now >= self.outliers.next_sweep() {
            self.outliers.on_sweep(now, unit);
            self.judge();
        }
    }

    /// Brings together what checks and sweeps say.
    fn judge(&mut self) {
        let is_healthy = |member: &Member| {
            let peer = self.peers.get(&member.id);
            let passes = peer
                .and_then(|peer| peer.health.as_ref())
                .is_none_or(|checked| checked.check.is_healthy());
            passes && !self.outliers.is_ejected(member.id)
        };
        let threshold = self.config.balance.panic_threshold;
        self.usable = Availability::new(self.members.iter().map(is_healthy), threshold);
    }

    /// Lets the weights of those that are new grow, for the picker that goes by nothing else.
    fn reweigh(&mut self, now: Instant, unit: f64) {
        let grows = !self.config.balance.slow_start.window.is_zero();
        if self.config.balance.policy != PickPolicy::Weighted || !grows || now < self.reweigh_at {
            return;
        }
        self.reweigh_at = now + REWEIGH;
        let weights: Vec<_> = self.members.iter().map(|member| self.weight(member, now)).collect();
        self.picker = Picker::Weighted(Weighted::new(weights, unit));
    }

    fn weight(&self, member: &Member, now: Instant) -> f64 {
        let since = self.peers.get(&member.id).map_or(member.since, |peer| peer.since);
        f64::from(member.weight) * self.config.balance.slow_start.share(since, now)
    }
}

fn listed(config: &BackendConfig) -> impl Iterator<Item = Endpoint> {
    config
        .endpoints
        .iter()
        .map(|endpoint| Endpoint { address: endpoint.address.clone(), weight: endpoint.weight })
}

/// What the picker asks about.
struct View<'a> {
    backend: &'a Backend,
    tried: &'a [EndpointId],
    now: Instant,
}

impl Peers for View<'_> {
    fn is_ready(&self, index: usize) -> bool {
        let Some(member) = self.backend.members.get(index) else { return false };
        let Some(peer) = self.backend.peers.get(&member.id) else { return false };
        member.weight > 0
            && self.backend.usable.is_usable(index)
            && !self.tried.contains(&member.id)
            && peer.breaker.is_ready(self.now)
    }

    fn load(&self, index: usize) -> f64 {
        let Some(member) = self.backend.members.get(index) else { return f64::INFINITY };
        let active = self.backend.peers.get(&member.id).map_or(0, |peer| peer.active);
        (active + 1) as f64 / self.backend.weight(member, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BalanceConfig, EndpointConfig, HealthConfig, SlowStartConfig};

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn config(policy: PickPolicy, weights: &[(&str, u32)]) -> BackendConfig {
        let endpoint = |&(name, weight): &(&str, u32)| EndpointConfig {
            address: Address::Mem(name.into()),
            weight,
        };
        BackendConfig {
            endpoints: weights.iter().map(endpoint).collect(),
            balance: BalanceConfig { policy, ..BalanceConfig::default() },
            ..BackendConfig::default()
        }
    }

    fn backend(config: BackendConfig, now: Instant) -> Backend {
        Backend::new(config, now, || 0.5)
    }

    fn begin(backend: &mut Backend, tried: &[EndpointId], now: Instant) -> Option<Attempt> {
        backend.begin(None, tried, now, || 0.5)
    }

    #[test]
    fn each_attempt_for_a_connection_goes_to_another_endpoint() {
        let now = start();
        let mut backend =
            backend(config(PickPolicy::RoundRobin, &[("a", 1), ("b", 1), ("c", 1)]), now);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let attempt = begin(&mut backend, &tried, now).unwrap();
            assert!(!tried.contains(&attempt.endpoint));
            tried.push(attempt.endpoint);
            backend.on_failed(attempt, now, 0.5);
        }
        assert!(begin(&mut backend, &tried, now).is_none());
    }

    #[test]
    fn an_endpoint_that_keeps_failing_is_not_tried_until_its_breaker_lets_it() {
        let now = start();
        let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
        for _ in 0..7 {
            let attempt = begin(&mut backend, &[], now).unwrap();
            backend.on_failed(attempt, now, 0.5);
        }
        assert!(begin(&mut backend, &[], now).is_none());
        assert_eq!(backend.open_for(now), Some(Duration::from_secs(5)));
        let later = now + Duration::from_secs(6);
        assert_eq!(backend.open_for(later), None);
        let attempt = begin(&mut backend, &[], later).unwrap();
        backend.on_connected(attempt, later, 0.5);
    }

    #[test]
    fn connections_that_stand_count_against_an_endpoint_until_they_end() {
        let now = start();
        let mut backend = backend(config(PickPolicy::LeastConnections, &[("a", 1), ("b", 3)]), now);
        let mut taken = HashMap::new();
        let mut last = None;
        for _ in 0..8 {
            let attempt = begin(&mut backend, &[], now).unwrap();
            *taken.entry(attempt.address.to_string()).or_insert(0) += 1;
            last = Some(attempt.endpoint);
            backend.on_connected(attempt, now, 0.5);
        }
        assert_eq!((taken["mem:a"], taken["mem:b"]), (2, 6));
        backend.on_closed(last.unwrap());
        assert_eq!(begin(&mut backend, &[], now).unwrap().endpoint, last.unwrap());
    }

    #[test]
    fn an_attempt_that_was_given_up_says_nothing_about_the_endpoint() {
        let now = start();
        let mut backend = backend(config(PickPolicy::RoundRobin, &[("a", 1)]), now);
        for _ in 0..50 {
            let attempt = begin(&mut backend, &[], now).unwrap();
            backend.on_cancelled(attempt, now, 0.5);
        }
        assert!(backend.peers.values().all(|peer| peer.active == 0));
        assert!(begin(&mut backend, &[], now).is_some());
    }

    #[test]
    fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_passes_again() {
        let now = start();
        let mut checked = config(PickPolicy::RoundRobin, &[("a", 1), ("b", 1)]);
        checked.health = Some(HealthConfig { fall: 1, rise: 1, ..HealthConfig::default() });
        checked.balance.panic_threshold = 0.0;
        let mut backend = backend(checked, now);
        let first = backend.members()[0].id;
        let later = now + Duration::from_secs(60);
        assert!(matches!(
            backend.on_health_timeout(first, 0, later, 0.5),
            Some(HealthAction::Check { .. })
        ));
        assert_eq!(backend.on_checked(first, false, later), HealthChange::Down);
        for _ in 0..4 {
            assert_ne!(begin(&mut backend, &[], later).unwrap().endpoint, first);
        }
        let again = later + Duration::from_secs(60);
        backend.on_health_timeout(first, 0, again, 0.5);
        assert_eq!(backend.on_checked(first, true, again), HealthChange::Up);
        assert!((0..4).any(|_| begin(&mut backend, &[], again).unwrap().endpoint == first));
    }

    #[test]
    fn an_endpoint_that_fails_more_than_the_others_is_left_out_for_a_while() {
        let now = start();
        let names: Vec<_> = (0..6).map(|name| name.to_string()).collect();
        let weights: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut unruly = config(PickPolicy::RoundRobin, &weights);
        unruly.breaker.consecutive_failures = 1_000_000;
        unruly.breaker.min_calls = 1_000_000;
        let mut backend = backend(unruly, now);
        let bad = backend.members()[2].id;
        for _ in 0..600 {
            let attempt = begin(&mut backend, &[], now).unwrap();
            if attempt.endpoint == bad {
                backend.on_failed(attempt, now, 0.5);
            } else {
                backend.on_connected(attempt, now, 0.5);
            }
        }
        let later = now + Duration::from_secs(11);
        for _ in 0..12 {
            assert_ne!(begin(&mut backend, &[], later).unwrap().endpoint, bad);
        }
    }

    #[test]
    fn a_key_goes_to_the_same_endpoint_and_weight_0_takes_nothing() {
        let now = start();
        let mut by_key = backend(config(PickPolicy::Maglev, &[("a", 1), ("b", 1), ("c", 0)]), now);
        let mut at =
            |key: u8| by_key.begin(Some(&[key]), &[], now, || 0.5).unwrap().address.to_string();
        for key in 0..100 {
            let address = at(key);
            assert_eq!(at(key), address);
            assert_ne!(address, "mem:c");
        }
    }

    #[test]
    fn an_endpoint_that_is_new_again_starts_with_a_part_of_its_weight() {
        let now = start();
        let mut slow = config(PickPolicy::Weighted, &[("a", 1), ("b", 1)]);
        slow.balance.slow_start = SlowStartConfig::gradual();
        let mut backend = backend(slow, now);
        let old = backend.members()[0].id;
        let grown = now + Duration::from_secs(60);
        if let Some(peer) = backend.peers.get_mut(&backend.members[1].id) {
            peer.since = grown;
        }
        let taken = (0..110).filter(|_| begin(&mut backend, &[], grown).unwrap().endpoint == old);
        let taken = taken.count();
        assert!((95..=105).contains(&taken), "{taken}");
    }
}
