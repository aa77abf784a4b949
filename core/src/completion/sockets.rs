//! The sockets that a queue watches itself: no thread stands between one that is ready and whoever waits for it.
//!
//! ```text
//!   nothing ──watch──▶ watched ──ready──▶ collect: wakes, once ──▶ nothing
//!                         └───────────── unwatch ───────────────────▲
//! ```

use parking_lot::Mutex;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};
use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Waker,
};

/// What the queue's own signal is known by; sockets have the numbers of their connections.
const SIGNAL: u64 = u64::MAX;

/// Sockets that are ready which are looked at in one go.
const BATCH: usize = 64;

/// The sockets that a [`CompletionQueue`](super::CompletionQueue) watches beside its events. Its descriptor is readable
/// as well when one of them is ready, and whoever drains the queue then wakes those who wait for the socket.
///
/// A watch is good for one wake. Any thread may call anything at any time.
#[derive(Debug)]
pub struct Sockets {
    epoll: OwnedFd,
    /// Those who wait, by the number of the socket.
    watched: Mutex<Watched>,
    /// Whether any socket was ever armed. One that nobody waits for any more may still have to be found, once: else
    /// the descriptor would be readable for nothing, for ever.
    is_used: AtomicBool,
    /// Numbers of watches.
    last: AtomicUsize,
}

type Watched = HashMap<u64, Vec<Watch>>;

/// One who waits for one side of a socket.
#[derive(Debug)]
struct Watch {
    key: WatchKey,
    side: Side,
    waker: Waker,
}

/// A place among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchKey(usize);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That a read is worth a try.
    Readable,
    /// That a write is worth a try.
    Writable,
}

impl Side {
    fn flag(self) -> EventFlags {
        match self {
            Self::Readable => EventFlags::IN | EventFlags::RDHUP,
            Self::Writable => EventFlags::OUT,
        }
    }
}

impl Sockets {
    pub(super) fn new(signal: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // Nothing reads it, but event loops take a descriptor without this mark for one that cannot be polled.
        fcntl_setfl(&epoll, fcntl_getfl(&epoll)? | OFlags::NONBLOCK)?;
        epoll::add(&epoll, signal, EventData::new_u64(SIGNAL), EventFlags::IN)?;
        Ok(Self {
            epoll,
            watched: Mutex::default(),
            is_used: AtomicBool::new(false),
            last: AtomicUsize::new(0),
        })
    }

    /// Readable while the signal is, or a watched socket is ready.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Wakes `waker` once when this side of the socket is ready, or, as well, when another side is that somebody else
    /// waits for. `number` is that of its connection.
    ///
    /// The socket has to stay open during the call; closing it later ends the watch without a wake.
    ///
    /// # Errors
    ///
    /// What the operating system says when it watches no more descriptors, with the waker, which is not woken then.
    pub fn watch(
        &self,
        number: u64,
        socket: BorrowedFd<'_>,
        side: Side,
        waker: Waker,
    ) -> Result<WatchKey, (io::Error, Waker)> {
        let key = WatchKey(self.last.fetch_add(1, Ordering::Relaxed));
        let mut watched = self.watched.lock();
        let watches = watched.entry(number).or_default();
        watches.push(Watch { key, side, waker });
        let sides = watches.iter().fold(EventFlags::ONESHOT, |sum, watch| sum | watch.side.flag());
        // Before the socket is armed: whoever is woken by it has to see that there is reason to collect.
        self.is_used.store(true, Ordering::Release);
        match self.arm(socket, number, sides) {
            Ok(()) => Ok(key),
            Err(errno) => {
                let watch = take(&mut watched, number, key);
                drop(watched);
                Err((errno.into(), watch.expect("it was put there under this lock").waker))
            }
        }
    }

    fn arm(&self, socket: BorrowedFd<'_>, number: u64, sides: EventFlags) -> Result<(), Errno> {
        let data = EventData::new_u64(number);
        match epoll::modify(&self.epoll, socket, data, sides) {
            // It is the first time, or the descriptor is another socket's by now.
            Err(Errno::NOENT) => epoll::add(&self.epoll, socket, data, sides),
            answer => answer,
        }
    }

    /// Ends a watch; harmless where it has ended. The queue may look ready for it once more.
    pub fn unwatch(&self, number: u64, key: WatchKey) {
        let ended = take(&mut self.watched.lock(), number, key);
        // A waker may run any code when it is dropped.
        drop(ended);
    }

    /// Whether there is reason to [collect](Self::collect).
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    /// Wakes whoever waits for a socket that is ready now.
    pub(super) fn collect(&self) {
        let mut room = [MaybeUninit::<Event>::uninit(); BATCH];
        loop {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let Ok((ready, _)) = epoll::wait(&self.epoll, &mut room, Some(&at_once)) else {
                return;
            };
            let (count, mut has_woken) = (ready.len(), false);
            for event in ready {
                let number = event.data.u64();
                has_woken |= number != SIGNAL && self.wake(number);
            }
            // The signal stays ready, and would be found again for ever.
            if count < BATCH || !has_woken {
                return;
            }
        }
    }

