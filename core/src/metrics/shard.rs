//! Counting without contention: each thread adds to a cache line that few others use.

use std::{
    cell::Cell,
    num::NonZeroUsize,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// More shards than this cost memory and reading time without taking contention away.
const SHARDS_MAX: usize = 16;

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// One `T` per shard; a thread always sees the same one.
#[derive(Debug)]
pub(super) struct Sharded<T> {
    /// A power of two of them.
    shards: Box<[Padded<T>]>,
}

impl<T: Default> Sharded<T> {
    pub(super) fn new() -> Self {
        Self { shards: (0..shard_count()).map(|_| Padded::default()).collect() }
    }

    /// The calling thread's shard. Others may share it, so it is still changed by atomic steps.
    pub(super) fn mine(&self) -> &T {
        &self.shards[thread_number() & (self.shards.len() - 1)].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &shard.0)
    }
}

fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        threads.next_power_of_two().min(SHARDS_MAX)
    })
}

/// Numbers threads in the order in which they first count something, so that workers spread evenly.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const UNSET: usize = usize::MAX;
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(UNSET) });
    NUMBER.with(|number| {
        if number.get() == UNSET {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_shard_and_the_count_is_a_power_of_two() {
        let sharded = Sharded::<AtomicUsize>::new();
        assert!(sharded.shards.len().is_power_of_two());
        assert!(std::ptr::eq(sharded.mine(), sharded.mine()));
        assert_eq!(sharded.iter().count(), sharded.shards.len());
    }
}
