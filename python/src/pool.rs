//! The keyed pool: numbers under keys. What they stand for stays in Python.

use crate::{
    buffer::{self, completion, plain},
    failure::Doing,
    job::Job,
    open::Operation,
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

    /// Puts a number under a key; what was there is given up. False if it would have to wait for a place.
    fn insert(&self, py: Python<'_>, key: &[u8], number: u64, lifetime_ns: i64) -> PyResult<bool> {
        match buffer::pool_insert_for(self.handle, key, number, lifetime_ns) {
            Ok(()) => Ok(true),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(false),
            Err(failed) => Err(failed.raise_while(py, doing())),
        }
    }

    /// Starts to put a number under a key, which waits for a place.
    #[expect(clippy::too_many_arguments, reason = "as in C")]
    fn start_insert(
        &self,
        py: Python<'_>,
        key: &[u8],
        number: u64,
        lifetime_ns: i64,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let (times, to) = ((lifetime_ns, deadline_ns), completion(queue.handle, tag));
        let op = buffer::pool_insert_async(self.handle, key, number, times, &to);
        op.map(Operation::of).map_err(|failed| failed.raise_while(py, doing()))
    }

    /// The number under a key, or the job to make one by then; nothing if either has to be waited for.
    fn get_or_create(
        &self,
        py: Python<'_>,
        key: &[u8],
        make_deadline_ns: i64,
    ) -> PyResult<Option<Asked>> {
        match buffer::pool_ask(self.handle, key, make_deadline_ns) {
            Ok((number, trunkline_job_t { h: 0 })) => Ok(Some(Asked::Number(number))),
            Ok((_, job)) => Ok(Some(Asked::Job(Job::of(job, u64::from(TRUNKLINE_JOB_MAKE), 0)))),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(failed) => Err(failed.raise_while(py, doing())),
        }
    }

    /// Starts to ask for the number under a key, which waits; the event has the number or the job.
    fn start_get_or_create(
        &self,
        py: Python<'_>,
        key: &[u8],
        deadline_ns: i64,
        make_deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let (deadlines, to) = ((deadline_ns, make_deadline_ns), completion(queue.handle, tag));
        let op = buffer::pool_ask_async(self.handle, key, deadlines, &to);
        op.map(Operation::of).map_err(|failed| failed.raise_while(py, doing()))
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

/// What there is for who asks: the number under the key, or the job to make one.
#[derive(IntoPyObject)]
pub(crate) enum Asked {
    Number(u64),
    Job(Job),
}

impl Drop for KeyedPool {
    fn drop(&mut self) {
        let _ = trunkline_keyed_pool_free(self.handle);
    }
}
