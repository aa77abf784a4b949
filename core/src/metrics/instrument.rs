//! What counts: counters, gauges and ledgers. Each is a cheap handle; clones count into the same place.

use super::{shard::Sharded, snapshot::Kind};
use parking_lot::Mutex;
use std::{
    fmt::Debug,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

/// A number that only grows. Adding is one relaxed atomic step on a cache line of the thread's own.
#[derive(Clone, Debug)]
pub struct Counter(Arc<Sharded<AtomicU64>>);

impl Counter {
    /// One that no registry shows.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Sharded::new()))
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.mine().fetch_add(count, Ordering::Relaxed);
    }

    /// The sum over all threads. Exact once they stand still; meanwhile it may miss what is just being added.
    pub fn value(&self) -> u64 {
        self.0.iter().map(|shard| shard.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// A number that goes up and down.
///
/// A gauge that has to agree with counters belongs into a [`Ledger`] with them.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(0)))
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Name, meaning and labels of one cell of a [`Ledger`].
#[derive(Clone, Copy, Debug)]
pub struct CellSpec<'a> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'a [(&'static str, &'a str)],
}

impl<'a> CellSpec<'a> {
    /// A cell that only grows.
    pub fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'a [(&'static str, &'a str)],
    ) -> Self {
        Self { name, help, kind: Kind::Counter, labels }
    }

    /// A cell that goes up and down.
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'a [(&'static str, &'a str)],
    ) -> Self {
        Self { name, help, kind: Kind::Gauge, labels }
    }
}

/// Numbers that change together: a snapshot sees the whole of a change or nothing of it.
///
/// So identities between them, such as *opened − closed = active*, hold in every snapshot. The price
/// is one short lock per change: right for what happens once per connection, wrong per chunk. Pools count
/// behind a lock of their own and are read instead.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug)]
struct Books {
    cells: Box<[i64]>,
    followed: Vec<Followed>,
}

#[derive(Debug)]
struct Followed {
    bookkeeper: Weak<dyn Bookkeeper>,
    /// What it said last, for the moment between its end and its last word.
    last: Box<[i64]>,
}

/// Who keeps the numbers of a [`Ledger`] itself. It is asked at each snapshot, and must not use the registry.
pub(crate) trait Bookkeeper: Debug + Send + Sync {
    /// The number in each cell, all of one moment.
    fn read(&self) -> Box<[i64]>;
}

impl Ledger {
    pub(super) fn new(cells: usize) -> Self {
        let cells = vec![0; cells].into();
        Self(Arc::new(Mutex::new(Books { cells, followed: Vec::new() })))
    }

    /// Adds to several cells at once; a cell is named by its place among those the ledger was made with.
    ///
    /// # Panics
    ///
    /// If there is no such cell.
    pub fn apply(&self, changes: &[(usize, i64)]) {
        let mut books = self.0.lock();
        for (cell, change) in changes {
            books.cells[*cell] = books.cells[*cell].wrapping_add(*change);
        }
    }

    /// Adds the numbers of `bookkeeper` to those of the ledger from now on, until it
    /// [leaves](Self::leave).
    pub(crate) fn follow(&self, bookkeeper: Weak<dyn Bookkeeper>) {
        let mut books = self.0.lock();
        let last = vec![0; books.cells.len()].into();
        books.followed.push(Followed { bookkeeper, last });
    }

    /// The end of a bookkeeper that was followed: what it says last stays in the ledger.
    pub(crate) fn leave(&self, bookkeeper: &Weak<dyn Bookkeeper>, last: &[i64]) {
        let mut books = self.0.lock();
        books.followed.retain(|followed| !followed.bookkeeper.ptr_eq(bookkeeper));
        add(&mut books.cells, last);
    }

    /// All cells at one moment.
    pub fn values(&self) -> Box<[i64]> {
        let mut read = Vec::new();
        let mut books = self.0.lock();
        let mut values = books.cells.clone();
        for followed in &mut books.followed {
            if let Some(bookkeeper) = followed.bookkeeper.upgrade() {
                followed.last = bookkeeper.read();
                // Its end may be here: it is dropped after the lock is released.
                read.push(bookkeeper);
            }
            add(&mut values, &followed.last);
        }
        drop(books);
        values
    }
}

fn add(sums: &mut [i64], more: &[i64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_counter_is_exact_once_its_threads_have_ended() {
        let counter = Counter::new();
        thread::scope(|scope| {
            for worker in 0..8 {
                let counter = counter.clone();
                scope.spawn(move || (0..10_000).for_each(|_| counter.add(worker)));
            }
        });
        assert_eq!(counter.value(), 10_000 * (0..8).sum::<u64>());
    }

    #[test]
    fn a_counter_seen_from_one_thread_never_falls() {
        let counter = Counter::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| counter.add(1)));
            }
            let mut last = 0;
            while last < 80_000 {
                let seen = counter.value();
                assert!(seen >= last);
                last = seen;
            }
        });
    }

    #[test]
    fn a_gauge_adds_up_over_threads() {
        let gauge = Gauge::new();
        gauge.set(5);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| gauge.add(2)));
                scope.spawn(|| (0..1_000).for_each(|_| gauge.add(-2)));
            }
        });
        assert_eq!(gauge.value(), 5);
    }

    #[test]
    fn nobody_sees_half_a_change_of_a_ledger() {
        let ledger = Ledger::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        ledger.apply(&[(0, 1), (2, 1)]);
                        ledger.apply(&[(1, 1), (2, -1)]);
                    }
                });
            }
            loop {
                let seen = ledger.values();
                assert_eq!(seen[0] - seen[1], seen[2]);
                assert!((0..=3).contains(&seen[2]), "one under way per thread at most");
                if seen[1] == 15_000 {
                    break;
                }
            }
        });
    }
}
