//! What a channel knows and decides, under its one lock.

use super::{
    ConnectivityState,
    balance::{Action, Balance, Picked, Terms},
    connectivity::Told,
    history::Changes,
    idle::Idleness,
    keepalive::PingTime,
    live::Seen,
    resolution::{Resolution, Wanted},
    status::Unreached,
    subchannel::ConnectionNumber,
    tally::{ChannelPoolStats, RetireReason, Tally},
    target::Target,
};
use crate::{
    config::{ConnectionConfig, LoadBalancing},
    endpoint::{Draw, Endpoint, EndpointId, Pass},
    error::ConnectionError,
};
use std::{collections::VecDeque, time::Instant};

/// A channel. `C` stands for a connection, `W` for somebody who waits for one.
#[derive(Debug)]
pub(super) struct State<C, W> {
    target: Target,
    terms: Terms,
    pub(super) balance: Balance<C>,
    pub(super) resolution: Resolution,
    pub(super) idle: Idleness,
    pub(super) ping: PingTime,
    told: Told,
    pub(super) changes: Changes,
    made: Instant,
    pub(super) calls: Tally,
    pub(super) pool: ChannelPoolStats,
    life: Life,
    queue: VecDeque<Waiting<W>>,
    queue_limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Nobody calls: no connection, no look-up.
    Resting,
    Awake,
    Closed,
}

/// A call that waits for a connection.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    /// What its hash is taken of, where calls are spread by key.
    pub(super) key: Option<Box<[u8]>>,
    /// Whether it also waits while nothing works.
    pub(super) for_ready: bool,
    pub(super) who: W,
}

/// Somebody who waits, and may go away meanwhile.
pub(super) trait Waiter {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// Where a call goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed<C> {
    pub(super) subchannel: EndpointId,
    pub(super) number: ConnectionNumber,
    pub(super) connection: C,
    pub(super) pass: Option<Pass>,
    pub(super) at: Instant,
}

/// What somebody who waited is told.
#[derive(Debug)]
pub(super) enum Answer<C> {
    Placed(Placed<C>),
    Failing(Unreached),
    Refused,
    Closed,
}

/// What the driver must do once the lock is released.
#[derive(Debug)]
pub(super) struct Work<C, W> {
    pub(super) actions: Vec<Action<C>>,
    pub(super) answers: Vec<(W, Answer<C>)>,
    pub(super) lookup: Option<Wanted>,
    pub(super) state: ConnectivityState,
    /// The number of the last change of that state.
    pub(super) changes: u64,
    pub(super) wake_at: Option<Instant>,
}

impl<C: Clone, W: Waiter> State<C, W> {
    pub(super) fn new(
        target: Target,
        terms: Terms,
        config: &ConnectionConfig,
        now: Instant,
    ) -> Self {
        Self {
            balance: Balance::new(terms.clone()),
            resolution: Resolution::new(&target.kind, config),
            idle: Idleness::new(config.idle_timeout, now),
            ping: PingTime::new(&config.keepalive),
            told: Told::default(),
            changes: Changes::new(config.state_history),
            made: now,
            calls: Tally::default(),
            pool: ChannelPoolStats::default(),
            life: Life::Resting,
            queue: VecDeque::new(),
            queue_limit: config.max_queued_calls as usize,
            target,
            terms,
        }
    }

