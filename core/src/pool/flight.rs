//! One attempt per key, however many ask: whoever has the turn drives it, all get what it brings.

use crate::{
    budget::{Budget, Permit},
    sync::{Arc, Mutex},
};
use std::{
    collections::{
        HashMap,
        hash_map::{Entry, OccupiedEntry},
    },
    hash::Hash,
    mem,
    pin::Pin,
    sync::Arc as KeyArc,
    task::{Context, Poll},
};

/// The attempts that are under way, by key. `A` is what is driven, `T` what every caller gets a clone of.
///
/// ```text
///              a caller has the turn             it is driven to its end
///   Waiting ─────────────────────────▶ Driven ───────────────────────────▶ Landed
///    ▲  ▲                               │  │
///    │  └── its driver is dropped:      │  │
///    │      the next one drives on ─────┘  │
///    └── it panics: the next one starts ───┘      the last caller is dropped: so is the attempt
/// ```
///
/// The turn is a budget of one, so turns are taken in the order of arrival. Landing lifts its limit:
/// everybody passes at once.
///
/// A caller who has the turn may also keep it for what it does elsewhere, as a [`Held`]: that too lands the
/// flight, or gives the turn to the next.
#[derive(Debug)]
pub(crate) struct Flights<K, A, T> {
    under_way: Arc<UnderWay<K, A, T>>,
}

type UnderWay<K, A, T> = Mutex<HashMap<KeyArc<K>, Boarded<A, T>>>;

#[derive(Debug)]
struct Boarded<A, T> {
    flight: Arc<Flight<A, T>>,
    callers: usize,
}

#[derive(Debug)]
struct Flight<A, T> {
    turn: Budget,
    /// Changed only by the caller that has the turn.
    state: Mutex<State<A, T>>,
}

#[derive(Debug)]
enum State<A, T> {
    /// For a driver; the attempt is absent as long as nobody has started one that did not panic.
    Waiting(Option<A>),
    Driven,
    Landed(T),
}

/// What the caller who has the turn, and finds no attempt, begins with.
#[derive(Debug)]
pub(crate) enum Start<A, T> {
    /// The outcome is known without an attempt.
    Land(T),
    Attempt(A),
}

