//! The line of the checkout pool: whoever looks, joins and looks again is served, and who gives up hands on.

use crate::{
    check,
    checkout::line::{Line, Removed, Ticket},
    sync::Mutex,
};
use loom::{
    future::block_on,
    sync::{Arc, atomic::AtomicUsize},
    thread,
};
use std::{
    pin::{Pin, pin},
    sync::atomic::Ordering::SeqCst,
    task::{Context, Poll, Waker},
};

/// A pool of so many equal things: its line, and how many stand idle, under one lock.
struct Desk {
    state: Mutex<State>,
    /// Holders as the world sees them.
    holders: AtomicUsize,
    things: usize,
}

struct State {
    idle: usize,
    line: Line<Waker, ()>,
}

impl Desk {
    fn new(things: usize) -> Arc<Self> {
        let state = Mutex::new(State { idle: things, line: Line::new() });
        Arc::new(Self { state, holders: AtomicUsize::new(0), things })
    }

    /// To the oldest in line, else to the idle ones. Wakes after the lock is released.
    fn put_back(&self) {
        let woken = {
            let mut state = self.state.lock();
            match state.line.pop() {
                Some((ticket, waker)) => {
                    state.line.settle(ticket, ());
                    Some(waker)
                }
                None => {
                    state.idle += 1;
                    None
                }
            }
        };
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    fn use_one(&self) {
        assert!(self.holders.fetch_add(1, SeqCst) < self.things, "lent twice");
        self.holders.fetch_sub(1, SeqCst);
        self.put_back();
    }

    async fn acquire_and_use(&self) {
        Acquire { desk: self, ticket: None }.await;
        self.use_one();
    }

    /// Nobody is inside, and nothing is left.
    fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        state.idle == self.things && state.line.waiting() == 0
    }
}

/// A caller, as the pool's own.
struct Acquire<'a> {
    desk: &'a Desk,
    ticket: Option<Ticket>,
}

impl Acquire<'_> {
    /// The waker is cloned between two looks, since that is the user's code.
    fn look_or_join(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = None;
        loop {
            let mut state = self.desk.state.lock();
            if state.line.waiting() == 0 && state.idle > 0 {
                state.idle -= 1;
                return Poll::Ready(());
            }
            if let Some(waker) = waker.take() {
                self.ticket = Some(state.line.push(waker, None));
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }
}

impl Future for Acquire<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ticket) = self.ticket else { return self.look_or_join(cx) };
        if self.desk.state.lock().line.collect(ticket).is_none() {
            return Poll::Pending;
        }
        self.ticket = None;
        Poll::Ready(())
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = self.desk.state.lock().line.remove(ticket);
        match left {
            Some(Removed::Settled(())) => self.desk.put_back(),
            Some(Removed::Waiting(waker)) => drop(waker),
            None => {}
        }
    }
}

/// Polls once, and gives up if it is not served.
fn acquire_impatiently(desk: &Desk) {
    let mut acquire = pin!(Acquire { desk, ticket: None });
    if acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        desk.use_one();
    }
}

#[test]
fn a_connection_put_back_while_another_joins_the_line_reaches_it() {
    check(3, || {
        let desk = Desk::new(1);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let desk = desk.clone();
                thread::spawn(move || block_on(desk.acquire_and_use()))
            })
            .collect();
        block_on(desk.acquire_and_use());
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(desk.is_at_rest());
    });
}

#[test]
fn what_a_caller_who_gives_up_was_handed_goes_to_the_next() {
    check(3, || {
        let desk = Desk::new(1);
        let impatient = thread::spawn({
            let desk = desk.clone();
            move || acquire_impatiently(&desk)
        });
        let patient = thread::spawn({
            let desk = desk.clone();
            move || block_on(desk.acquire_and_use())
        });
        block_on(desk.acquire_and_use());
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(desk.is_at_rest());
    });
}

#[test]
fn two_connections_serve_two_callers_at_a_time_and_no_third() {
    check(2, || {
        let desk = Desk::new(2);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let desk = desk.clone();
                thread::spawn(move || block_on(desk.acquire_and_use()))
            })
            .collect();
        acquire_impatiently(&desk);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(desk.is_at_rest());
    });
}