    pub(super) fn state(&self) -> ConnectivityState {
        self.told.state()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// A call wants a connection. `Err` gives back who is one too many.
    pub(super) fn on_waiting(
        &mut self,
        waiting: Waiting<W>,
        now: Instant,
        draw: Unit<'_>,
    ) -> Result<(), W> {
        self.wake(now, draw);
        if self.queue.len() >= self.queue_limit {
            return Err(waiting.who);
        }
        self.pool.misses += 1;
        self.queue.push_back(waiting);
        Ok(())
    }

    /// A place at once, unless others wait already.
    pub(super) fn place_now(
        &mut self,
        key: Option<&[u8]>,
        now: Instant,
        draw: Unit<'_>,
    ) -> Option<Placed<C>> {
        if !self.queue.is_empty() || self.life != Life::Awake {
            return None;
        }
        let drawn = Draw { key, units: [draw(), draw()] };
        match self.balance.pick(drawn, now, draw) {
            Picked::On { subchannel, number, connection, pass } => {
                self.pool.hits += 1;
                Some(Placed { subchannel, number, connection, pass, at: now })
            }
            Picked::Wait | Picked::Failing | Picked::Refused => None,
        }
    }

    /// Somebody wants a connection without a call.
    pub(super) fn connect(&mut self, now: Instant, draw: Unit<'_>) {
        self.idle.on_use(now);
        self.wake(now, draw);
        self.balance.connect(now, draw);
    }

    fn wake(&mut self, now: Instant, draw: Unit<'_>) {
        if self.life != Life::Resting {
            return;
        }
        self.life = Life::Awake;
        self.start_anew(ConnectivityState::Connecting, now);
        match self.resolution.at_hand(now) {
            Some(endpoints) => self.balance.on_endpoints(endpoints, now, draw),
            None => self.resolution.need(),
        }
        self.balance.connect(now, draw);
    }

    /// A look-up found these addresses.
    pub(super) fn on_endpoints(&mut self, endpoints: Vec<Endpoint>, now: Instant, draw: Unit<'_>) {
        if self.life == Life::Awake {
            self.balance.on_endpoints(endpoints, now, draw);
            self.balance.connect(now, draw);
        }
    }

    /// The clock reached `now`.
    pub(super) fn on_timeout(&mut self, now: Instant, draw: Unit<'_>) {
        self.balance.on_timeout(now, draw);
        let is_quiet = self.idle.rests_at().is_some_and(|at| at <= now);
        if is_quiet && self.life == Life::Awake && self.queue.is_empty() {
            self.life = Life::Resting;
            self.balance.rest(RetireReason::Idle);
            self.resolution.rest();
            self.start_anew(ConnectivityState::Idle, now);
        }
    }

    /// What was told before is forgotten, and what failed.
    fn start_anew(&mut self, state: ConnectivityState, now: Instant) {
        let before = self.told.state();
        let _ = self.balance.take_failure();
        if self.told.on_fresh_start(state) {
            self.changes.push((before, self.told.state()), None, now);
        }
    }

    /// The addresses make `state` together.
    fn tell_of(&mut self, state: ConnectivityState, now: Instant) {
        let before = self.told.state();
        if !self.told.on_aggregate(state) {
            return;
        }
        let failure = self.balance.take_failure();
        let after = self.told.state();
        let why = match after {
            ConnectivityState::TransientFailure => failure.or_else(|| self.any_failure()),
            ConnectivityState::Idle | ConnectivityState::Connecting => failure,
            ConnectivityState::Ready | ConnectivityState::Shutdown => None,
        };
        self.changes.push((before, after), why, now);
    }

    fn any_failure(&self) -> Option<ConnectionError> {
        let mut failures = self.balance.failures().into_iter().filter_map(|(_, why, _)| why);
        failures.next().or_else(|| self.resolution.why().cloned())
    }

    /// Closes for good: nobody is served from now on.
    pub(super) fn close(&mut self, now: Instant) {
        self.life = Life::Closed;
        self.balance.rest(RetireReason::Closed);
        self.resolution.rest();
        self.tell_of(ConnectivityState::Shutdown, now);
    }

    /// What follows from whatever happened before: who is served, what is to be done.
    pub(super) fn settle(&mut self, now: Instant, draw: Unit<'_>) -> Work<C, W> {
        let mut answers = Vec::new();
        match self.life {
            Life::Closed => {
                answers.extend(self.queue.drain(..).map(|one| (one.who, Answer::Closed)));
            }
            Life::Awake => {
                if !self.queue.is_empty() {
                    self.balance.connect(now, draw);
                }
                self.tell(now);
                self.serve(now, draw, &mut answers);
            }
            Life::Resting => {}
        }
        let actions = self.balance.take_actions();
        if actions.iter().any(|action| matches!(action, Action::Resolve)) {
            self.resolution.need();
        }
        self.tell(now);
        let lookup = self.resolution.wanted(now);
        let (state, changes) = (self.told.state(), self.changes.last());
        Work { actions, answers, lookup, state, changes, wake_at: self.wake_at(now) }
    }

    fn tell(&mut self, now: Instant) {
        if self.life != Life::Awake {
            return;
        }
        let state = match (self.balance.has_endpoints(), self.resolution.why()) {
            (true, _) => self.balance.state(),
            (false, Some(_)) => ConnectivityState::TransientFailure,
            (false, None) => ConnectivityState::Connecting,
        };
        self.tell_of(state, now);
    }

    /// Serves those who wait, in order; where calls are spread by key, one that must wait holds up no other.
    fn serve(&mut self, now: Instant, draw: Unit<'_>, answers: &mut Vec<(W, Answer<C>)>) {
        let by_key = matches!(self.terms.policy, LoadBalancing::RingHash { .. });
        let is_failing = self.told.state() == ConnectivityState::TransientFailure;
        let mut still = VecDeque::new();
        let mut is_held_up = false;
        while let Some(waiting) = self.queue.pop_front() {
            if waiting.who.is_gone() {
                continue;
            }
            let drawn = Draw { key: waiting.key.as_deref(), units: [draw(), draw()] };
            let picked = match is_held_up {
                true => Picked::Wait,
                false => self.balance.pick(drawn, now, draw),
            };
            match picked {
                Picked::On { subchannel, number, connection, pass } => {
                    let placed = Placed { subchannel, number, connection, pass, at: now };
                    answers.push((waiting.who, Answer::Placed(placed)));
                }
                Picked::Refused => answers.push((waiting.who, Answer::Refused)),
                Picked::Wait | Picked::Failing if is_failing && !waiting.for_ready => {
                    answers.push((waiting.who, Answer::Failing(self.unreached(now))));
                }
                Picked::Wait | Picked::Failing => {
                    is_held_up = !by_key;
                    still.push_back(waiting);
                    if is_held_up && !is_failing {
                        break;
                    }
                }
            }
        }
        still.append(&mut self.queue);
        self.queue = still;
    }

    fn wake_at(&self, now: Instant) -> Option<Instant> {
        let rest = match self.life {
            Life::Awake => self.idle.rests_at(),
            Life::Resting | Life::Closed => None,
        };
        let times = [self.balance.wake_at(), self.resolution.wake_at(now), rest];
        times.into_iter().flatten().min()
    }

    /// Why calls are not carried, for people.
    pub(super) fn unreached(&self, now: Instant) -> Unreached {
        let why = self.resolution.why().cloned();
        Unreached::new(&self.target.text, self.balance.failures(), why, now)
    }

    /// What it looks like at `now`.
    pub(super) fn look(&self, now: Instant) -> Seen {
        Seen {
            state: self.told.state(),
            since: self.changes.last_at().unwrap_or(self.made),
            calls: self.calls,
            queued: self.queue.len(),
            lookup_error: self.resolution.why().cloned(),
            next_lookup: self.resolution.wake_at(now),
            addresses: self.balance.look(),
            pool: self.pool,
        }
    }

    /// Calls that wait for a connection.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}

/// A source of fresh draws from 0..1.
pub(super) type Unit<'a> = &'a mut dyn FnMut() -> f64;
