use super::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{collections::VecDeque, thread};

fn queue(max_pending: u32) -> CompletionQueue<u32> {
    CompletionQueue::new(max_pending).unwrap()
}

/// Completes its place when it is woken.
#[cfg(target_os = "linux")]
struct Completes(Mutex<Option<Slot<u32>>>);

#[cfg(target_os = "linux")]
impl std::task::Wake for Completes {
    fn wake(self: Arc<Self>) {
        if let Some(slot) = self.0.lock().take() {
            slot.complete(7);
        }
    }
}

fn drained<E: Send>(queue: &CompletionQueue<E>, max: usize) -> Vec<E> {
    let mut out = Vec::new();
    assert_eq!(queue.drain(&mut out, max), out.len());
    out
}

fn readable<E: Send>(queue: &CompletionQueue<E>) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(queue.fd(), PollFlags::IN)], Some(&at_once)) == Ok(1)
}

#[expect(clippy::disallowed_methods, reason = "a deadline in the past means: try once")]
fn past() -> Option<Instant> {
    Some(Instant::now())
}

#[test]
fn the_fd_is_readable_exactly_while_there_are_events() {
    let queue = queue(8);
    let slots: Vec<_> = (0..3).map(|_| queue.reserve().unwrap()).collect();
    assert!(!readable(&queue));
    for (event, slot) in (0..).zip(slots) {
        slot.complete(event);
        assert!(readable(&queue));
    }
    assert_eq!(drained(&queue, 2), [0, 1]);
    assert!(readable(&queue));
    assert_eq!(drained(&queue, 2), [2]);
    assert!(!readable(&queue));
}

