//! A plain world around the pure state: who stands in line, who holds what, what is under way; and what must hold.

use super::super::{
    endpoints::Endpoints,
    holder::Holder,
    line::Ticket,
    slots::{RETIRED, SlotId},
    state::{
        Action, Actions, Answer, Call, Collected, Custody, Fate, Loan, Refusal, State, Validation,
        Verdict,
    },
    terms::Terms,
};
use super::*;
use crate::pool::moment::Moment;
use std::{
    collections::HashMap,
    task::{Wake, Waker},
};

/// For how long a caller relies on a check.
const PATIENCE: Duration = Duration::from_millis(500);

/// A caller who was not served yet, or has not come for its answer.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: u32,
    pub(super) deadline: Option<Moment>,
    pub(super) ticket: Ticket,
}

/// What became of one who was told or woken.
#[derive(Debug)]
enum Heard {
    Told(u32),
    Woken(u32),
}

type Ears = Arc<Mutex<Vec<Heard>>>;

struct Woken {
    name: u32,
    ears: Ears,
}

impl Teller for Woken {
    fn tell(self: Arc<Self>, _: Result<Entrusted, ConnectionError>) {
        self.ears.lock().unwrap().push(Heard::Told(self.name));
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.ears.lock().unwrap().push(Heard::Woken(self.name));
    }
}

/// Where a connection is, as far as the world outside of the state knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    Pool,
    Lent,
    Validating,
    Closing,
    Gone,
}

#[derive(Debug)]
struct Connection {
    address: Address,
    epoch: u32,
    born: Moment,
    whereabouts: Whereabouts,
}

pub(super) struct World {
    pub(super) state: State<u32>,
    config: CheckoutPoolConfig,
    pub(super) now: Moment,
    epoch: u32,
    pub(super) max_size: u32,
    stage: Stage,
    /// In the order in which they must be served.
    pub(super) line: Vec<Caller>,
    /// Woken, when, and not come for their answer yet.
    pub(super) called: Vec<(Caller, Moment)>,
    pub(super) leases: Vec<(SlotId, u32)>,
    pub(super) ended: Vec<SlotId>,
    pub(super) opens: Vec<(SlotId, u32, Address)>,
    pub(super) checks: Vec<(SlotId, u32, Moment)>,
    pub(super) closes: Vec<(SlotId, u32, u32, PoolCloseReason)>,
    connections: HashMap<u32, Connection>,
    detached: u64,
    closed: u64,
    next: u32,
    ears: Ears,
    before: CheckoutPoolStats,
    /// Closed for idleness in this step.
    trimmed: usize,
    /// When the state was last asked or told something.
    looked: Moment,
    was_wrong: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Draining,
    Closed,
}

fn draw() -> f64 {
    0.5
}

impl World {
    pub(super) fn new(
        config: CheckoutPoolConfig,
        abilities: Abilities,
        addresses: Vec<Address>,
    ) -> Self {
        let now = Moment::from_nanos(1) + Duration::from_secs(1_000_000);
        let terms = Terms::new(&config, abilities);
        let addresses = addresses.into_iter().map(Some).collect();
        let state = State::new(terms, Endpoints::new(addresses, &config, now), now, draw);
        let mut world = Self {
            state,
            now,
            epoch: 0,
            max_size: config.max_size,
            config,
            stage: Stage::Open,
            line: Vec::new(),
            called: Vec::new(),
            leases: Vec::new(),
            ended: Vec::new(),
            opens: Vec::new(),
            checks: Vec::new(),
            closes: Vec::new(),
            connections: HashMap::new(),
            detached: 0,
            closed: 0,
            next: 0,
            ears: Ears::default(),
            before: CheckoutPoolStats::default(),
            trimmed: 0,
            looked: now,
            was_wrong: false,
        };
        let now = world.now;
        world.event(|state, actions| state.on_start(now, actions));
        world
    }

    /// Lets one event happen, does what it asks for, and looks whether all is well.
    pub(super) fn event<T>(
        &mut self,
        event: impl FnOnce(&mut State<u32>, &mut Actions<u32>) -> T,
    ) -> T {
        let mut actions = Actions::new();
        let result = event(&mut self.state, &mut actions);
        (self.trimmed, self.looked) = (0, self.now);
        for action in actions {
            self.act(action);
        }
        result
    }

