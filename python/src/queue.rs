//! The queue that a thread or an event loop of Python waits on.

use crate::{
    buffer::{self, DEFAULT, Event, Failed, Polled, call, drain, poll_queue},
    channel::Reply,
    checkout::Lease,
    failure::{Doing, exception},
    job::Job,
    runtime::{self, Detached, Waiting},
    stream::Stream,
};
use pyo3::{exceptions::PySystemExit, prelude::*};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;
use trunkline::*;

/// The longest time between two looks for signals. One that comes just before a `poll` does not
/// interrupt it.
const SLICE: Duration = Duration::from_millis(100);

/// What Python sees of an event: tag, handle, value, error and, where it carries one, the object.
pub(crate) type Told<'py> = (u64, u64, u64, Option<Bound<'py, PyAny>>, Option<Carried>);

/// An object that an event carries.
#[derive(IntoPyObject)]
pub(crate) enum Carried {
    Stream(Stream),
    Lease(Lease),
    Job(Job),
    Reply(Reply),
}

/// A completion queue, used by one thread at a time.
#[pyclass(frozen, module = "trunkline._native", weakref)]
pub(crate) struct Queue {
    pub(crate) handle: trunkline_cq_t,
}

#[pymethods]
impl Queue {
    /// Holds at most `max_pending` operations under way and undrained events; 0 means 65536.
    #[new]
    #[pyo3(signature = (max_pending=0))]
    fn new(py: Python<'_>, max_pending: u32) -> PyResult<Self> {
        let blank = trunkline_cq_t { h: 0 };
        let made = call(blank, |out, err| trunkline_cq_new(DEFAULT, max_pending, out, err));
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// The descriptor that is readable while there is something to drain. Borrowed.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        call(-1, |fd, _| trunkline_cq_fd(self.handle, fd)).map_err(|failed| failed.raise(py))
    }

    /// The events that are there, oldest first.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        match drain(self.handle) {
            Ok(events) => events.into_iter().map(|event| told(py, event, self.handle)).collect(),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(Vec::new()),
            Err(failed) => Err(failed.raise(py)),
        }
    }

    /// Waits for events until the deadline, but returns without one now and then: after a signal, or a wake.
    ///
    /// With `signals`, handlers of signals run meanwhile, and what they raise is raised here. Once the
    /// interpreter is ending, a thread that would wait is told to end too, by `SystemExit`.
    fn wait<'py>(
        &self,
        py: Python<'py>,
        deadline_ns: i64,
        signals: bool,
    ) -> PyResult<Vec<Told<'py>>> {
        match self.poll(py, deadline_ns, signals, || {})? {
            Polled::Ready => self.drain(py),
            Polled::Not => Ok(Vec::new()),
        }
    }

    /// Makes whoever waits look around.
    fn wake(&self) {
        // Refused only in a forked child, where nobody waits on it.
        let _ = trunkline_cq_wake(self.handle);
    }
}

impl Queue {
    /// Waits until the queue has something to tell, and then runs `told` before the interpreter is back.
    fn poll(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        signals: bool,
        told: impl FnOnce() + Send,
    ) -> PyResult<Polled> {
        let Some(detached) = Detached::begin() else {
            return Err(PySystemExit::new_err(()));
        };
        let limit = limit(deadline_ns, signals);
        let polled = py.detach(|| {
            let _counted = Waiting::begin();
            let polled = poll_queue(self.handle, limit);
            if matches!(polled, Ok(Polled::Ready)) {
                told();
            }
            polled
        });
        drop(detached);
        if signals {
            py.check_signals()?;
        }
        polled.map_err(|failed| failed.raise(py))
    }

    /// Waits a while for what was just armed on this queue, on which nobody waits for anything else.
    pub(crate) fn wait_armed(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        signals: bool,
    ) -> PyResult<()> {
        // Whatever came, another try is worth it; an event of an earlier arm may be among them.
        let forget = || drop(drain(self.handle));
        self.poll(py, deadline_ns, signals, forget).map(drop)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = trunkline_cq_free(self.handle);
    }
}

/// What may pass until the deadline, or until the next look for signals.
fn limit(deadline_ns: i64, signals: bool) -> Option<Timespec> {
    let slice = if signals { Some(SLICE) } else { None };
    let left = (deadline_ns != TRUNKLINE_DEADLINE_NONE).then(|| {
        let now = clock_gettime(ClockId::Monotonic);
        let now_ns = now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec);
        Duration::from_nanos(deadline_ns.saturating_sub(now_ns).try_into().unwrap_or(0))
    });
    let limit = match (slice, left) {
        (Some(slice), Some(left)) => Some(slice.min(left)),
        (slice, left) => slice.or(left),
    };
    limit.and_then(|limit| Timespec::try_from(limit).ok())
}

/// As Python sees an event of `queue`.
pub(crate) fn told(py: Python<'_>, event: Event, queue: trunkline_cq_t) -> PyResult<Told<'_>> {
    let Event { tag, kind, status, handle, value, about, reply, error } = event;
    let reply = reply.map(|reply| Reply::of(py, &reply).map(Carried::Reply)).transpose()?;
    let carried = match (kind, handle) {
        (_, 0) => reply,
        (TRUNKLINE_EV_CONNECTED, _) => Some(Carried::Stream(Stream::of(handle))),
        (TRUNKLINE_EV_LEASE, _) => {
            let pool = trunkline_pool_t { h: about };
            Some(Carried::Lease(Lease::of(pool, handle, value, queue)))
        }
        (TRUNKLINE_EV_JOB, _) => {
            Some(Carried::Job(Job::of(trunkline_job_t { h: handle }, value, about)))
        }
        _ => None,
    };
    let error = match (kind, status) {
        (_, TRUNKLINE_OK) => None,
        // Whoever waited tries again, and is told by that.
        (TRUNKLINE_EV_READABLE | TRUNKLINE_EV_WRITABLE | TRUNKLINE_EV_ACCEPTABLE, _) => None,
        _ => Some(exception(py, &Failed { status, error }, doing(kind))?),
    };
    Ok((tag, handle, value, error, carried))
}

/// What was being done that ends with such an event.
fn doing(kind: u32) -> Doing {
    let step = match kind {
        TRUNKLINE_EV_LEASE => TRUNKLINE_STEP_ACQUIRE,
        TRUNKLINE_EV_REPLY => TRUNKLINE_STEP_CALL,
        _ => 0,
    };
    Doing { step, address: None }
}

/// Asks `function` for an event on a queue, which is refused by status alone.
pub(crate) fn arm(py: Python<'_>, status: trunkline_status_t, doing: Doing) -> PyResult<()> {
    buffer::plain(status).map_err(|failed| failed.raise_while(py, doing))
}
