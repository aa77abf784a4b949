//! The keyed pool: numbers under keys. What they stand for stays in Python.

use crate::{
    buffer::{self, plain},
    failure::Doing,
    queue::Queue,
    runtime,
};
use pyo3::prelude::*;
use trunkline::*;

/// Entries and the most there can be; hits and misses; inserted, taken, expired, evicted and closed; average
/// age in nanoseconds.
type Stats = ((u64, u64), (u64, u64), (u64, u64, u64, u64, u64), i64);

/// A bounded, expiring pool of numbers under keys of bytes.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct KeyedPool {
    handle: trunkline_keyed_pool_t,
}

fn doing() -> Doing {
    Doing { step: TRUNKLINE_STEP_ACQUIRE, address: None }
}

#[pymethods]
impl KeyedPool {
    /// What it gives up comes to `queue` as events with `tag`, the number and the reason.
    #[new]
    fn new(py: Python<'_>, json: &str, queue: &Queue, tag: u64) -> PyResult<Self> {
        let made = buffer::keyed_pool(json, queue.handle, tag);
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Puts a number under a key; what was there is given up.
    fn insert(&self, py: Python<'_>, key: &[u8], number: u64) -> PyResult<()> {
        buffer::pool_insert(self.handle, key, number)
            .map_err(|failed| failed.raise_while(py, doing()))
    }

    /// The number under a key.
    fn get(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<u64>> {
        match buffer::pool_get(self.handle, key) {
            Ok(number) => Ok(Some(number)),
            Err(failed) if failed.is(TRUNKLINE_E_NOT_FOUND) => Ok(None),
            Err(failed) => Err(failed.raise_while(py, doing())),
        }
    }

    /// Takes the number under a key out.
    fn remove(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<u64>> {
        match buffer::pool_remove(self.handle, key) {
            Ok(number) => Ok(Some(number)),
            Err(failed) if failed.is(TRUNKLINE_E_NOT_FOUND) => Ok(None),
            Err(failed) => Err(failed.raise_while(py, doing())),
        }
    }

    /// Gives up all.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_keyed_pool_clear(self.handle))
            .map_err(|failed| failed.raise_while(py, doing()))
    }

    /// Gives up what has expired, and says how many.
    fn prune_expired(&self, py: Python<'_>) -> PyResult<u64> {
        buffer::call(0, |count, _| trunkline_keyed_pool_prune_expired(self.handle, count))
            .map_err(|failed| failed.raise_while(py, doing()))
    }

    /// Entries and the most there can be; hits and misses; inserted, taken, expired, evicted and closed;
    /// average age in nanoseconds.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let stats = buffer::pool_stats(self.handle);
        let s = stats.map_err(|failed| failed.raise_while(py, doing()))?;
        let (entries, uses) = ((s.entries, s.max_entries), (s.hits, s.misses));
        let ways = (s.inserted, s.taken, s.expired, s.evicted, s.closed);
        Ok((entries, uses, ways, s.average_age_ns))
    }

    /// Gives up all, and takes no more.
    fn close(&self) {
        // Refused only for the second time, and in a forked child, where it is the parent's.
        let _ = trunkline_keyed_pool_free(self.handle);
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::pool_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for KeyedPool {
    fn drop(&mut self) {
        let _ = trunkline_keyed_pool_free(self.handle);
    }
}