#[cfg(target_os = "linux")]
#[test]
fn events_behind_the_first_do_not_write_to_the_fd() {
    let queue = queue(8);
    for event in 0..5 {
        queue.reserve().unwrap().complete(event);
    }
    let mut count = [0; 8];
    rustix::io::read(queue.inner.signal.fd(), &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn what_sockets_bring_is_found_by_the_look_that_follows_and_costs_no_signal() {
    let queue = queue(2);
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let watch = || {
        let slot = Some(queue.reserve().unwrap());
        let waker = Arc::new(Completes(Mutex::new(slot))).into();
        let near = std::os::fd::AsFd::as_fd(&near);
        queue.sockets().watch(1, near, Side::Readable, waker).unwrap();
    };
    watch();
    assert!(!readable(&queue));
    assert!(drained(&queue, 9).is_empty());
    io::Write::write_all(&mut &far, b"x").unwrap();
    assert!(readable(&queue), "a ready socket shows");
    assert_eq!(drained(&queue, 9), [7]);
    assert!(!readable(&queue), "a watch is good for one wake");
    watch();
    let mut out = Vec::new();
    assert_eq!(queue.wait(9, None, &mut out).unwrap(), 1);
    watch();
    assert_eq!(drained(&queue, 0), [0_u32; 0]);
    assert!(readable(&queue), "an event that was left shows");
    assert_eq!(drained(&queue, 9), [7]);
    assert!(!readable(&queue));
}

/// Many event loops are told of each edge once: what is overlooked then is never heard of again.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_is_armed_while_a_loop_looks_is_not_overlooked() {
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    const ROUNDS: u32 = 20_000;
    let queue = queue(1);
    let edges = epoll::create(CreateFlags::CLOEXEC).unwrap();
    epoll::add(&edges, queue.fd(), EventData::new_u64(0), EventFlags::IN | EventFlags::ET).unwrap();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    io::Write::write_all(&mut &far, b"x").unwrap();
    let (next, begin) = std::sync::mpsc::channel();
    thread::scope(|threads| {
        let armer = queue.clone();
        threads.spawn(move || {
            for () in begin {
                let slot = Some(armer.reserve().unwrap());
                let waker = Arc::new(Completes(Mutex::new(slot))).into();
                let near = std::os::fd::AsFd::as_fd(&near);
                armer.sockets().watch(1, near, Side::Readable, waker).unwrap();
            }
        });
        for _ in 0..ROUNDS {
            next.send(()).unwrap();
            while drained(&queue, 9).is_empty() {
                let long = Timespec { tv_sec: 20, tv_nsec: 0 };
                let mut room = [std::mem::MaybeUninit::uninit(); 1];
                let (told, _) = epoll::wait(&edges, &mut room, Some(&long)).unwrap();
                assert!(!told.is_empty(), "nothing was told");
            }
        }
        drop(next);
    });
}

#[test]
fn slots_and_undrained_events_count_against_the_limit() {
    let queue = queue(2);
    let unused = queue.reserve().unwrap();
    queue.reserve().unwrap().complete(1);
    assert_eq!(queue.reserve().unwrap_err(), Refused::Full { limit: 2 });
    assert_eq!(queue.pending(), 2);

    drop(unused);
    let slot = queue.reserve().unwrap();
    assert_eq!(queue.reserve().unwrap_err(), Refused::Full { limit: 2 });
    assert_eq!(drained(&queue, 9), [1]);
    assert_eq!(queue.pending(), 1);
    slot.complete(2);
    assert_eq!(drained(&queue, 9), [2]);
    assert_eq!(queue.pending(), 0);
}

#[test]
fn a_queue_of_no_places_refuses_everything() {
    assert_eq!(queue(0).reserve().unwrap_err(), Refused::Full { limit: 0 });
}

#[test]
fn a_shut_down_queue_closes_only_when_drained_and_nothing_is_outstanding() {
    let queue = queue(8);
    let (late, unused) = (queue.reserve().unwrap(), queue.reserve().unwrap());
    let mut out = Vec::new();
    queue.shutdown();
    queue.shutdown();
    assert_eq!(queue.reserve().unwrap_err(), Refused::Closed);
    assert!(!readable(&queue), "there is nothing to learn yet");
    assert!(matches!(queue.wait(9, past(), &mut out), Err(WaitError::Timeout)));

    late.complete(1);
    assert_eq!(queue.wait(9, None, &mut out).unwrap(), 1);
    assert!(!queue.is_finished());
    drop(unused);
    assert!(queue.is_finished() && readable(&queue));
    for _ in 0..2 {
        assert!(matches!(queue.wait(9, None, &mut out), Err(WaitError::Closed)));
    }
    assert!(readable(&queue), "a closed queue stays readable");
    assert_eq!(out, [1]);
}

#[test]
fn a_wake_before_the_wait_is_not_lost_and_wakes_do_not_add_up() {
    let queue = queue(1);
    let mut out = Vec::new();
    queue.wake();
    queue.wake();
    assert!(readable(&queue));
    assert!(matches!(queue.wait(9, None, &mut out), Err(WaitError::Woken)));
    assert!(matches!(queue.wait(9, past(), &mut out), Err(WaitError::Timeout)));
    queue.wake();
    assert_eq!(drained(&queue, 9), [0_u32; 0]);
    assert!(!readable(&queue));
}

#[test]
fn a_waiting_thread_is_alone_and_returns_when_woken() {
    let queue = queue(1);
    let waiter = thread::spawn({
        let queue = queue.clone();
        move || {
            loop {
                match queue.wait(9, None, &mut Vec::new()) {
                    Err(WaitError::Busy) => thread::yield_now(),
                    other => return other,
                }
            }
        }
    });
    while !matches!(queue.wait(9, past(), &mut Vec::new()), Err(WaitError::Busy)) {
        thread::yield_now();
    }
    queue.wake();
    assert!(matches!(waiter.join().unwrap(), Err(WaitError::Woken)));
    assert!(matches!(queue.wait(9, past(), &mut Vec::new()), Err(WaitError::Timeout)));
}

#[test]
fn a_deadline_ends_the_wait() {
    let deadline = past().map(|now| now + Duration::from_millis(1));
    let ended = queue(1).wait_interruptible(9, deadline, &mut Vec::new());
    assert!(matches!(ended, Err(WaitError::Timeout)));
}

#[test]
fn a_shutdown_ends_a_wait_without_limit() {
    let queue = queue(1);
    let waiter = thread::spawn({
        let queue = queue.clone();
        move || queue.wait(9, None, &mut Vec::new())
    });
    queue.shutdown();
    assert!(matches!(waiter.join().unwrap(), Err(WaitError::Closed)));
}

#[test]
fn events_are_dropped_with_the_last_handle_and_slots_do_not_keep_the_queue() {
    let queue = CompletionQueue::new(2).unwrap();
    let witness = Arc::new(());
    let slot = queue.reserve().unwrap();
    queue.reserve().unwrap().complete(Arc::clone(&witness));
    drop(queue);
    assert_eq!(Arc::strong_count(&witness), 1);
    slot.complete(Arc::clone(&witness));
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn an_event_that_uses_its_queue_when_dropped_does_not_deadlock() {
    struct Curious(Option<CompletionQueue<Self>>);
    impl Drop for Curious {
        fn drop(&mut self) {
            self.0.take().map(|queue| queue.pending());
        }
    }
    let queue = CompletionQueue::new(1).unwrap();
    queue.reserve().unwrap().complete(Curious(Some(queue.clone())));
    assert_eq!(drained(&queue, 9).len(), 1);
}

const PRODUCERS: u32 = 4;
const EACH: u32 = 20_000;

/// Starts threads that each complete `EACH` events and give some places back in between.
fn start_producers(queue: &CompletionQueue<(u32, u32)>) -> Vec<thread::JoinHandle<()>> {
    let produce = |producer, queue: CompletionQueue<(u32, u32)>| {
        let mut sequence = 0;
        while sequence < EACH {
            match queue.reserve() {
                Ok(unused) if sequence % 7 == 3 && fastrand::bool() => drop(unused),
                Ok(slot) => {
                    slot.complete((producer, sequence));
                    sequence += 1;
                }
                Err(Refused::Full { .. }) => thread::yield_now(),
                Err(Refused::Closed) => unreachable!("nobody shuts the queue down yet"),
            }
        }
    };
    let start = |producer| {
        let queue = queue.clone();
        thread::spawn(move || produce(producer, queue))
    };
    (0..PRODUCERS).map(start).collect()
}

/// Checks that each producer's events are complete and in order.
#[derive(Default)]
struct Ledger {
    next: [u32; PRODUCERS as usize],
}

impl Ledger {
    fn enter(&mut self, events: impl IntoIterator<Item = (u32, u32)>) {
        for (producer, sequence) in events {
            let next = &mut self.next[producer as usize];
            assert_eq!(sequence, *next);
            *next += 1;
        }
    }

    fn is_complete(&self) -> bool {
        self.next == [EACH; PRODUCERS as usize]
    }
}

#[test]
fn no_event_of_many_producers_is_lost_or_doubled_by_wait() {
    let queue = CompletionQueue::new(64).unwrap();
    let producers = start_producers(&queue);
    let (mut ledger, mut batch) = (Ledger::default(), Vec::new());
    while !ledger.is_complete() {
        let taken = queue.wait(1 + fastrand::usize(..40), None, &mut batch).unwrap();
        assert_eq!(taken, batch.len());
        ledger.enter(batch.drain(..));
        assert!(queue.pending() <= 64);
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    queue.shutdown();
    assert!(matches!(queue.wait(9, None, &mut batch), Err(WaitError::Closed)));
}

#[test]
fn a_readable_fd_always_means_events_to_the_one_who_drains() {
    let queue = CompletionQueue::new(64).unwrap();
    let producers = start_producers(&queue);
    let (mut ledger, mut left) = (Ledger::default(), VecDeque::new());
    while !ledger.is_complete() {
        signal::wait_readable(queue.fd(), None).unwrap();
        left.extend(drained(&queue, 1 + fastrand::usize(..40)));
        assert!(!left.is_empty(), "the fd was readable");
        ledger.enter(left.drain(..));
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    assert!(!readable(&queue));
}
