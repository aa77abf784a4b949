//! One address of a channel: its connections, the attempt to make one more, and the wait after a failure.

use super::{
    ConnectivityState,
    balance::{Guard, ejected},
    connectivity::aggregate,
    health::Health,
    live::SeenAddress,
    tally::Tally,
};
use crate::{address::Address, backoff::Backoff, endpoint::EndpointId, error::ConnectionError};
use std::time::Instant;

/// Tells an attempt, and the connection that comes of it, from all others of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnectionNumber(pub(super) u64);

/// One address. `C` is what stands for a connection.
///
/// ```text
///           connect()            SETTINGS received
///   Idle ───────────▶ Connecting ───────────────▶ Ready
///    ▲                    │                         │
///    │ delay over         │ attempt failed          │ last connection lost, or GOAWAY
///    │                    ▼                         │
///    ├──────────── TransientFailure                 │
///    └──────────────────────────────────────────────┘
/// ```
///
/// With several connections an address is ready while it has one; attempts beside it show only after. Where servers
/// are asked about their health, a connection counts once its server says that calls are welcome: until it has said
/// anything the address is connecting, and while it says something else the address fails.
#[derive(Debug)]
pub(super) struct Subchannel<C> {
    pub(super) id: EndpointId,
    pub(super) address: Address,
    /// Oldest first.
    connections: Vec<Held<C>>,
    attempt: Attempt,
    backoff: Backoff,
    last_failure: Option<ConnectionError>,
    /// Whether it gets no calls because it failed more than the others.
    pub(super) is_ejected: bool,
    pub(super) guard: Guard,
    /// Attempts of calls that went there.
    pub(super) calls: Tally,
}

#[derive(Debug)]
enum Attempt {
    Resting,
    UnderWay(ConnectionNumber),
    Waiting { until: Instant },
}

#[derive(Debug)]
struct Held<C> {
    number: ConnectionNumber,
    value: C,
    in_flight: u32,
    limit: u32,
    health: Health,
    /// Calls of the limit that questions of ours take.
    questions: u32,
}

impl<C> Held<C> {
    fn has_room(&self) -> bool {
        self.health.takes_calls() && self.in_flight + self.questions < self.limit
    }

    fn state(&self) -> ConnectivityState {
        match self.health {
            Health::NotAsked | Health::Serving => ConnectivityState::Ready,
            Health::Unknown => ConnectivityState::Connecting,
            Health::NotServing => ConnectivityState::TransientFailure,
        }
    }
}

/// An attempt that is to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) subchannel: EndpointId,
    pub(super) number: ConnectionNumber,
    pub(super) address: Address,
    pub(super) give_up_at: Instant,
}

/// What an address says to one more call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room<C> {
    /// Send it on this connection; it counts until it is given back.
    Found(ConnectionNumber, C),
    /// Every connection is full; one more is worth making.
    WantsConnection,
    /// Every connection is full, or there is none.
    Full,
}

impl<C: Clone> Subchannel<C> {
    pub(super) fn new(id: EndpointId, address: Address, backoff: Backoff, guard: Guard) -> Self {
        Self {
            id,
            address,
            connections: Vec::new(),
            attempt: Attempt::Resting,
            backoff,
            last_failure: None,
            is_ejected: false,
            guard,
            calls: Tally::default(),
        }
    }

    pub(super) fn state(&self) -> ConnectivityState {
        let attempt = match (&self.attempt, self.connections.is_empty()) {
            (Attempt::UnderWay(_), _) => Some(ConnectivityState::Connecting),
            (Attempt::Waiting { .. }, _) => Some(ConnectivityState::TransientFailure),
            (Attempt::Resting, true) => Some(ConnectivityState::Idle),
            (Attempt::Resting, false) => None,
        };
        match aggregate(self.connections.iter().map(Held::state).chain(attempt)) {
            ConnectivityState::Ready if self.is_ejected => ConnectivityState::TransientFailure,
            state => state,
        }
    }

    /// What it looks like.
    pub(super) fn look(&self) -> SeenAddress {
        SeenAddress {
            id: self.id,
            address: self.address.clone(),
            state: self.state(),
            is_ejected: self.is_ejected,
            calls: self.calls,
            last_error: match self.is_ejected {
                true => Some(ejected(&self.address)),
                false => self.last_failure.clone(),
            },
            next_attempt: self.next_attempt(),
        }
    }

