//! Which addresses of a channel are connected to, and which connection gets the next call.

mod feedback;
mod guard;
mod pick_first;
mod spread;
mod terms;
#[cfg(test)]
mod tests;
mod weighing;

pub(super) use guard::Guard;
pub(super) use terms::{Action, Done, Picked, Terms, Topic, ejected};

use super::{
    ConnectivityState,
    health::Health,
    live::SeenAddress,
    subchannel::{ConnectionNumber, Room, Subchannel},
    tally::RetireReason,
};
use crate::{
    address::Address,
    backoff::Backoff,
    config::LoadBalancing,
    endpoint::{Draw, Endpoint, EndpointId, EndpointSet, OutlierDetector, pick::subset},
    error::ConnectionError,
};
use pick_first::PickFirst;
use spread::Spread;
use std::time::Instant;

/// The addresses of a channel and the policy over them. `C` stands for a connection.
#[derive(Debug)]
pub(super) struct Balance<C> {
    terms: Terms,
    endpoints: EndpointSet,
    /// In the order of the set.
    subchannels: Vec<Subchannel<C>>,
    policy: Policy,
    /// Made with the first addresses, where calls are spread.
    outliers: Option<OutlierDetector>,
    /// Which addresses are used where not all are; drawn once.
    seed: Option<u64>,
    next_number: u64,
    /// What failed last, until somebody asks.
    failure: Option<ConnectionError>,
    actions: Vec<Action<C>>,
}

#[derive(Debug)]
enum Policy {
    PickFirst(PickFirst),
    Spread(Box<Spread>),
}

