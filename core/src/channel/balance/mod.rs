//! Which addresses of a channel are connected to, and which connection gets the next call.

mod pick_first;
mod spread;
#[cfg(test)]
mod tests;

use super::{
    ConnectivityState,
    health::Health,
    subchannel::{Connect, ConnectionNumber, Room, Subchannel},
};
use crate::{
    address::Address,
    backoff::{Backoff, BackoffConfig},
    config::LoadBalancing,
    endpoint::{Draw, Endpoint, EndpointId, EndpointSet},
    error::ConnectionError,
};
use pick_first::PickFirst;
use spread::Spread;
use std::time::{Duration, Instant};

/// What governs the connections of a channel.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) policy: LoadBalancing,
    pub(super) backoff: BackoffConfig,
    pub(super) min_connect_timeout: Duration,
    /// Connections to each address.
    pub(super) most_connections: u32,
    /// Whether servers are asked about their health, where calls are spread over several.
    pub(super) asks_health: bool,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action<C> {
    /// Make this attempt, and tell how it ended.
    Connect(Connect),
    /// Drop this attempt.
    Abandon(ConnectionNumber),
    /// Ask the server behind this connection about its health, until it is retired, and tell what it says.
    Watch { subchannel: EndpointId, number: ConnectionNumber, connection: C },
    /// Let this connection finish its calls, and close it.
    Retire(C),
    /// Look the addresses up again: those that are known do not work.
    Resolve,
}

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Picked<C> {
    /// On this connection of this address.
    On { subchannel: EndpointId, number: ConnectionNumber, connection: C },
    /// Nowhere yet: something is under way.
    Wait,
    /// Nowhere, for nothing works.
    Failing,
}

/// The addresses of a channel and the policy over them. `C` stands for a connection.
#[derive(Debug)]
pub(super) struct Balance<C> {
    terms: Terms,
    endpoints: EndpointSet,
    /// In the order of the set.
    subchannels: Vec<Subchannel<C>>,
    policy: Policy,
    next_number: u64,
    actions: Vec<Action<C>>,
}

#[derive(Debug)]
enum Policy {
    PickFirst(PickFirst),
    Spread(Spread),
}

