//! Decides which endpoint of a backend gets a connection, from how those before it went.

use super::{
    endpoints::EndpointReason,
    names::{NameAction, NameTask, Names},
};
use crate::{
    address::Address,
    config::{BackendConfig, EndpointCheck, PickPolicy, is_tls},
    endpoint::{
        Availability, Breaker, Draw, Endpoint, EndpointId, EndpointSet, HealthAction, HealthChange,
        HealthCheck, Lookup, Member, Outcome, OutlierDetector, Pass, PeakEwma, Peers, Picker,
        cold_estimate, pick::Weighted,
    },
    error::ConnectionError,
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;
mod view;

/// How often weights that grow, and the median of all latencies, are looked at.
const REWEIGH: Duration = Duration::from_secs(1);

/// The endpoints of a backend, and what is known of each.
#[derive(Debug)]
pub(super) struct Backend {
    config: BackendConfig,
    names: Names,
    set: EndpointSet,
    members: Arc<[Member]>,
    picker: Picker,
    peers: HashMap<EndpointId, Peer>,
    outliers: OutlierDetector,
    usable: Availability,
    reweigh_at: Instant,
    /// What an endpoint that was never connected to counts as.
    cold: Duration,
    /// Drawn for each round of checks.
    next_round: u64,
}

#[derive(Debug)]
struct Peer {
    breaker: Breaker,
    /// Connections that stand.
    active: u64,
    /// How long it takes to connect.
    latency: PeakEwma,
    health: Option<Checked>,
    /// The name that led to its address.
    host: Option<Box<str>>,
    /// Since when it is in use: in the set, or healthy again.
    since: Instant,
    /// When a sweep let it back in, at the latest.
    back: Instant,
    /// Its weight, and since when that is its weight.
    weighed: (u32, Instant),
    /// Its last check that failed.
    failed_check: Option<EndpointReason>,
    /// The last attempt that did.
    failed_connect: Option<EndpointReason>,
}

/// The checks of one endpoint by one configuration, whoever makes them.
#[derive(Debug)]
struct Checked {
    check: HealthCheck,
    round: u64,
}

/// What a check of an endpoint came to.
#[derive(Debug)]
pub(super) enum CheckOutcome {
    Passed,
    Failed(EndpointReason),
    /// It told nothing.
    Nothing,
}

/// An attempt to connect that may begin now, to be given back with how it ended.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) endpoint: EndpointId,
    pub(super) address: Address,
    /// Whom its certificate must be for, where its address does not say that.
    pub(super) host: Option<Box<str>>,
    began: Instant,
    pass: Pass,
}

/// What another list of endpoints changed.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Those of which a new round of checks begins.
    pub(super) checked: Vec<(Member, u64)>,
    /// Those that are no longer in it.
    pub(super) removed: Vec<Member>,
    /// Those hosts of which a new round of look-ups begins.
    pub(super) named: Vec<NameTask>,
}

