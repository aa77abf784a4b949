//! The memory proxy.

use crate::{
    buffer::{self, call, completion, plain},
    failure::Doing,
    listener::Listener,
    open::Operation,
    queue::Queue,
    runtime::{self, detached},
    tls::{Tls, handle_of},
};
use pyo3::prelude::*;
use trunkline::*;

/// Serves HTTP on listeners, and passes requests on.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct MemoryProxy {
    handle: trunkline_memory_proxy_t,
}

fn doing(step: i32) -> Doing {
    Doing { step, address: None }
}

#[pymethods]
impl MemoryProxy {
    #[new]
    fn new(
        py: Python<'_>,
        json: &str,
        tls: Option<&Tls>,
        hooks: u32,
        queue: Option<&Queue>,
        tag: u64,
    ) -> PyResult<Self> {
        let to = queue.map(|queue| (queue.handle, tag));
        let made = buffer::proxy::proxy(json, handle_of(tls), hooks, to);
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Serves what comes to a listener.
    fn serve(&self, py: Python<'_>, listener: &Listener) -> PyResult<()> {
        let at = listener.handle;
        let served = call((), |_, err| trunkline_memory_proxy_serve(self.handle, at, err));
        served.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_ACCEPT)))
    }

    /// The counts, in the order of the header.
    fn stats(&self, py: Python<'_>) -> PyResult<[u64; 11]> {
        let s = buffer::proxy::stats(self.handle).map_err(|failed| failed.raise(py))?;
        Ok([
            s.active,
            s.limit,
            s.opened,
            s.closed,
            s.requests,
            s.denied,
            s.upgraded,
            s.handshakes_failed,
            s.hooks_failed,
            s.bytes_received,
            s.bytes_sent,
        ])
    }

    /// Starts to drain; the value of the event with `tag` is how many connections were cut.
    fn drain(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let blank = trunkline_op_t { h: 0 };
        let op = call(blank, |op, err| {
            trunkline_memory_proxy_drain_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = doing(TRUNKLINE_STEP_DRAIN);
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Closes everything; every descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || plain(trunkline_memory_proxy_close(self.handle)))
            .map_err(|failed| failed.raise(py))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::proxy::stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for MemoryProxy {
    fn drop(&mut self) {
        let _ = trunkline_memory_proxy_free(self.handle);
    }
}
