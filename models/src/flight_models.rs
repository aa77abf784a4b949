//! The single flight: one attempt at a time for each key, nobody waits for ever, a dropped driver's attempt goes on.

use crate::{
    check,
    pool::flight::{Flights, Start, Turn},
};
use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread,
};
use std::{
    pin::{Pin, pin},
    sync::{Arc as StdArc, atomic::Ordering::SeqCst},
    task::{Context, Poll, Waker},
};

/// A world in which factories fill one shelf.
struct World {
    flights: Flights<u8, Making, usize>,
    /// What the last factory left, as the pool's table holds it; 0 is nothing.
    shelf: AtomicUsize,
    at_work: Arc<AtomicBool>,
    begun: AtomicUsize,
}

/// A factory's future: not ready at first, and alone in the world while it lives.
struct Making {
    at_work: Arc<AtomicBool>,
    polled: bool,
}

impl Future for Making {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.polled {
            return Poll::Ready(());
        }
        self.polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        assert!(self.at_work.swap(false, SeqCst));
    }
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            flights: Flights::new(),
            shelf: AtomicUsize::new(0),
            at_work: Arc::new(AtomicBool::new(false)),
            begun: AtomicUsize::new(0),
        })
    }

    fn start(&self) -> Start<Making, usize> {
        match self.shelf.load(SeqCst) {
            0 => {
                assert!(!self.at_work.swap(true, SeqCst), "one factory for each key at a time");
                self.begun.fetch_add(1, SeqCst);
                Start::Attempt(Making { at_work: self.at_work.clone(), polled: false })
            }
            there => Start::Land(there),
        }
    }

    async fn get_or_create(&self) -> usize {
        let finish = |()| {
            let made = self.begun.load(SeqCst);
            self.shelf.store(made, SeqCst);
            made
        };
        self.flights.join(StdArc::new(7), async { self.start() }, finish).await
    }

    fn get(&self) -> usize {
        block_on(self.get_or_create())
    }

    /// Takes the turn and makes by itself what is not there, or gives the turn up.
    fn make(&self, gives_up: bool) -> Option<usize> {
        let finish = |()| unreachable!("nobody begins an attempt");
        let held = match block_on(self.flights.take_turn(StdArc::new(7), finish)) {
            Turn::Landed(there) => return Some(there),
            Turn::Held(held) => held,
        };
        let there = self.shelf.load(SeqCst);
        if there > 0 {
            return Some(held.land(there));
        }
        assert!(!self.at_work.swap(true, SeqCst), "one maker for each key at a time");
        let made = self.begun.fetch_add(1, SeqCst) + 1;
        assert!(self.at_work.swap(false, SeqCst));
        if gives_up {
            return None;
        }
        self.shelf.store(made, SeqCst);
        Some(held.land(made))
    }

    /// Polls once and gives up.
    fn get_impatiently(&self) {
        let _ = pin!(self.get_or_create()).poll(&mut Context::from_waker(Waker::noop()));
    }
}

#[test]
fn callers_that_come_together_share_one_factory() {
    check(2, || {
        let world = World::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.get())
            })
            .collect();
        assert_eq!(world.get(), 1);
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 1));
        assert_eq!((world.begun.load(SeqCst), world.flights.len()), (1, 0));
    });
}

#[test]
fn an_attempt_goes_on_without_the_caller_who_began_it() {
    check(5, || {
        let world = World::new();
        let impatient = thread::spawn({
            let world = world.clone();
            move || world.get_impatiently()
        });
        let got = world.get();
        impatient.join().unwrap();
        assert_eq!(got, world.begun.load(SeqCst), "what was begun last is what arrived");
        assert!(!world.at_work.load(SeqCst));
        assert_eq!(world.flights.len(), 0);
    });
}

#[test]
fn a_caller_who_gives_up_between_two_others_strands_neither() {
    check(3, || {
        let world = World::new();
        let impatient = thread::spawn({
            let world = world.clone();
            move || world.get_impatiently()
        });
        let other = thread::spawn({
            let world = world.clone();
            move || world.get()
        });
        let mine = world.get();
        impatient.join().unwrap();
        assert_eq!(mine, other.join().unwrap());
        assert_eq!(world.flights.len(), 0);
    });
}

#[test]
fn makers_that_come_together_make_one_thing() {
    check(2, || {
        let world = World::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.make(false))
            })
            .collect();
        assert_eq!(world.make(false), Some(1));
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), Some(1)));
        assert_eq!((world.begun.load(SeqCst), world.flights.len()), (1, 0));
    });
}

#[test]
fn a_turn_that_is_given_up_goes_to_the_next_maker() {
    check(3, || {
        let world = World::new();
        let gives_up = thread::spawn({
            let world = world.clone();
            move || world.make(true)
        });
        let other = thread::spawn({
            let world = world.clone();
            move || world.make(false)
        });
        let given_up = gives_up.join().unwrap();
        let made = other.join().unwrap();
        assert_eq!(made, Some(world.begun.load(SeqCst)), "what was made last is what is there");
        assert!(given_up.is_none() || given_up == made);
        assert_eq!(world.flights.len(), 0);
    });
}

#[test]
fn a_maker_and_a_factory_take_turns() {
    check(3, || {
        let world = World::new();
        let maker = thread::spawn({
            let world = world.clone();
            move || world.make(true)
        });
        let got = world.get();
        let made = maker.join().unwrap();
        assert_eq!(got, world.begun.load(SeqCst));
        assert!(made.is_none() || made == Some(got));
        assert_eq!(world.flights.len(), 0);
    });
}