    fn act(&mut self, action: Action<u32>) {
        let mut answer = None;
        match action {
            Action::Wake(waker) => waker.wake(),
            Action::Tell(told) => {
                // What it is told is made by the driver of the answer, which the world sees here.
                told.teller.tell(Err(refuse()));
                answer = Some(told.answer);
            }
            Action::Open { id, endpoint } => {
                let address = self.state.endpoints().address(endpoint).expect("each has one");
                self.opens.push((id, self.epoch, address.clone()));
            }
            Action::Validate { id, resource, how } => {
                self.moves(resource, &[Whereabouts::Pool], Whereabouts::Validating);
                assert!(
                    how == Validation::Check || self.leases.iter().all(|(_, r)| *r != resource)
                );
                self.checks.push((id, resource, self.now));
            }
            Action::Close { id, endpoint, resource, reason } => {
                self.trimmed += usize::from(reason == PoolCloseReason::IdleTimeout);
                self.moves(resource, &[Whereabouts::Pool], Whereabouts::Closing);
                self.closes.push((id, endpoint, resource, reason));
            }
            Action::Drop(_) | Action::ReportLeak { .. } => {}
        }
        let heard = std::mem::take(&mut *self.ears.lock().unwrap());
        for heard in heard {
            self.hear(heard, answer.take());
        }
    }

    /// Each connection is in one place, and goes from there only where it may.
    fn moves(&mut self, number: u32, from: &[Whereabouts], to: Whereabouts) {
        let connection = self.connections.get_mut(&number).expect("it was made");
        assert!(from.contains(&connection.whereabouts), "{number}: {connection:?} goes to {to:?}");
        connection.whereabouts = to;
    }

    fn hear(&mut self, heard: Heard, answer: Option<Answer<u32>>) {
        let (Heard::Told(name) | Heard::Woken(name)) = heard;
        let place = self.line.iter().position(|caller| caller.name == name);
        let place = place.expect("each caller is answered once, and only while it is in line");
        let is_late =
            |caller: &Caller| caller.deadline.is_some_and(|deadline| deadline <= self.now);
        let late = is_late(&self.line[place]);
        let oldest = self.line.iter().position(|caller| !is_late(caller));
        assert!(late || oldest == Some(place), "{name} was served out of turn: {:?}", self.line);
        let caller = self.line.remove(place);
        match answer {
            Some(answer) => self.answered(late, answer, self.now),
            None => self.called.push((caller, self.now)),
        }
    }

    fn answered(&mut self, late: bool, answer: Answer<u32>, at: Moment) {
        match answer {
            Ok(loan) => {
                assert!(!late, "a caller whose deadline had passed was served");
                self.lent(loan, at);
            }
            Err(Refusal::Exhausted(_)) => assert!(late, "refused before its deadline"),
            Err(Refusal::Closed) => assert_eq!(self.stage, Stage::Closed),
            Err(Refusal::CircuitOpen { .. }) => {}
            Err(Refusal::TooManyWaiters(_)) => panic!("it was in line already"),
        }
    }

    fn lent(&mut self, loan: Loan<u32>, at: Moment) {
        let Loan { id, mark, resource, .. } = loan;
        let resource = resource.or_else(|| self.state.reclaim(id)).expect("it is here or there");
        assert_eq!(mark, u64::from(resource));
        self.moves(resource, &[Whereabouts::Pool], Whereabouts::Lent);
        let connection = &self.connections[&resource];
        assert_eq!(connection.epoch, self.epoch, "{resource} is of an older generation");
        if let Some(lifetime) = self.config.max_lifetime.duration() {
            let age = at.since(connection.born);
            assert!(age <= lifetime, "{resource} is {age:?} old");
        }
        assert!(!self.ended.contains(&id) && self.leases.iter().all(|(other, _)| *other != id));
        self.leases.push((id, resource));
    }