    /// When the next attempt may begin; `None` unless a failure is waited out.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        match self.attempt {
            Attempt::Waiting { until } => Some(until),
            Attempt::Resting | Attempt::UnderWay(_) => None,
        }
    }

    /// How many connections stand and were not told to end.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.connections.iter().map(|held| held.in_flight).sum()
    }

    /// Begins an attempt, unless one is under way or a failure is waited out. `unit` is a fresh draw from 0..1.
    pub(super) fn connect(
        &mut self,
        number: ConnectionNumber,
        now: Instant,
        unit: f64,
    ) -> Option<Connect> {
        match self.attempt {
            Attempt::UnderWay(_) | Attempt::Waiting { .. } => None,
            Attempt::Resting => {
                let give_up_at = self.backoff.on_attempt(now, unit).give_up_at;
                self.attempt = Attempt::UnderWay(number);
                let (subchannel, address) = (self.id, self.address.clone());
                Some(Connect { subchannel, number, address, give_up_at })
            }
        }
    }

    /// The attempt's connection has received the peer's SETTINGS, and carries at most `limit` calls, of
    /// which `questions` are ours. False if nobody waits for it any more: it is to be closed.
    pub(super) fn on_connected(
        &mut self,
        number: ConnectionNumber,
        value: C,
        limit: u32,
        (health, questions): (Health, u32),
    ) -> bool {
        if !self.is_under_way(number) {
            return false;
        }
        self.attempt = Attempt::Resting;
        self.backoff.on_connected();
        self.last_failure = None;
        self.connections.push(Held { number, value, in_flight: 0, limit, health, questions });
        true
    }

    /// The attempt failed. Returns whether it was still waited for.
    pub(super) fn on_attempt_failed(
        &mut self,
        number: ConnectionNumber,
        why: ConnectionError,
        now: Instant,
    ) -> bool {
        if !self.is_under_way(number) {
            return false;
        }
        self.attempt = Attempt::Waiting { until: self.backoff.on_failure(now) };
        self.last_failure = Some(why);
        true
    }

    /// The connection takes no new calls: it is lost, or its peer said GOAWAY.
    pub(super) fn on_gone(
        &mut self,
        number: ConnectionNumber,
        why: Option<ConnectionError>,
    ) -> Option<C> {
        let at = self.connections.iter().position(|held| held.number == number)?;
        self.last_failure = why.or_else(|| self.last_failure.take());
        Some(self.connections.remove(at).value)
    }

    /// The clock reached `now`. Returns whether that ended a wait.
    pub(super) fn on_timeout(&mut self, now: Instant) -> bool {
        match self.attempt {
            Attempt::Waiting { until } if until <= now => {
                self.attempt = Attempt::Resting;
                true
            }
            Attempt::Waiting { .. } | Attempt::Resting | Attempt::UnderWay(_) => false,
        }
    }

    /// Forgets failures: a wait ends now, and the next one is the first again.
    pub(super) fn reset_backoff(&mut self) {
        match self.attempt {
            Attempt::Waiting { .. } => {
                self.attempt = Attempt::Resting;
                self.backoff.reset();
            }
            Attempt::Resting => self.backoff.reset(),
            Attempt::UnderWay(_) => {}
        }
    }

    /// Gives up the attempt that is under way, if one is; that is no failure.
    pub(super) fn abandon(&mut self) -> Option<ConnectionNumber> {
        match self.attempt {
            Attempt::UnderWay(number) => {
                self.attempt = Attempt::Resting;
                Some(number)
            }
            Attempt::Resting | Attempt::Waiting { .. } => None,
        }
    }

    /// Takes every connection out.
    pub(super) fn take_connections(&mut self) -> Vec<C> {
        self.connections.drain(..).map(|held| held.value).collect()
    }

    /// A place for one more call: on the oldest connection that has one.
    pub(super) fn room(&mut self, most_connections: u32) -> Room<C> {
        if let Some(held) = self.connections.iter_mut().find(|held| held.has_room()) {
            held.in_flight += 1;
            return Room::Found(held.number, held.value.clone());
        }
        let may_grow = self.connections.len() < most_connections as usize;
        let is_full = self.connections.iter().any(|held| held.health.takes_calls());
        match self.attempt {
            Attempt::Resting if may_grow && is_full => Room::WantsConnection,
            Attempt::Resting | Attempt::UnderWay(_) | Attempt::Waiting { .. } => Room::Full,
        }
    }

    /// Whether what stands before it lets one more call through.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.guard.admits(self.in_flight(), now)
    }

    /// Whether a connection has a place.
    pub(super) fn has_room(&self) -> bool {
        !self.is_ejected && self.connections.iter().any(Held::has_room)
    }

    /// A call on this connection has ended.
    pub(super) fn give_back(&mut self, number: ConnectionNumber) {
        if let Some(held) = self.connections.iter_mut().find(|held| held.number == number) {
            debug_assert!(held.in_flight > 0, "a place is given back once");
            held.in_flight = held.in_flight.saturating_sub(1);
        }
    }

    /// The server behind a connection says something else of its health; `why` if calls must not go there.
    pub(super) fn set_health(
        &mut self,
        number: ConnectionNumber,
        health: Health,
        why: Option<ConnectionError>,
    ) {
        if let Some(held) = self.connections.iter_mut().find(|held| held.number == number) {
            held.health = health;
            self.last_failure = why;
        }
    }

    /// The peer changed how many calls a connection carries.
    pub(super) fn set_limit(&mut self, number: ConnectionNumber, limit: u32) {
        if let Some(held) = self.connections.iter_mut().find(|held| held.number == number) {
            held.limit = limit;
        }
    }

    fn is_under_way(&self, number: ConnectionNumber) -> bool {
        matches!(self.attempt, Attempt::UnderWay(current) if current == number)
    }
}