impl<C: Clone> Balance<C> {
    pub(super) fn new(terms: Terms) -> Self {
        let policy = match &terms.policy {
            LoadBalancing::PickFirst { shuffle } => Policy::PickFirst(PickFirst::new(*shuffle)),
            LoadBalancing::RoundRobin
            | LoadBalancing::WeightedRoundRobin(_)
            | LoadBalancing::LeastRequest { .. }
            | LoadBalancing::RingHash { .. } => {
                Policy::Spread(Box::new(Spread::new(&terms.policy)))
            }
        };
        Self {
            terms,
            endpoints: EndpointSet::default(),
            subchannels: Vec::new(),
            policy,
            outliers: None,
            seed: None,
            next_number: 0,
            failure: None,
            actions: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub(super) fn take_actions(&mut self) -> Vec<Action<C>> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn state(&self) -> ConnectivityState {
        match &self.policy {
            Policy::PickFirst(policy) => policy.state(&self.subchannels),
            Policy::Spread(_) => {
                super::connectivity::aggregate(self.subchannels.iter().map(Subchannel::state))
            }
        }
    }

    /// What failed last since this was asked.
    pub(super) fn take_failure(&mut self) -> Option<ConnectionError> {
        self.failure.take()
    }

    pub(super) fn has_endpoints(&self) -> bool {
        !self.subchannels.is_empty()
    }

    #[cfg(test)]
    pub(super) fn subchannels(&self) -> &[Subchannel<C>] {
        &self.subchannels
    }

    /// These are the addresses now. Those that stay keep their connections.
    pub(super) fn on_endpoints(
        &mut self,
        listed: Vec<Endpoint>,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        let listed = self.some_of(listed, draw);
        let listed = match &self.policy {
            Policy::PickFirst(policy) => policy.arrange(listed, draw),
            Policy::Spread(_) => listed,
        };
        self.endpoints.replace(listed, now);
        let mut before = std::mem::take(&mut self.subchannels);
        for member in self.endpoints.members().iter() {
            let known = before.iter().position(|subchannel| subchannel.id == member.id);
            self.subchannels.push(match known {
                Some(at) => before.swap_remove(at),
                None => {
                    let guard = Guard::new(&self.terms.circuit, now);
                    Subchannel::new(member.id, member.address.clone(), self.backoff(), guard)
                }
            });
        }
        for gone in &mut before {
            self.let_go(gone, RetireReason::Unlisted);
        }
        match &mut self.policy {
            Policy::PickFirst(policy) => policy.on_endpoints(&self.subchannels),
            Policy::Spread(policy) => {
                policy.on_endpoints(&self.endpoints.members(), draw());
                self.watch_for_outliers(now);
            }
        }
        self.advance(now, draw);
    }

    fn some_of(&mut self, listed: Vec<Endpoint>, draw: &mut dyn FnMut() -> f64) -> Vec<Endpoint> {
        let Some(size) = self.terms.subset else { return listed };
        let seed = *self.seed.get_or_insert_with(|| draw().to_bits());
        subset(listed, size as usize, seed)
    }

    /// Somebody wants to call: leaves idle.
    pub(super) fn connect(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        match &mut self.policy {
            Policy::PickFirst(policy) => policy.connect(),
            Policy::Spread(_) => {}
        }
        self.advance(now, draw);
    }

    /// An attempt has brought a connection that carries at most `limit` calls. It is retired if nobody waits for
    /// it any more.
    pub(super) fn on_connected(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        connection: C,
        limit: u32,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        let topics = self.topics(limit);
        let health = match topics.contains(&Topic::Health) {
            true => Health::Unknown,
            false => Health::NotAsked,
        };
        let terms = (health, topics.len() as u32);
        let subchannel = self.subchannels.iter_mut().find(|subchannel| subchannel.id == id);
        let kept =
            subchannel.is_some_and(|s| s.on_connected(number, connection.clone(), limit, terms));
        if !kept {
            self.actions.push(Action::Retire(connection, RetireReason::Surplus));
            return;
        }
        for topic in topics {
            let connection = connection.clone();
            self.actions.push(Action::Ask { topic, subchannel: id, number, connection });
        }
        if let Policy::PickFirst(policy) = &mut self.policy
            && policy.on_connected(id)
        {
            self.keep_only(id);
        }
        self.advance(now, draw);
    }

    /// An attempt has failed.
    pub(super) fn on_attempt_failed(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        why: ConnectionError,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        let count = self.subchannels.len();
        let subchannel = self.subchannels.iter_mut().find(|subchannel| subchannel.id == id);
        let failure = Some(why.clone());
        if !subchannel.is_some_and(|s| s.on_attempt_failed(number, why, now)) {
            return;
        }
        self.failure = failure;
        let is_hopeless = match &mut self.policy {
            Policy::PickFirst(policy) => policy.on_attempt_failed(count),
            Policy::Spread(_) => true,
        };
        if is_hopeless {
            self.actions.push(Action::Resolve);
        }
        self.advance(now, draw);
    }

    /// A connection takes no new calls: it was lost, or its peer said GOAWAY.
    pub(super) fn on_gone(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        (reason, why): (RetireReason, Option<ConnectionError>),
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        let subchannel = self.subchannels.iter_mut().find(|subchannel| subchannel.id == id);
        let failure = why.clone();
        let Some(connection) = subchannel.and_then(|s| s.on_gone(number, why)) else { return };
        self.failure = failure.or_else(|| self.failure.take());
        self.actions.push(Action::Retire(connection, reason));
        self.actions.push(Action::Resolve);
        let is_left = self.subchannels.iter().any(|s| s.id == id && s.connections() > 0);
        match &mut self.policy {
            Policy::PickFirst(policy) => policy.on_gone(&self.subchannels),
            Policy::Spread(policy) if !is_left => policy.on_gone(id),
            Policy::Spread(_) => {}
        }
        self.advance(now, draw);
    }

    /// The clock reached `now`. Early and late calls are harmless.
    pub(super) fn on_timeout(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        for subchannel in &mut self.subchannels {
            subchannel.on_timeout(now);
        }
        self.sweep(now, draw);
        self.advance(now, draw);
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let attempts = self.subchannels.iter().filter_map(Subchannel::next_attempt).min();
        let stagger = match &self.policy {
            Policy::PickFirst(policy) => policy.stagger_at(),
            Policy::Spread(_) => None,
        };
        let watched = self.outliers.as_ref().filter(|_| self.has_endpoints());
        let sweep = watched.map(OutlierDetector::next_sweep);
        [attempts, stagger, sweep].into_iter().flatten().min()
    }

    /// Forgets failures and tries again at once, as when the host knows that the network is back.
    pub(super) fn reset_backoff(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        self.subchannels.iter_mut().for_each(Subchannel::reset_backoff);
        self.advance(now, draw);
    }

    /// Closes every connection once its calls have ended, for this reason, and gives up every attempt.
    pub(super) fn rest(&mut self, reason: RetireReason) {
        let mut all = std::mem::take(&mut self.subchannels);
        for subchannel in &mut all {
            self.let_go(subchannel, reason);
        }
        self.endpoints = EndpointSet::default();
        if let Some(detector) = &mut self.outliers {
            detector.set_members([]);
        }
        match &mut self.policy {
            Policy::PickFirst(policy) => policy.rest(),
            Policy::Spread(policy) => policy.on_endpoints(&[], 0.0),
        }
    }

    /// Where one more call goes.
    pub(super) fn pick(
        &mut self,
        drawn: Draw<'_>,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) -> Picked<C> {
        let most = self.terms.most_connections;
        let chosen = match &mut self.policy {
            Policy::PickFirst(policy) => policy.pick(&self.subchannels),
            Policy::Spread(policy) => policy.pick(&self.subchannels, most, drawn, now),
        };
        let Some(at) = chosen else { return self.nowhere(now) };
        let subchannel = &mut self.subchannels[at];
        if !subchannel.admits(now) {
            return Picked::Refused;
        }
        match subchannel.room(most) {
            Room::Found(number, connection) => {
                let pass = subchannel.guard.on_call(now);
                subchannel.calls.on_start(now);
                Picked::On { subchannel: subchannel.id, number, connection, pass }
            }
            Room::WantsConnection => {
                self.attempt(at, now, draw);
                Picked::Wait
            }
            Room::Full => Picked::Wait,
        }
    }

    fn nowhere(&self, now: Instant) -> Picked<C> {
        let is_ready = |s: &&Subchannel<C>| s.state() == ConnectivityState::Ready;
        let mut ready = self.subchannels.iter().filter(is_ready).peekable();
        if ready.peek().is_some() && ready.all(|subchannel| !subchannel.admits(now)) {
            return Picked::Refused;
        }
        match self.state() {
            ConnectivityState::TransientFailure | ConnectivityState::Shutdown => Picked::Failing,
            ConnectivityState::Idle | ConnectivityState::Connecting | ConnectivityState::Ready => {
                Picked::Wait
            }
        }
    }

    /// Begins the attempts that the policy wants now.
    fn advance(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        let was_failing = self.has_given_up();
        let wanted = match &mut self.policy {
            Policy::PickFirst(policy) => policy.wanted(&self.subchannels, now),
            Policy::Spread(policy) => policy.wanted(&self.subchannels),
        };
        if self.has_given_up() && !was_failing {
            self.actions.push(Action::Resolve);
        }
        for at in wanted {
            self.attempt(at, now, draw);
        }
    }

    fn has_given_up(&self) -> bool {
        match &self.policy {
            Policy::PickFirst(policy) => policy.is_failing(),
            Policy::Spread(_) => false,
        }
    }

    fn attempt(&mut self, at: usize, now: Instant, draw: &mut dyn FnMut() -> f64) {
        let number = ConnectionNumber(self.next_number);
        if let Some(connect) = self.subchannels[at].connect(number, now, draw()) {
            self.next_number += 1;
            self.actions.push(Action::Connect(connect));
        }
    }

    /// One address answered: the attempts to the others are given up, and their connections.
    fn keep_only(&mut self, id: EndpointId) {
        let mut others = std::mem::take(&mut self.subchannels);
        for other in others.iter_mut().filter(|other| other.id != id) {
            self.let_go(other, RetireReason::Surplus);
        }
        self.subchannels = others;
    }

    fn let_go(&mut self, subchannel: &mut Subchannel<C>, reason: RetireReason) {
        self.actions.extend(subchannel.abandon().map(Action::Abandon));
        let connections = subchannel.take_connections().into_iter();
        self.actions.extend(connections.map(|one| Action::Retire(one, reason)));
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.terms.backoff, self.terms.min_connect_timeout)
    }

    /// What each address looks like.
    pub(super) fn look(&self) -> Vec<SeenAddress> {
        self.subchannels.iter().map(Subchannel::look).collect()
    }

    /// What keeps each address from working, for people.
    pub(super) fn failures(&self) -> Vec<(Address, Option<ConnectionError>, Option<Instant>)> {
        let failure = |seen: SeenAddress| (seen.address, seen.last_error, seen.next_attempt);
        self.look().into_iter().map(failure).collect()
    }
}