    /// Somebody comes, and stays if it has to.
    pub(super) fn acquire(&mut self, deadline: Option<Moment>, wakes: bool) {
        let (name, ears, now) = (self.next, Arc::clone(&self.ears), self.now);
        self.next += 1;
        let idle_before = self.state.stats().idle;
        let listener = Arc::new(Woken { name, ears });
        let (call, custody) = match wakes {
            true => (Call::Wake(Waker::from(listener)), Custody::Holder),
            false => (Call::Tell(listener), Custody::Pool),
        };
        let mut call = Some(call);
        let looked = self.looked;
        // The verdict names the ticket only after the actions were done, so the caller joins the line before.
        let mut actions = Actions::new();
        let verdict = self.state.on_acquire(
            now,
            deadline,
            &Holder::Unknown,
            custody,
            &mut call,
            &mut actions,
        );
        (self.trimmed, self.looked) = (0, self.now);
        match verdict {
            Verdict::Waits(ticket) => self.line.push(Caller { name, deadline, ticket }),
            Verdict::Lent(loan) => {
                assert!(self.line.is_empty(), "a newcomer overtook those in line");
                assert!(idle_before > 0);
                self.lent(loan, now);
            }
            Verdict::Refused(Refusal::Closed) => assert_ne!(self.stage, Stage::Open),
            Verdict::Refused(Refusal::Exhausted(_)) => {
                assert!(deadline.is_some_and(|deadline| deadline <= now));
            }
            Verdict::Refused(Refusal::TooManyWaiters(limit)) => {
                assert!(self.line.len() >= limit as usize);
            }
            Verdict::Refused(Refusal::CircuitOpen { .. }) => {
                assert!(self.leases.is_empty() && self.opens.is_empty());
            }
            Verdict::NeedsCall => unreachable!("it was given"),
        }
        if self.line.last().is_none_or(|caller| caller.name != name) {
            self.looked = looked;
        }
        for action in actions {
            self.act(action);
        }
    }

    pub(super) fn try_acquire(&mut self) {
        let (now, looked) = (self.now, self.looked);
        if let Some(loan) = self.event(|state, actions| {
            state.try_acquire(now, &Holder::Unknown, Custody::Pool, actions)
        }) {
            assert!(self.line.is_empty(), "a newcomer overtook those in line");
            self.lent(loan, now);
        }
        self.looked = looked;
    }

    /// Somebody who was woken comes for its answer.
    pub(super) fn collect(&mut self, nth: usize) {
        let (mut caller, when) = self.called.remove(nth);
        match self.state.collect(caller.ticket, &mut None) {
            Collected::Answer(answer) => {
                let late = caller.deadline.is_some_and(|deadline| deadline <= when);
                self.answered(late, answer, when);
            }
            Collected::Retired(loan) => {
                let (ears, now, name) = (Arc::clone(&self.ears), self.now, caller.name);
                assert_ne!(self.connections[&loan.resource.unwrap()].epoch, self.epoch);
                let call = Call::Wake(Waker::from(Arc::new(Woken { name, ears })));
                let (deadline, mut actions) = (caller.deadline, Actions::new());
                let verdict = self.state.on_retired(
                    loan,
                    deadline,
                    &Holder::Unknown,
                    call,
                    now,
                    &mut actions,
                );
                match verdict {
                    Verdict::Waits(ticket) => {
                        caller.ticket = ticket;
                        self.line.insert(0, caller);
                    }
                    Verdict::Refused(_) => assert_eq!(self.stage, Stage::Closed),
                    Verdict::Lent(_) | Verdict::NeedsCall => unreachable!("{verdict:?}"),
                }
                for action in actions {
                    self.act(action);
                }
            }
            Collected::Nothing => panic!("woken for nothing"),
        }
    }

    /// Somebody gives up, in line or after it was woken.
    pub(super) fn cancel(&mut self, nth: usize) {
        let in_line = self.line.len();
        let caller = match nth.checked_sub(in_line) {
            None => self.line.remove(nth),
            Some(nth) => self.called.remove(nth).0,
        };
        let (now, looked) = (self.now, self.looked);
        self.event(|state, actions| drop(state.on_cancel(caller.ticket, now, actions)));
        self.looked = looked;
        let mut nothing = None;
        assert!(matches!(self.state.collect(caller.ticket, &mut nothing), Collected::Nothing));
    }

    pub(super) fn put_back(&mut self, nth: usize, fate: Fate, by_number: bool) {
        let (id, resource) = self.leases.swap_remove(nth);
        self.ended.push(id);
        self.moves(resource, &[Whereabouts::Lent], Whereabouts::Pool);
        let now = self.now;
        let given = match by_number {
            true => {
                assert_eq!(self.state.entrust(id, resource), Ok(()));
                None
            }
            false => Some(resource),
        };
        let result = self.event(|state, actions| state.on_put_back(id, given, fate, now, actions));
        assert!(result.is_ok());
    }

    /// Everything that ended is refused, from whomever it comes.
    pub(super) fn put_back_what_ended(&mut self, nth: usize) {
        let (id, now, looked) = (self.ended[nth], self.now, self.looked);
        let refused = self.event(|state, actions| {
            state.on_put_back(id, Some(0), Fate::Reuse, now, actions).is_err()
                && state.on_put_back(id, None, Fate::Reuse, now, actions).is_err()
                && state.entrust(id, 0).is_err()
                && state.reclaim(id).is_none()
        });
        assert!(refused, "{id:?} ended before");
        self.looked = looked;
    }

