//! The process's one runtime as Python sees it, and an orderly end of the interpreter.

use crate::buffer::{self, call};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use trunkline::trunkline_runtime_shutdown;

/// The process in which the runtime was last used, or 0.
static USED_BY: AtomicU32 = AtomicU32::new(0);
static EXITING: AtomicBool = AtomicBool::new(false);
static DETACHED: AtomicUsize = AtomicUsize::new(0);
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A call has made the default runtime, or found it.
pub(crate) fn in_use() {
    USED_BY.store(std::process::id(), SeqCst);
}

/// Whether the interpreter has begun to end. From then on no call gives the interpreter up: a thread
/// that asked for it back too late would be ended in the middle of native code.
pub(crate) fn is_exiting() -> bool {
    EXITING.load(SeqCst)
}

/// Runs `work` while other Python threads may run, unless the interpreter is ending.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    match Detached::begin() {
        Some(_counted) => py.detach(work),
        None => work(),
    }
}

/// Counts a thread that has given the interpreter up, until it has it back.
pub(crate) struct Detached;

impl Detached {
    /// `None` once the interpreter is ending.
    pub(crate) fn begin() -> Option<Self> {
        DETACHED.fetch_add(1, SeqCst);
        let counted = Self;
        (!is_exiting()).then_some(counted)
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        DETACHED.fetch_sub(1, SeqCst);
    }
}

/// Counts a thread that waits, for as long as it lives.
pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn begin() -> Self {
        WAITING.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// Says how the runtime will be made, before its first use.
#[pyfunction]
pub(crate) fn configure(py: Python<'_>, workers: u32) -> PyResult<()> {
    buffer::configure(workers).map_err(|failed| failed.raise(py))
}

/// Stops the runtime; the next use makes a new one.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>, deadline_ns: i64) -> PyResult<()> {
    USED_BY.store(0, SeqCst);
    let stop = || {
        let default = buffer::DEFAULT;
        call((), |_, err| trunkline_runtime_shutdown(default, deadline_ns, err))
    };
    detached(py, stop).map_err(|failed| failed.raise(py))
}

/// Whether this process uses the runtime.
#[pyfunction]
pub(crate) fn is_running() -> bool {
    USED_BY.load(SeqCst) == std::process::id()
}

/// The interpreter is about to end: no thread gives it up from now on.
#[pyfunction]
pub(crate) fn begin_exit() {
    EXITING.store(true, SeqCst);
}

/// Keeps an object of the parent's for ever, so that no destructor runs for it in this child of a fork.
#[pyfunction]
pub(crate) fn leave_to_parent(inherited: Py<PyAny>) {
    #[expect(clippy::mem_forget, reason = "a child must not end what its parent holds")]
    std::mem::forget(inherited);
}

/// Threads that wait on a queue, for tests.
#[pyfunction]
pub(crate) fn threads_waiting() -> usize {
    WAITING.load(SeqCst)
}

/// Threads that have given the interpreter up, to wait or to move bytes.
#[pyfunction]
pub(crate) fn threads_detached() -> usize {
    DETACHED.load(SeqCst)
}

/// The library's version.
#[pyfunction]
pub(crate) fn version() -> String {
    buffer::version()
}