impl Backend {
    /// Starts with the endpoints of `config`, all of them unchecked, and without those that are names. `unit` are fresh
    /// draws from 0..1.
    pub(super) fn new(config: BackendConfig, now: Instant, mut unit: impl FnMut() -> f64) -> Self {
        let mut set = EndpointSet::default();
        let mut names = Names::new(config.resolve);
        names.reconfigure(&config);
        set.replace(listed(&config, &names), now);
        let members = set.members();
        let picker = Picker::new(&config.balance, &members, unit());
        let usable = Availability::new([], config.balance.panic_threshold);
        let outliers = OutlierDetector::new(config.outlier, now);
        let peers = HashMap::new();
        let mut backend = Self {
            cold: config.balance.ewma.cold,
            config,
            names,
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
    /// checks where their figures are the same.
    pub(super) fn reconfigure(
        &mut self,
        config: BackendConfig,
        now: Instant,
        unit: impl FnMut() -> f64,
    ) -> Change {
        let before = std::mem::replace(&mut self.config, config);
        let first_new = self.next_round;
        let named = self.names.reconfigure(&self.config);
        let removed = self.set.replace(listed(&self.config, &self.names), now).removed;
        self.members = self.set.members();
        if before.breaker != self.config.breaker {
            let breaker = Breaker::new(self.config.breaker, now);
            self.peers.values_mut().for_each(|peer| peer.breaker = breaker.clone());
        }
        if before.balance.ewma != self.config.balance.ewma {
            let ewma = self.config.balance.ewma;
            self.peers.values_mut().for_each(|peer| peer.latency = PeakEwma::new(ewma, now));
            self.cold = ewma.cold;
        }
        if before.health != self.config.health {
            self.peers.values_mut().for_each(|peer| peer.health = None);
        }
        if before.outlier != self.config.outlier {
            self.outliers = OutlierDetector::new(self.config.outlier, now);
        }
        Change { checked: self.enlist_all(first_new, now, unit), removed, named }
    }

    /// Takes the new list, and says of which a round of checks begins that is not before `first_new`.
    fn enlist_all(
        &mut self,
        first_new: u64,
        now: Instant,
        mut unit: impl FnMut() -> f64,
    ) -> Vec<(Member, u64)> {
        self.picker = Picker::new(&self.config.balance, &self.members, unit());
        self.reweigh_at = now;
        self.enlist(now, &mut unit);
        self.checked().into_iter().filter(|(_, round)| *round >= first_new).collect()
    }

    /// Its endpoints are neither checked nor looked up any longer. Says which they were.
    pub(super) fn retire(&mut self) -> Arc<[Member]> {
        self.peers.values_mut().for_each(|peer| peer.health = None);
        self.names.retire();
        self.members()
    }

    /// Its hosts that are to be looked up, all of them.
    pub(super) fn named(&self) -> Vec<NameTask> {
        self.names.tasks(&self.config)
    }

    /// Whether a name has told nothing yet.
    pub(super) fn waits_for_names(&self) -> bool {
        self.names.is_pending()
    }

    /// Why there is no endpoint, where that lies with a name.
    pub(super) fn why_none(&self) -> Option<ConnectionError> {
        self.members.is_empty().then(|| self.names.why().cloned()).flatten()
    }

    /// What is due in a round of look-ups of a host, and what that changed; `None` once it is over.
    pub(super) fn on_name_timeout(
        &mut self,
        task: &NameTask,
        now: Instant,
        unit: impl FnMut() -> f64,
    ) -> Option<(NameAction, Change)> {
        let (action, changed) = self.names.on_timeout(&task.host, task.round, now)?;
        Some((action, self.relist(changed, now, unit)))
    }

    /// A look-up ended; what that changed.
    pub(super) fn on_looked_up(
        &mut self,
        task: &NameTask,
        lookup: Lookup,
        found: Result<Vec<IpAddr>, ConnectionError>,
        now: Instant,
        mut unit: impl FnMut() -> f64,
    ) -> Change {
        let changed = self.names.on_looked_up(&task.host, lookup, found, now, unit());
        self.relist(changed, now, unit)
    }

    /// Puts another list in the place of that of now, all of it at once, if names lead elsewhere.
    fn relist(&mut self, is_other: bool, now: Instant, unit: impl FnMut() -> f64) -> Change {
        if !is_other {
            return Change::default();
        }
        let first_new = self.next_round;
        let change = self.set.replace(listed(&self.config, &self.names), now);
        if change.is_empty() {
            return Change::default();
        }
        self.members = self.set.members();
        let checked = self.enlist_all(first_new, now, unit);
        Change { checked, removed: change.removed, named: Vec::new() }
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
        let given = self.config.endpoints.iter();
        let places = given.flat_map(|endpoint| self.names.places(&endpoint.address));
        let mut hosts: HashMap<_, _> =
            places.filter_map(|(address, host)| Some((address, host?))).collect();
        for member in &*self.members {
            let mut peer = before.remove(&member.id).unwrap_or_else(|| Peer {
                breaker: Breaker::new(self.config.breaker, now),
                active: 0,
                latency: PeakEwma::new(self.config.balance.ewma, now),
                host: hosts.remove(&member.address),
                health: None,
                since: member.since,
                back: member.since,
                weighed: (member.weight, member.since),
                failed_check: None,
                failed_connect: None,
            });
            if peer.weighed.0 != member.weight {
                peer.weighed = (member.weight, now);
            }
            if let (None, Some(health)) = (&peer.health, &self.config.health) {
                let check = HealthCheck::new(health.clone(), now, unit());
                peer.health = Some(Checked { check, round: self.next_round });
                self.next_round += 1;
            }
            self.peers.insert(member.id, peer);
        }
        self.outliers.set_members(self.members.iter().map(|member| member.id));
        self.judge();
    }

    /// How an endpoint is checked in this round, and the name that led to its address; `None` once the round is over.
    pub(super) fn check(
        &self,
        endpoint: EndpointId,
        round: u64,
    ) -> Option<(EndpointCheck, Option<Box<str>>)> {
        let peer = self.peers.get(&endpoint)?;
        let is_newest = peer.health.as_ref().is_some_and(|checked| checked.round == round);
        let health = self.config.health.as_ref().filter(|_| is_newest)?;
        Some((health.check.clone(), peer.host.clone()))
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
        let address = member.address.clone();
        let host = peer.host.clone().filter(|_| is_tls(&address));
        Some(Attempt { endpoint: member.id, address, host, began: now, pass })
    }

    /// The attempt became a connection, which counts until [`on_closed`](Self::on_closed).
    pub(super) fn on_connected(&mut self, attempt: Attempt, now: Instant, unit: f64) {
        let latency = now.saturating_duration_since(attempt.began);
        let endpoint = self.end(attempt, Outcome::Success, now, unit);
        self.outliers.on_outcome(endpoint, true);
        if let Some(peer) = self.peers.get(&endpoint) {
            peer.latency.on_success(latency, now);
        }
    }

    /// The endpoint refused, or did not answer in time.
    pub(super) fn on_failed(
        &mut self,
        attempt: Attempt,
        error: &ConnectionError,
        now: Instant,
        unit: f64,
    ) {
        let endpoint = self.end(attempt, Outcome::Failure, now, unit);
        self.outliers.on_outcome(endpoint, false);
        if let Some(peer) = self.peers.get_mut(&endpoint) {
            peer.latency.on_failure(now);
            peer.failed_connect = Some(EndpointReason::of_connect(error));
        }
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

    /// A check of an endpoint ended; says what that changed. One of an older round changes nothing.
    pub(super) fn on_checked(
        &mut self,
        endpoint: EndpointId,
        round: u64,
        outcome: CheckOutcome,
        now: Instant,
    ) -> HealthChange {
        let Some(peer) = self.peers.get_mut(&endpoint) else { return HealthChange::Nothing };
        let checked = peer.health.as_mut().filter(|checked| checked.round == round);
        let Some(checked) = checked else { return HealthChange::Nothing };
        let change = match outcome {
            CheckOutcome::Passed => checked.check.on_result(true, now),
            CheckOutcome::Failed(reason) => {
                peer.failed_check = Some(reason);
                checked.check.on_result(false, now)
            }
            CheckOutcome::Nothing => {
                checked.check.on_nothing(now);
                HealthChange::Nothing
            }
        };
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
            for back in self.outliers.on_sweep(now, unit).returned {
                if let Some(peer) = self.peers.get_mut(&back) {
                    peer.back = now;
                }
            }
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

    /// Brings what the policy goes by, and would cost too much to look at for each attempt, up to date.
    fn reweigh(&mut self, now: Instant, unit: f64) {
        if now < self.reweigh_at {
            return;
        }
        self.reweigh_at = now + REWEIGH;
        match self.config.balance.policy {
            // Goes by weights alone, which grow while endpoints are new.
            PickPolicy::Weighted if !self.config.balance.slow_start.window.is_zero() => {
                let weight = |member| self.weight(member, now);
                let weights: Vec<_> = self.members.iter().map(weight).collect();
                self.picker = Picker::Weighted(Weighted::new(weights, unit));
            }
            PickPolicy::P2c => {
                let known = self.peers.values().filter_map(|peer| peer.latency.estimate(now));
                self.cold = cold_estimate(&self.config.balance.ewma, known);
            }
            PickPolicy::Weighted
            | PickPolicy::RoundRobin
            | PickPolicy::LeastConnections
            | PickPolicy::RingHash
            | PickPolicy::Maglev => {}
        }
    }

    fn weight(&self, member: &Member, now: Instant) -> f64 {
        let since = self.peers.get(&member.id).map_or(member.since, |peer| peer.since);
        f64::from(member.weight) * self.config.balance.slow_start.share(since, now)
    }
}

fn listed(config: &BackendConfig, names: &Names) -> impl Iterator<Item = Endpoint> {
    config.endpoints.iter().flat_map(|endpoint| {
        let places = names.places(&endpoint.address).into_iter();
        places.map(|(address, _)| Endpoint { address, weight: endpoint.weight })
    })
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
        let Backend { members, peers, config, cold, .. } = self.backend;
        let Some(member) = members.get(index) else { return f64::INFINITY };
        let Some(peer) = peers.get(&member.id) else { return f64::INFINITY };
        let load = match config.balance.policy {
            PickPolicy::P2c => peer.latency.load(peer.active, *cold, self.now),
            // The others that ask count connections.
            _ => (peer.active + 1) as f64,
        };
        load / self.backend.weight(member, self.now)
    }
}