    pub(super) fn detach(&mut self, nth: usize) {
        let (id, resource) = self.leases.swap_remove(nth);
        self.ended.push(id);
        self.moves(resource, &[Whereabouts::Lent], Whereabouts::Gone);
        self.detached += 1;
        let now = self.now;
        self.event(|state, actions| state.on_detach(id, now, actions));
    }

    pub(super) fn connected(&mut self, nth: usize, works: bool) {
        let ((id, epoch, address), now) = (self.opens.swap_remove(nth), self.now);
        if !works {
            let error = Arc::new(refuse());
            return self.event(|state, actions| state.on_open_failed(id, error, now, actions));
        }
        self.next += 1;
        let number = self.next;
        let whereabouts = Whereabouts::Pool;
        self.connections.insert(number, Connection { address, epoch, born: now, whereabouts });
        self.event(|state, actions| state.on_opened(id, number, number.into(), now, actions));
    }

    pub(super) fn checked(&mut self, nth: usize, how: Checked) {
        let ((id, resource, _), now) = (self.checks.swap_remove(nth), self.now);
        let after = if how == Checked::Lost { Whereabouts::Gone } else { Whereabouts::Pool };
        self.moves(resource, &[Whereabouts::Validating], after);
        self.event(|state, actions| match how {
            Checked::Works => state.on_validated(id, Ok(resource), now, actions),
            Checked::Fails => state.on_validated(id, Err(resource), now, actions),
            Checked::Lost => state.on_lost(id, now, actions),
        });
        self.closed += u64::from(how == Checked::Lost);
    }

    pub(super) fn closed(&mut self, nth: usize) {
        let ((id, endpoint, resource, reason), now) = (self.closes.swap_remove(nth), self.now);
        self.moves(resource, &[Whereabouts::Closing], Whereabouts::Gone);
        self.closed += 1;
        self.event(|state, actions| state.on_closed(id, endpoint, reason, now, actions));
    }

    pub(super) fn clear(&mut self) {
        self.epoch += 1;
        let now = self.now;
        self.event(|state, actions| state.on_clear(now, actions));
    }

    pub(super) fn set_endpoints(&mut self, addresses: Vec<Address>) {
        let stays = |address: &Address| addresses.contains(address);
        for (_, epoch, address) in &mut self.opens {
            *epoch = if stays(address) { *epoch } else { RETIRED };
        }
        for connection in self.connections.values_mut() {
            let epoch = connection.epoch;
            connection.epoch = if stays(&connection.address) { epoch } else { RETIRED };
        }
        let now = self.now;
        self.event(|state, actions| state.on_endpoints(addresses, now, actions));
    }

    pub(super) fn resize(&mut self, max_size: u32, min_idle: u32) {
        self.max_size = max_size;
        let now = self.now;
        self.event(|state, actions| state.on_resize(max_size, min_idle, now, actions));
    }

    pub(super) fn check_all(&mut self) {
        let now = self.now;
        self.event(|state, actions| state.on_check_all(now, actions));
    }

