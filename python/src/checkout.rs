//! The checkout pool: numbers of connections, lent one at a time. What they stand for stays in Python.

use crate::{
    buffer::{self, Failed, call, checkout, completion, plain},
    failure::{Doing, over},
    open::Operation,
    queue::{Queue, Told, told},
    runtime::{self, detached},
    stream::Stream,
    tls::{Tls, handle_of},
};
use pyo3::prelude::*;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::AcqRel},
};
use trunkline::*;

/// A checkout pool, whose events go to one queue.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Pool {
    handle: trunkline_pool_t,
    queue: trunkline_cq_t,
}

/// A connection that is lent. It goes back with this object at the latest.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Lease {
    pool: trunkline_pool_t,
    lease: trunkline_lease_t,
    connection: u64,
    queue: trunkline_cq_t,
    is_over: AtomicBool,
}

fn acquiring() -> Doing {
    Doing { step: TRUNKLINE_STEP_ACQUIRE, address: None }
}

impl Pool {
    fn made(
        py: Python<'_>,
        made: Result<trunkline_pool_t, Failed>,
        queue: &Queue,
    ) -> PyResult<Self> {
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle, queue: queue.handle })
    }

    fn lease(&self, leased: trunkline_leased_t) -> Lease {
        Lease::of(self.handle, leased.lease.h, leased.value, self.queue)
    }

    /// Starts what ends with an event with `tag`.
    fn start(
        &self,
        py: Python<'_>,
        tag: u64,
        step: i32,
        start: impl FnOnce(
            Option<&trunkline_completion_t>,
            buffer::Out<'_, trunkline_op_t>,
            buffer::Err<'_>,
        ) -> trunkline_status_t,
    ) -> PyResult<Operation> {
        let to = completion(self.queue, tag);
        let op = call(trunkline_op_t { h: 0 }, |op, err| start(Some(&to), op, err));
        let doing = Doing { step, address: None };
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }
}

#[pymethods]
impl Pool {
    /// Its connections are made, checked, reset and closed by jobs, which come to `queue` with `tag`.
    #[new]
    fn new(py: Python<'_>, json: &str, queue: &Queue, tag: u64, abilities: u32) -> PyResult<Self> {
        Self::made(py, checkout::pool_of_jobs(json, queue.handle, tag, abilities), queue)
    }

    /// Its connections are streams to `addresses`.
    #[staticmethod]
    fn of_streams(
        py: Python<'_>,
        json: &str,
        addresses: Vec<String>,
        queue: &Queue,
        tls: Option<&Tls>,
    ) -> PyResult<Self> {
        Self::made(py, checkout::pool_of_streams(json, &addresses, handle_of(tls)), queue)
    }

    /// A connection if one is ready.
    fn try_acquire(&self, py: Python<'_>, holder: &str) -> PyResult<Option<Lease>> {
        match checkout::try_acquire(self.handle, holder) {
            Ok(leased) => Ok(Some(self.lease(leased))),
            Err(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(status) => Err(Failed { status, error: None }.raise_while(py, acquiring())),
        }
    }

    /// A connection, or what cancels the wait for one: the event with `tag` has it. `None` is the pool's own
    /// time limit.
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        deadline_ns: Option<i64>,
        holder: &str,
        tag: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = deadline_ns.unwrap_or(TRUNKLINE_DEADLINE_DEFAULT);
        let to = completion(self.queue, tag);
        let acquired = checkout::acquire(self.handle, deadline, holder, &to);
        let (leased, op) = acquired.map_err(|failed| failed.raise_while(py, acquiring()))?;
        match leased.lease.h {
            0 => Ok(Bound::new(py, Operation::of(op))?.into_any()),
            _ => Ok(Bound::new(py, self.lease(leased))?.into_any()),
        }
    }

    /// Starts to wait until as many are ready as are to stand ready.
    fn wait_ready(&self, py: Python<'_>, deadline_ns: i64, tag: u64) -> PyResult<Operation> {
        self.start(py, tag, TRUNKLINE_STEP_WAIT, |to, op, err| {
            trunkline_pool_wait_ready_async(self.handle, deadline_ns, to, op, err)
        })
    }

    /// Lends no more, and starts to wait until all are closed; the value of the event is how many are left.
    fn drain(&self, py: Python<'_>, deadline_ns: i64, tag: u64) -> PyResult<Operation> {
        self.start(py, tag, TRUNKLINE_STEP_DRAIN, |to, op, err| {
            trunkline_pool_drain_async(self.handle, deadline_ns, to, op, err)
        })
    }

    /// Closes, and starts to wait until all are closed; the value of the event is how many are left.
    fn close(&self, py: Python<'_>, deadline_ns: i64, tag: u64) -> PyResult<Operation> {
        self.start(py, tag, TRUNKLINE_STEP_SHUTDOWN, |to, op, err| {
            trunkline_pool_close_async(self.handle, deadline_ns, to, op, err)
        })
    }

