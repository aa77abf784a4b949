//! The agent of a tunnel.

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

/// Stands for a cluster at its hubs.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Agent {
    handle: trunkline_agent_t,
}

fn doing(step: i32) -> Doing {
    Doing { step, address: None }
}

#[pymethods]
impl Agent {
    #[new]
    fn new(py: Python<'_>, json: &str, tls: Option<&Tls>) -> PyResult<Self> {
        let made = buffer::tunnel::agent(json, handle_of(tls));
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Starts to wait for a tunnel to any hub; the event with `tag` has no value.
    fn wait_ready(
        &self,
        py: Python<'_>,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let blank = trunkline_op_t { h: 0 };
        let op = call(blank, |op, err| {
            trunkline_agent_wait_ready_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = doing(TRUNKLINE_STEP_CONNECT);
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// The listener of connections without a target.
    fn listener(&self, py: Python<'_>) -> PyResult<Listener> {
        let blank = trunkline_listener_t { h: 0 };
        let listener = call(blank, |out, err| trunkline_agent_listener(self.handle, out, err));
        let doing = doing(TRUNKLINE_STEP_BIND);
        Ok(Listener::of(listener.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Lets a share of the connections to come reach the listener by a pipe.
    fn use_memory_comm(&self, py: Python<'_>, share: f64) -> PyResult<()> {
        let set = call((), |_, err| trunkline_agent_use_memory_comm(self.handle, share, err));
        set.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_CONFIGURE)))
    }

    /// The share of memory; the counts of memory and of the socket, in the order of the header.
    fn memory_comm_stats(&self, py: Python<'_>) -> PyResult<(f64, [u64; 7], [u64; 7])> {
        let read = buffer::tunnel::memory_comm_stats(self.handle);
        let s = read.map_err(|failed| failed.raise(py))?;
        let memory = [
            s.memory_active,
            s.memory_opened,
            s.memory_closed,
            s.memory_fallbacks,
            s.memory_failed,
            s.memory_bytes_received,
            s.memory_bytes_sent,
        ];
        let socket = [
            s.socket_active,
            s.socket_opened,
            s.socket_closed,
            s.socket_fallbacks,
            s.socket_failed,
            s.socket_bytes_received,
            s.socket_bytes_sent,
        ];
        Ok((s.memory_share, memory, socket))
    }

    /// The counts, in the order of the header.
    fn stats(&self, py: Python<'_>) -> PyResult<[u64; 11]> {
        let s = buffer::tunnel::agent_stats(self.handle).map_err(|failed| failed.raise(py))?;
        Ok([
            s.links,
            s.links_opened,
            s.links_failed,
            s.replaced,
            s.active,
            s.limit,
            s.opened,
            s.closed,
            s.refused,
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
            trunkline_agent_drain_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = doing(TRUNKLINE_STEP_DRAIN);
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Closes everything; every descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || plain(trunkline_agent_close(self.handle)))
            .map_err(|failed| failed.raise(py))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::tunnel::agent_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = trunkline_agent_free(self.handle);
    }
}
