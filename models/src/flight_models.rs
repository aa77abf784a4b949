//! The single flight: one attempt at a time for each key, nobody waits for ever, a dropped driver's attempt goes on.

use crate::{
    check,
    pool::flight::{Flights, Start},
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
        self.flights.join(StdArc::new(7), || self.start(), finish).await
    }

    fn get(&self) -> usize {
        block_on(self.get_or_create())
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