    /// The counts, each under its name in C.
    fn stats(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
        checkout::stats(self.handle).map(named).map_err(|failed| failed.raise(py))
    }

    /// The counts; the peak starts anew.
    fn take_stats(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
        checkout::take_stats(self.handle).map(named).map_err(|failed| failed.raise(py))
    }

    /// Who holds what, as JSON.
    fn leases(&self, py: Python<'_>) -> PyResult<String> {
        checkout::leases(self.handle).map_err(|failed| failed.raise(py))
    }

    /// What the tuner advised lately, oldest first, as JSON.
    fn advice(&self, py: Python<'_>) -> PyResult<String> {
        checkout::advice(self.handle).map_err(|failed| failed.raise(py))
    }

    /// Changes how many there may be, and how many are to stand ready.
    fn resize(&self, py: Python<'_>, max_size: u32, min_idle: u32) -> PyResult<()> {
        call((), |_, err| trunkline_pool_resize(self.handle, max_size, min_idle, err))
            .map_err(|failed| failed.raise(py))
    }

    /// Has it connect to these addresses from now on.
    fn set_endpoints(&self, py: Python<'_>, addresses: Vec<String>) -> PyResult<()> {
        checkout::set_endpoints(self.handle, &addresses).map_err(|failed| failed.raise(py))
    }

    /// Retires all that were made so far.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_pool_clear(self.handle)).map_err(|failed| failed.raise(py))
    }

    /// Checks all that are idle, in the background.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_pool_check(self.handle)).map_err(|failed| failed.raise(py))
    }

    /// Ends it, those that are lent included.
    fn free(&self, py: Python<'_>) {
        // Refused only for the second time, and in a forked child, where it is the parent's.
        let _ = detached(py, || trunkline_pool_free(self.handle));
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        checkout::stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = trunkline_pool_free(self.handle);
    }
}

impl Lease {
    pub(crate) fn of(
        pool: trunkline_pool_t,
        lease: u64,
        connection: u64,
        queue: trunkline_cq_t,
    ) -> Self {
        let lease = trunkline_lease_t { h: lease };
        Self { pool, lease, connection, queue, is_over: AtomicBool::new(false) }
    }

    /// Only the first to ask may end it.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_over.swap(true, AcqRel) { Err(over(py)) } else { Ok(()) }
    }

    fn raise(py: Python<'_>, failed: Failed) -> PyErr {
        if failed.is(TRUNKLINE_E_INVALID_HANDLE) { over(py) } else { failed.raise(py) }
    }

    fn detached(&self, py: Python<'_>) -> PyResult<u64> {
        self.end(py)?;
        call(0, |value, _| trunkline_pool_detach(self.pool, self.lease, value))
            .map_err(|failed| Self::raise(py, failed))
    }
}

#[pymethods]
impl Lease {
    /// The number of what is lent.
    #[getter]
    fn connection(&self) -> u64 {
        self.connection
    }

    /// Its number.
    #[getter]
    fn number(&self) -> u64 {
        self.lease.h
    }

    /// What is lent, if it is a stream; to be given up before the release.
    fn stream(&self) -> Stream {
        Stream::lent(self.connection)
    }

    /// Puts the connection back, or has it closed. The event, if any, is for whoever waits with its tag.
    fn release<'py>(&self, py: Python<'py>, discard: bool) -> PyResult<Option<Told<'py>>> {
        self.end(py)?;
        let flags = if discard { TRUNKLINE_POOL_DISCARD } else { 0 };
        match checkout::release(self.pool, self.lease, flags, self.queue) {
            Ok(None) => Ok(None),
            Ok(Some(event)) => told(py, event, self.queue).map(Some),
            Err(failed) => Err(Self::raise(py, failed)),
        }
    }

    /// Takes the connection out of the pool for good; its number.
    fn detach(&self, py: Python<'_>) -> PyResult<u64> {
        self.detached(py)
    }

    /// Takes the stream out of the pool for good.
    fn detach_stream(&self, py: Python<'_>) -> PyResult<Stream> {
        self.detached(py).map(Stream::of)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !*self.is_over.get_mut() {
            let _ = trunkline_pool_release(self.pool, self.lease, 0);
        }
    }
}

macro_rules! by_name {
    ($stats:ident: $($name:ident)*) => {
        BTreeMap::from([$((stringify!($name), $stats.$name)),*])
    };
}

fn named(stats: trunkline_pool_stats_t) -> BTreeMap<&'static str, u64> {
    by_name!(stats:
        max_size min_idle idle used validating connecting closing waiting
        created create_failed closed acquired hits handed_over timeouts cancelled refused invalid
        relieved leaks epoch peak_used use_time_ns wait_time_ns
        closed_idle_timeout closed_lifetime closed_discarded closed_cleared closed_pool_closed
        closed_broken closed_invalid closed_shrunk closed_detached closed_endpoint_removed
    )
}