    pub(super) fn drain(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Draining;
        }
        let now = self.now;
        self.event(|state, actions| state.on_drain(now, actions));
    }

    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
        self.event(|state, actions| state.on_close(actions));
        assert!(self.line.is_empty(), "all in line were refused");
    }

    /// The keeper ticks whenever it said it would.
    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200 {
            match self.state.wake_at(self.now) {
                Some(at) if at <= end => self.now = self.now.max(at),
                Some(_) | None => break,
            }
            self.tick();
        }
        self.now = self.now.max(end);
        self.tick();
    }

    pub(super) fn rewind(&mut self, time: Duration) {
        self.now = self.now.before(time);
        self.was_wrong = true;
    }

    pub(super) fn tick(&mut self) {
        let (now, idle) = (self.now, self.state.stats().idle as usize);
        self.event(|state, actions| state.on_tick(now, actions));
        let is_late = |caller: &Caller| caller.deadline.is_some_and(|deadline| deadline <= now);
        assert!(!self.line.iter().any(is_late), "after a tick nobody waits past its deadline");
        let most = idle.div_ceil(2).max(1) + self.line.len();
        assert!(self.trimmed <= most, "{} of {idle} idle ones were closed at once", self.trimmed);
    }

    /// What must hold after every step.
    pub(super) fn check(&mut self) {
        let stats = self.state.stats();
        self.check_ledger(&stats);
        self.check_counters(&stats);
        self.check_nobody_waits_in_vain(&stats);
        self.before = stats;
    }

    fn check_ledger(&self, stats: &CheckoutPoolStats) {
        let before = &self.before;
        let bound = self.max_size.max(before.total());
        assert!(stats.total() <= bound, "{} above {bound}: {stats:?}", stats.total());
        assert_eq!(stats.connecting as usize, self.opens.len());
        assert_eq!(stats.validating as usize, self.checks.len());
        assert_eq!(stats.closing as usize, self.closes.len());
        assert_eq!(stats.waiting as usize, self.line.len());
        let standing = stats.idle + stats.used + stats.validating + stats.closing;
        assert_eq!(stats.created - stats.closed(), u64::from(standing), "{stats:?}");
        assert_eq!(stats.created, self.connections.len() as u64);
        assert_eq!(stats.closed(), self.closed + self.detached);
        assert_eq!(stats.closed_for(PoolCloseReason::Detached), self.detached);
        let settled = stats.used as usize - self.leases.len();
        assert!(settled <= self.called.len(), "{settled} lent to nobody");
        let in_pool = self.connections.values().filter(|c| c.whereabouts == Whereabouts::Pool);
        assert_eq!(in_pool.count(), stats.idle as usize + settled);
        let stays = stats.total() - stats.closing;
        assert!(stays <= self.max_size || stats.idle == 0, "too large, with some idle");
    }

    fn check_counters(&self, stats: &CheckoutPoolStats) {
        let counters = |stats: &CheckoutPoolStats| {
            [
                stats.created,
                stats.create_failed,
                stats.acquired,
                stats.hits,
                stats.handed_over,
                stats.timeouts,
                stats.cancelled,
                stats.refused,
                stats.invalid,
                stats.relieved,
                stats.leaks,
                stats.closed(),
            ]
        };
        let pairs = counters(&self.before).into_iter().zip(counters(stats));
        assert!(pairs.clone().all(|(before, after)| before <= after), "{pairs:?}");
        assert_eq!(stats.acquired, stats.hits + stats.handed_over);
    }

    fn check_nobody_waits_in_vain(&self, stats: &CheckoutPoolStats) {
        // While the keeper is late, time has brought what nobody has seen.
        if self.line.is_empty() || self.looked != self.now {
            return;
        }
        assert!(!self.state.has_fit_idle(self.now), "a fit connection is idle: {stats:?}");
        // When a check began says nothing once the clock was wrong.
        let hopeful = |since: Moment| self.was_wrong || self.now.since(since) < PATIENCE;
        let is_current = |number: &u32| self.connections[number].epoch == self.epoch;
        let checks = self.checks.iter().filter(|(_, r, since)| is_current(r) && hopeful(*since));
        let opens = self.opens.iter().filter(|(_, epoch, _)| *epoch == self.epoch);
        let is_covered = checks.count() + opens.count() >= self.line.len();
        let may_open = self.state.endpoints().may_begin(self.now);
        let has_room = stats.total() < self.max_size;
        assert!(is_covered || !has_room || !may_open, "nothing is done for them: {stats:?}");
        let is_known = self.state.wake_at(self.now).is_some() || !self.opens.is_empty();
        assert!(is_covered || !has_room || is_known, "nobody will look again");
    }

    /// All that is under way ends well, and all that is lent comes back: then nobody is left in line.
    pub(super) fn finish(&mut self) {
        for _ in 0..2_000 {
            self.check();
            if !self.called.is_empty() {
                self.collect(0);
            } else if !self.closes.is_empty() {
                self.closed(0);
            } else if !self.checks.is_empty() {
                self.checked(0, Checked::Works);
            } else if !self.opens.is_empty() {
                self.connected(0, true);
            } else if !self.leases.is_empty() {
                self.put_back(0, Fate::Reuse, false);
            } else if self.line.is_empty() {
                break;
            } else {
                let next = self.state.wake_at(self.now).expect("the keeper has something to do");
                self.advance(next.since(self.now));
            }
        }
        assert!(self.line.is_empty() && self.called.is_empty(), "stranded: {:?}", self.line);
        self.close();
        while !self.closes.is_empty() {
            self.closed(0);
        }
        self.check();
        assert_eq!(self.state.total(), 0);
        let gone = self.connections.values().all(|c| c.whereabouts == Whereabouts::Gone);
        assert!(gone, "each connection was closed once");
    }
}

/// What came of a check or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Works,
    Fails,
    Lost,
}
