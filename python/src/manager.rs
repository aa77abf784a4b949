//! The TCP connection manager: dials, accepts, relays, counts and drains.

use crate::{
    buffer::{self, completion, plain},
    failure::Doing,
    listener::Listener,
    open::Operation,
    queue::Queue,
    runtime::{self, detached},
    tls::{Tls, handle_of},
};
use pyo3::prelude::*;
use trunkline::*;

/// Active, limit, opened, closed; accepted, dialled, waiting; bytes received, sent and spliced; pauses of accepting; and
/// closed by reason, in the order of TRUNKLINE_CLOSE_*.
type Stats = ((u64, u64, u64, u64), (u64, u64, u64), (u64, u64, u64), u64, [u64; 15]);

/// Makes, accepts, runs and counts TCP connections.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct TcpManager {
    handle: trunkline_tcp_manager_t,
}

fn doing(step: i32, address: &str) -> Doing {
    Doing { step, address: Some(address.to_owned()) }
}

#[pymethods]
impl TcpManager {
    /// An empty document means the defaults.
    #[new]
    fn new(py: Python<'_>, json: &str, tls: Option<&Tls>) -> PyResult<Self> {
        let made = buffer::tcp_manager(json, handle_of(tls));
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Starts to connect; the event with `tag` has the stream.
    fn connect(
        &self,
        py: Python<'_>,
        address: &str,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let op = buffer::manager_connect(self.handle, address, deadline_ns, &to);
        let doing = doing(TRUNKLINE_STEP_CONNECT, address);
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Listens; what is accepted counts against the limit. Looks a host name up.
    fn listen(&self, py: Python<'_>, address: &str) -> PyResult<Listener> {
        let listener = detached(py, || buffer::manager_listen(self.handle, address));
        let doing = doing(TRUNKLINE_STEP_BIND, address);
        Ok(Listener::of(listener.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Accepts on one address and copies to and from another, in the background; the address that is
    /// listened on. Looks a host name up.
    fn relay(&self, py: Python<'_>, listen: &str, destination: &str) -> PyResult<String> {
        let bound = detached(py, || buffer::manager_relay(self.handle, listen, destination));
        bound.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_BIND, listen)))
    }

    /// Listens where the document says; the addresses by name, as JSON. Looks host names up.
    fn start(&self, py: Python<'_>) -> PyResult<String> {
        let bound = detached(py, || buffer::manager_start(self.handle));
        let doing = Doing { step: TRUNKLINE_STEP_BIND, address: None };
        bound.map_err(|failed| failed.raise_while(py, doing))
    }

    /// Has the questions where connections go come to a queue as jobs, with `tag`; without one, no longer.
    fn on_route(&self, py: Python<'_>, queue: Option<&Queue>, tag: u64) -> PyResult<()> {
        let to = queue.map(|queue| (queue.handle, tag));
        buffer::route::manager_on_route(self.handle, to).map_err(|failed| failed.raise(py))
    }

    /// Has the questions how endpoints are come to a queue as jobs, with `tag`; without one, no longer.
    fn on_check(&self, py: Python<'_>, queue: Option<&Queue>, tag: u64) -> PyResult<()> {
        let to = queue.map(|queue| (queue.handle, tag));
        buffer::check::manager_on_check(self.handle, to).map_err(|failed| failed.raise(py))
    }

    /// The endpoints of every backend, as JSON.
    fn endpoints(&self, py: Python<'_>) -> PyResult<String> {
        buffer::check::manager_endpoints(self.handle).map_err(|failed| failed.raise(py))
    }

    /// Active, limit, opened, closed; accepted, dialled, waiting; bytes received, sent and spliced; pauses of
    /// accepting; and closed by reason.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let s = buffer::manager_stats(self.handle).map_err(|failed| failed.raise(py))?;
        let reasons = [
            s.closed_finished,
            s.closed_local,
            s.closed_reset,
            s.closed_idle_timeout,
            s.closed_half_close_timeout,
            s.closed_connect_failed,
            s.closed_drained,
            s.closed_cancelled,
            s.closed_evicted,
            s.closed_refused,
            s.closed_killed,
            s.closed_max_duration,
            s.closed_source_limit,
            s.closed_backend_full,
            s.closed_queue_timeout,
        ];
        let ways = (s.accepted, s.dialled, s.waiting);
        let bytes = (s.bytes_received, s.bytes_sent, s.bytes_spliced);
        Ok(((s.active, s.limit, s.opened, s.closed), ways, bytes, s.accept_pauses, reasons))
    }

    /// Goes by another document from now on.
    fn reconfigure(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        buffer::manager_reconfigure(self.handle, json).map_err(|failed| failed.raise(py))
    }

    /// Connections with a number above `after`, `max` at most, as JSON.
    fn live(&self, py: Python<'_>, after: u64, max: usize) -> PyResult<String> {
        buffer::manager_live(self.handle, after, max).map_err(|failed| failed.raise(py))
    }

    /// The connection with a number, as JSON.
    fn inspect(&self, py: Python<'_>, id: u64) -> PyResult<String> {
        buffer::manager_inspect(self.handle, id).map_err(|failed| failed.raise(py))
    }

    /// Ends the connection with a number.
    fn kill(&self, py: Python<'_>, id: u64) -> PyResult<()> {
        let ended = buffer::call((), |_, err| trunkline_tcp_manager_kill(self.handle, id, err));
        ended.map_err(|failed| failed.raise(py))
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
        let op = buffer::call(blank, |op, err| {
            trunkline_tcp_manager_drain_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = Doing { step: TRUNKLINE_STEP_DRAIN, address: None };
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Closes everything; every descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || plain(trunkline_tcp_manager_close(self.handle)))
            .map_err(|failed| failed.raise(py))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::manager_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for TcpManager {
    fn drop(&mut self) {
        let _ = trunkline_tcp_manager_free(self.handle);
    }
}