impl<C: Clone> Balance<C> {
    pub(super) fn new(terms: Terms) -> Self {
        let policy = match &terms.policy {
            LoadBalancing::PickFirst { shuffle } => Policy::PickFirst(PickFirst::new(*shuffle)),
            LoadBalancing::RoundRobin
            | LoadBalancing::LeastRequest
            | LoadBalancing::RingHash { .. } => Policy::Spread(Spread::new(&terms.policy)),
        };
        Self {
            terms,
            endpoints: EndpointSet::default(),
            subchannels: Vec::new(),
            policy,
            next_number: 0,
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
                None => Subchannel::new(member.id, member.address.clone(), self.backoff()),
            });
        }
        for gone in &mut before {
            self.let_go(gone);
        }
        match &mut self.policy {
            Policy::PickFirst(policy) => policy.on_endpoints(&self.subchannels),
            Policy::Spread(policy) => policy.on_endpoints(&self.endpoints.members(), draw()),
        }
        self.advance(now, draw);
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
        let health = self.health_at_first(limit);
        let subchannel = self.subchannels.iter_mut().find(|subchannel| subchannel.id == id);
        let kept =
            subchannel.is_some_and(|s| s.on_connected(number, connection.clone(), limit, health));
        if !kept {
            self.actions.push(Action::Retire(connection));
            return;
        }
        if health == Health::Unknown {
            self.actions.push(Action::Watch { subchannel: id, number, connection });
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
        if !subchannel.is_some_and(|s| s.on_attempt_failed(number, why, now)) {
            return;
        }
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
        why: Option<ConnectionError>,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) {
        let subchannel = self.subchannels.iter_mut().find(|subchannel| subchannel.id == id);
        let Some(connection) = subchannel.and_then(|s| s.on_gone(number, why)) else { return };
        self.actions.push(Action::Retire(connection));
        self.actions.push(Action::Resolve);
        if let Policy::PickFirst(policy) = &mut self.policy {
            policy.on_gone(&self.subchannels);
        }
        self.advance(now, draw);
    }

    /// What is known of a connection's server before it was asked. One that carries a single call is not asked:
    /// the question would take its place.
    fn health_at_first(&self, limit: u32) -> Health {
        match &self.policy {
            Policy::Spread(_) if self.terms.asks_health && limit > 1 => Health::Unknown,
            Policy::Spread(_) | Policy::PickFirst(_) => Health::NotAsked,
        }
    }

    /// The server behind a connection says something else of its health; `why` if calls must not go there.
    pub(super) fn on_health(
        &mut self,
        id: EndpointId,
        number: ConnectionNumber,
        health: Health,
        why: Option<ConnectionError>,
    ) {
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            subchannel.set_health(number, health, why);
        }
    }

    /// The peer changed how many calls a connection carries.
    pub(super) fn set_limit(&mut self, id: EndpointId, number: ConnectionNumber, limit: u32) {
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            subchannel.set_limit(number, limit);
        }
    }

    /// A call has ended.
    pub(super) fn give_back(&mut self, id: EndpointId, number: ConnectionNumber) {
        if let Some(subchannel) = self.subchannels.iter_mut().find(|s| s.id == id) {
            subchannel.give_back(number);
        }
    }

    /// The clock reached `now`. Early and late calls are harmless.
    pub(super) fn on_timeout(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        for subchannel in &mut self.subchannels {
            subchannel.on_timeout(now);
        }
        self.advance(now, draw);
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let attempts = self.subchannels.iter().filter_map(Subchannel::next_attempt).min();
        let stagger = match &self.policy {
            Policy::PickFirst(policy) => policy.stagger_at(),
            Policy::Spread(_) => None,
        };
        attempts.into_iter().chain(stagger).min()
    }

    /// Forgets failures and tries again at once, as when the host knows that the network is back.
    pub(super) fn reset_backoff(&mut self, now: Instant, draw: &mut dyn FnMut() -> f64) {
        self.subchannels.iter_mut().for_each(Subchannel::reset_backoff);
        self.advance(now, draw);
    }

    /// Closes every connection once its calls have ended, and gives up every attempt.
    pub(super) fn rest(&mut self) {
        let mut all = std::mem::take(&mut self.subchannels);
        for subchannel in &mut all {
            self.let_go(subchannel);
        }
        self.endpoints = EndpointSet::default();
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
            Policy::Spread(policy) => policy.pick(&self.subchannels, most, drawn),
        };
        let Some(at) = chosen else { return self.nowhere() };
        let subchannel = &mut self.subchannels[at];
        match subchannel.room(most) {
            Room::Found(number, connection) => {
                Picked::On { subchannel: subchannel.id, number, connection }
            }
            Room::WantsConnection => {
                self.attempt(at, now, draw);
                Picked::Wait
            }
            Room::Full => Picked::Wait,
        }
    }

    fn nowhere(&self) -> Picked<C> {
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
            self.let_go(other);
        }
        self.subchannels = others;
    }

    fn let_go(&mut self, subchannel: &mut Subchannel<C>) {
        self.actions.extend(subchannel.abandon().map(Action::Abandon));
        self.actions.extend(subchannel.take_connections().into_iter().map(Action::Retire));
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.terms.backoff, self.terms.min_connect_timeout)
    }

    /// What keeps each address from working, for people.
    pub(super) fn failures(&self) -> Vec<(Address, Option<ConnectionError>, Option<Instant>)> {
        let failure = |subchannel: &Subchannel<C>| {
            let why = subchannel.last_failure().cloned();
            (subchannel.address.clone(), why, subchannel.next_attempt())
        };
        self.subchannels.iter().map(failure).collect()
    }
}