impl<K: Eq + Hash, A: Future + Unpin, T: Clone> Flights<K, A, T> {
    pub(crate) fn new() -> Self {
        Self { under_way: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// Gets what the attempt for `key` brings: the one that is under way, else one that `start` begins.
    ///
    /// `finish` makes the outcome of what the attempt brought. Both run without a lock, in a caller who has
    /// the turn, one at a time for each key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands the turn, and an attempt that was begun, to the next caller. The attempt
    /// is dropped with its last caller.
    pub(crate) async fn join(
        &self,
        key: KeyArc<K>,
        start: impl Future<Output = Start<A, T>>,
        finish: impl Fn(A::Output) -> T,
    ) -> T {
        let mut held = match self.take_turn(key, &finish).await {
            Turn::Landed(outcome) => return outcome,
            Turn::Held(held) => held,
        };
        match start.await {
            Start::Land(outcome) => held.land(outcome),
            Start::Attempt(attempt) => {
                held.driver.attempt = Some(attempt);
                let brought = (&mut held.driver).await;
                held.land(finish(brought))
            }
        }
    }

    /// Waits for what the attempt for `key` brings, or for the turn to begin one.
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    pub(crate) async fn take_turn(
        &self,
        key: KeyArc<K>,
        finish: impl Fn(A::Output) -> T,
    ) -> Turn<K, A, T> {
        let ticket = self.board(key);
        let turn = ticket.flight.turn.acquire().await;
        let attempt = match ticket.flight.take_over() {
            TakeOver::Landed(outcome) => return Turn::Landed(outcome),
            TakeOver::Attempt(attempt) => Some(attempt),
            TakeOver::Nothing => None,
        };
        let is_under_way = attempt.is_some();
        let driver = Driver { flight: Arc::clone(&ticket.flight), attempt };
        let mut held = Held { driver, _turn: turn, ticket };
        if is_under_way {
            let brought = (&mut held.driver).await;
            return Turn::Landed(held.land(finish(brought)));
        }
        Turn::Held(held)
    }

    fn board(&self, key: KeyArc<K>) -> Ticket<K, A, T> {
        let mut under_way = self.under_way.lock();
        let boarded = under_way.entry(KeyArc::clone(&key)).or_insert_with(|| Boarded {
            flight: Arc::new(Flight {
                turn: Budget::new(1),
                state: Mutex::new(State::Waiting(None)),
            }),
            callers: 0,
        });
        boarded.callers += 1;
        let flight = Arc::clone(&boarded.flight);
        drop(under_way);
        Ticket { under_way: Arc::clone(&self.under_way), key, flight }
    }
}

impl<K: Eq + Hash, A, T> Flights<K, A, T> {
    /// How many attempts are under way.
    #[cfg(any(test, trunkline_loom))]
    pub(crate) fn len(&self) -> usize {
        self.under_way.lock().len()
    }
}

/// What a caller gets who waited for its turn.
#[derive(Debug)]
pub(crate) enum Turn<K: Eq + Hash, A, T> {
    Landed(T),
    Held(Held<K, A, T>),
}

/// The turn of a flight that has not landed. Dropped, it goes to the next caller.
// In the order of their ends: the state first, so that the next caller finds it as it must be.
#[derive(Debug)]
pub(crate) struct Held<K: Eq + Hash, A, T> {
    driver: Driver<A, T>,
    _turn: Permit,
    ticket: Ticket<K, A, T>,
}

impl<K: Eq + Hash, A, T: Clone> Held<K, A, T> {
    /// Ends the flight: later callers begin a new one, those aboard get `outcome`.
    pub(crate) fn land(self, outcome: T) -> T {
        self.ticket.unlist();
        let flight = &self.driver.flight;
        *flight.state.lock() = State::Landed(outcome.clone());
        flight.turn.set_limit(u64::MAX);
        outcome
    }
}

/// A caller's part in a flight.
#[derive(Debug)]
struct Ticket<K: Eq + Hash, A, T> {
    under_way: Arc<UnderWay<K, A, T>>,
    key: KeyArc<K>,
    flight: Arc<Flight<A, T>>,
}

/// What is left of a caller's part once it has tried to leave.
#[derive(PartialEq, Eq)]
enum Leave {
    Left,
    /// It is the last caller, and there is an attempt to be dropped first.
    LastWithAttempt,
}

impl<K: Eq + Hash, A, T> Ticket<K, A, T> {
    /// Takes the flight off the list.
    fn unlist(&self) {
        self.if_listed(|listed| {
            // The ticket holds the key and the flight: neither is dropped here, under the lock.
            listed.remove();
        });
    }

    fn leave(&self) -> Leave {
        let leave = self.if_listed(|mut listed| {
            if listed.get().callers > 1 {
                listed.get_mut().callers -= 1;
                return Leave::Left;
            }
            if self.flight.has_attempt() {
                return Leave::LastWithAttempt;
            }
            listed.remove();
            Leave::Left
        });
        leave.unwrap_or(Leave::Left)
    }

    fn if_listed<R>(
        &self,
        act: impl FnOnce(OccupiedEntry<'_, KeyArc<K>, Boarded<A, T>>) -> R,
    ) -> Option<R> {
        let mut under_way = self.under_way.lock();
        match under_way.entry(KeyArc::clone(&self.key)) {
            Entry::Occupied(listed) if Arc::ptr_eq(&listed.get().flight, &self.flight) => {
                Some(act(listed))
            }
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        }
    }
}

impl<K: Eq + Hash, A, T> Drop for Ticket<K, A, T> {
    /// Leaves. An attempt that nobody wants is dropped while the flight is listed and the turn is held, so
    /// that a caller who comes at this moment begins the next attempt after the end of this one.
    fn drop(&mut self) {
        while self.leave() == Leave::LastWithAttempt {
            if let Some(_turn) = self.flight.turn.try_acquire() {
                drop(self.flight.take_attempt());
            }
        }
    }
}

enum TakeOver<A, T> {
    Landed(T),
    Attempt(A),
    Nothing,
}

impl<A, T> Flight<A, T> {
    fn has_attempt(&self) -> bool {
        matches!(*self.state.lock(), State::Waiting(Some(_)))
    }

    /// For the caller that has the turn.
    fn take_attempt(&self) -> Option<A> {
        match &mut *self.state.lock() {
            State::Waiting(attempt) => attempt.take(),
            State::Driven | State::Landed(_) => None,
        }
    }
}

impl<A, T: Clone> Flight<A, T> {
    /// For the caller that has the turn: what there is to do.
    fn take_over(&self) -> TakeOver<A, T> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Driven) {
            State::Waiting(Some(attempt)) => TakeOver::Attempt(attempt),
            State::Waiting(None) => TakeOver::Nothing,
            State::Landed(outcome) => {
                *state = State::Landed(outcome.clone());
                TakeOver::Landed(outcome)
            }
            State::Driven => unreachable!("a driver waits or lands before it gives the turn back"),
        }
    }
}

/// Drives an attempt, and leaves it to the next caller if it is dropped.
#[derive(Debug)]
struct Driver<A, T> {
    flight: Arc<Flight<A, T>>,
    /// Absent while it is polled, so that an attempt that panics is not driven on.
    attempt: Option<A>,
}

impl<A: Future + Unpin, T> Future for Driver<A, T> {
    type Output = A::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let Some(mut attempt) = self.attempt.take() else {
            unreachable!("polled after its end");
        };
        let poll = Pin::new(&mut attempt).poll(cx);
        if poll.is_pending() {
            self.attempt = Some(attempt);
        }
        poll
    }
}

impl<A, T> Drop for Driver<A, T> {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        if matches!(*state, State::Driven) {
            *state = State::Waiting(self.attempt.take());
        }
    }
}
