//! The budget: never one above the limit, no lost wakeup, a cancelled waiter hands its turn on.

use crate::{budget::Budget, check};
use loom::{future::block_on, sync::atomic::AtomicUsize, thread};
use std::{
    pin::pin,
    sync::atomic::Ordering::SeqCst,
    task::{Context, Waker},
};

/// Counts the holders of permits as the world sees them.
#[derive(Debug)]
struct Room {
    budget: Budget,
    inside: AtomicUsize,
    limit: usize,
}

impl Room {
    fn new(limit: usize) -> loom::sync::Arc<Self> {
        let budget = Budget::new(limit as u64);
        loom::sync::Arc::new(Self { budget, inside: AtomicUsize::new(0), limit })
    }

    fn visit(&self) {
        assert!(self.inside.fetch_add(1, SeqCst) < self.limit);
        self.inside.fetch_sub(1, SeqCst);
    }
}

/// Polls an `acquire` once and drops it, served or not.
fn acquire_impatiently(budget: &Budget) {
    let acquire = pin!(budget.acquire());
    let _ = acquire.poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn no_permit_is_one_too_many_and_every_waiter_is_served() {
    check(3, || {
        let room = Room::new(1);
        let visit = |room: loom::sync::Arc<Room>| {
            move || {
                block_on(async {
                    let _permit = room.budget.acquire().await;
                    room.visit();
                });
            }
        };
        let first = thread::spawn(visit(room.clone()));
        let second = thread::spawn(visit(room.clone()));
        visit(room.clone())();
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!((room.budget.in_use(), room.budget.waiting()), (0, 0));
    });
}

#[test]
fn a_waiter_cancelled_at_any_moment_costs_no_permit() {
    check(3, || {
        let room = Room::new(1);
        let held = room.budget.try_acquire().unwrap();
        let impatient = thread::spawn({
            let room = room.clone();
            move || acquire_impatiently(&room.budget)
        });
        let patient = thread::spawn({
            let room = room.clone();
            move || block_on(async { drop(room.budget.acquire().await) })
        });
        drop(held);
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!((room.budget.in_use(), room.budget.waiting()), (0, 0));
    });
}

#[test]
fn a_try_races_a_release_without_a_permit_too_many() {
    check(3, || {
        let room = Room::new(1);
        let rival = thread::spawn({
            let room = room.clone();
            move || {
                if let Some(_permit) = room.budget.try_acquire() {
                    room.visit();
                }
            }
        });
        block_on(async {
            let _permit = room.budget.acquire().await;
            room.visit();
        });
        rival.join().unwrap();
        assert_eq!(room.budget.in_use(), 0);
    });
}

#[test]
fn a_limit_raised_while_others_queue_strands_nobody() {
    check(3, || {
        let room = Room::new(0);
        let waiter = thread::spawn({
            let room = room.clone();
            move || block_on(async { drop(room.budget.acquire().await) })
        });
        let cancelled = thread::spawn({
            let room = room.clone();
            move || acquire_impatiently(&room.budget)
        });
        room.budget.set_limit(1);
        waiter.join().unwrap();
        cancelled.join().unwrap();
        assert_eq!((room.budget.in_use(), room.budget.waiting()), (0, 0));
    });
}

#[test]
fn a_lowered_limit_lets_nothing_out_until_it_is_kept() {
    check(3, || {
        let room = Room::new(2);
        let held = room.budget.try_acquire().unwrap();
        let lower = thread::spawn({
            let room = room.clone();
            move || {
                room.budget.set_limit(1);
                // What is handed out from here on fits under the new limit.
                if let Some(_permit) = room.budget.try_acquire() {
                    assert_eq!(room.budget.in_use(), 1);
                }
            }
        });
        drop(held);
        lower.join().unwrap();
        assert_eq!(room.budget.in_use(), 0);
    });
}

#[test]
fn a_bounded_line_is_never_longer_and_strands_nobody() {
    check(3, || {
        let room = Room::new(1);
        let held = room.budget.try_acquire().unwrap();
        let visit = |room: loom::sync::Arc<Room>| {
            move || {
                let permit = block_on(room.budget.acquire_in_line(1));
                if permit.is_some() {
                    room.visit();
                }
                permit.is_some()
            }
        };
        let rivals = [thread::spawn(visit(room.clone())), thread::spawn(visit(room.clone()))];
        assert!(room.budget.waiting() <= 1);
        drop(held);
        let served = rivals.map(|rival| rival.join().unwrap());
        assert!(served.contains(&true), "one at least stood in line or came later");
        assert_eq!((room.budget.in_use(), room.budget.waiting()), (0, 0));
    });
}

#[test]
fn budgets_within_one_never_exceed_it_and_wait_for_it_in_turn() {
    check(3, || {
        let room = Room::new(1);
        let visit = |room: loom::sync::Arc<Room>| {
            let inner = room.budget.within(1);
            move || {
                block_on(async {
                    let _permit = inner.acquire().await;
                    room.visit();
                });
                assert_eq!(inner.in_use(), 0);
            }
        };
        let first = thread::spawn(visit(room.clone()));
        visit(room.clone())();
        first.join().unwrap();
        assert_eq!((room.budget.in_use(), room.budget.waiting()), (0, 0));
    });
}