    fn wake(&self, number: u64) -> bool {
        let woken = self.watched.lock().remove(&number);
        let Some(woken) = woken else { return false };
        for watch in woken {
            watch.waker.wake();
        }
        true
    }
}

/// Takes a watch out, if it is still there.
fn take(watched: &mut Watched, number: u64, key: WatchKey) -> Option<Watch> {
    let watches = watched.get_mut(&number)?;
    let place = watches.iter().position(|watch| watch.key == key);
    let taken = place.map(|place| watches.swap_remove(place));
    if watches.is_empty() {
        watched.remove(&number);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::{io::Write, os::unix::net::UnixStream, sync::Arc, task::Wake};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    /// Sockets behind a signal that is never raised: the near ends of two pairs.
    fn sockets() -> (Sockets, (UnixStream, UnixStream), UnixStream) {
        let (signal, quiet) = UnixStream::pair().unwrap();
        (Sockets::new(signal.as_fd()).unwrap(), UnixStream::pair().unwrap(), quiet)
    }

    #[test]
    fn a_socket_that_is_ready_wakes_once_for_each_watch() {
        let (sockets, (near, mut far), _quiet) = sockets();
        let (count, waker) = counting();
        for round in 1..=3 {
            sockets.watch(7, near.as_fd(), Side::Readable, waker.clone()).unwrap();
            sockets.collect();
            assert_eq!(count.get(), round - usize::from(round == 1), "nothing is there at first");
            if round == 1 {
                far.write_all(b"x").unwrap();
                sockets.collect();
            }
            sockets.collect();
            assert_eq!(count.get(), round);
        }
    }

    #[test]
    fn what_is_ready_when_the_watch_begins_wakes_too() {
        let (sockets, (near, mut far), _quiet) = sockets();
        let (count, waker) = counting();
        far.write_all(b"x").unwrap();
        sockets.watch(7, near.as_fd(), Side::Readable, waker).unwrap();
        sockets.collect();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn both_sides_of_a_socket_are_watched_together() {
        let (sockets, (near, far), _quiet) = sockets();
        let ((reads, reader), (writes, writer)) = (counting(), counting());
        sockets.watch(7, near.as_fd(), Side::Readable, reader.clone()).unwrap();
        sockets.collect();
        assert_eq!(reads.get(), 0);
        sockets.watch(7, near.as_fd(), Side::Writable, writer).unwrap();
        sockets.collect();
        assert_eq!(
            (reads.get(), writes.get()),
            (1, 1),
            "a wake for nothing is allowed, none is lost"
        );
        sockets.watch(7, near.as_fd(), Side::Readable, reader).unwrap();
        drop(far);
        sockets.collect();
        assert_eq!(reads.get(), 2, "an end is worth a try");
    }

    #[test]
    fn whoever_gave_up_is_neither_woken_nor_kept() {
        let (sockets, (near, mut far), _quiet) = sockets();
        let ((gone, first), (count, second)) = (counting(), counting());
        let key = sockets.watch(7, near.as_fd(), Side::Readable, first).unwrap();
        sockets.watch(7, near.as_fd(), Side::Readable, second).unwrap();
        sockets.unwatch(7, key);
        sockets.unwatch(7, key);
        assert_eq!(Arc::strong_count(&gone), 1);
        far.write_all(b"x").unwrap();
        sockets.collect();
        assert_eq!((gone.get(), count.get()), (0, 1));
    }

    #[test]
    fn a_socket_that_was_closed_leaves_its_descriptor_to_the_next() {
        let (sockets, (near, far), _quiet) = sockets();
        let (count, waker) = counting();
        let key = sockets.watch(7, near.as_fd(), Side::Readable, waker.clone()).unwrap();
        drop((near, far));
        sockets.unwatch(7, key);
        sockets.collect();
        assert_eq!(count.get(), 0);
        // The lowest descriptor that is free is that of the one before.
        let (next, _peer) = UnixStream::pair().unwrap();
        sockets.watch(8, next.as_fd(), Side::Writable, waker).unwrap();
        sockets.collect();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_socket_that_nobody_waits_for_any_more_is_found_once() {
        let (sockets, (near, mut far), _quiet) = sockets();
        let key = sockets.watch(7, near.as_fd(), Side::Readable, Waker::noop().clone()).unwrap();
        sockets.unwatch(7, key);
        far.write_all(b"x").unwrap();
        let is_readable = || {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::from_borrowed_fd(sockets.fd(), PollFlags::IN)], Some(&at_once))
                == Ok(1)
        };
        assert!(is_readable() && sockets.is_used());
        sockets.collect();
        assert!(!is_readable(), "whoever polls it would never rest");
    }

    #[test]
    fn more_sockets_than_one_look_takes_are_all_found() {
        let (sockets, _, _quiet) = sockets();
        let (count, waker) = counting();
        let pairs: Vec<_> = (0..3 * BATCH).map(|_| UnixStream::pair().unwrap()).collect();
        for (number, (near, _)) in (0..).zip(&pairs) {
            sockets.watch(number, near.as_fd(), Side::Writable, waker.clone()).unwrap();
        }
        sockets.collect();
        assert_eq!(count.get(), pairs.len());
    }
}
