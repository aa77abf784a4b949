//! The UDP connection manager: relays datagrams by session, counts, lists, kills and drains.

use crate::{
    buffer::{self, completion, datagram, plain},
    datagram::Datagram,
    failure::Doing,
    open::Operation,
    queue::Queue,
    runtime::{self, detached},
};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use trunkline::*;

/// Relays datagrams and counts sessions.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct UdpManager {
    handle: trunkline_udp_manager_t,
}

fn binding(address: &str) -> Doing {
    Doing { step: TRUNKLINE_STEP_BIND, address: Some(address.to_owned()) }
}

/// The counts by their names in C.
macro_rules! by_name {
    ($stats:ident: $($field:ident),* $(,)?) => {
        BTreeMap::from([$((stringify!($field), $stats.$field)),*])
    };
}

#[pymethods]
impl UdpManager {
    /// An empty document means the defaults.
    #[new]
    fn new(py: Python<'_>, json: &str) -> PyResult<Self> {
        let handle = datagram::manager(json).map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Binds a socket that closes with the manager. Looks a host name up.
    fn bind(&self, py: Python<'_>, address: &str) -> PyResult<Datagram> {
        let socket = detached(py, || datagram::manager_bind(self.handle, address));
        Ok(Datagram::of(socket.map_err(|failed| failed.raise_while(py, binding(address)))?))
    }

    /// Relays from one address to another, in the background; the address that is bound. An idle timeout of 0 is
    /// the configured one. Looks a host name up.
    fn relay(
        &self,
        py: Python<'_>,
        listen: &str,
        destination: &str,
        idle_timeout_ns: i64,
    ) -> PyResult<String> {
        let bound = detached(py, || {
            datagram::manager_relay(self.handle, listen, destination, idle_timeout_ns)
        });
        bound.map_err(|failed| failed.raise_while(py, binding(listen)))
    }

    /// All counts by their names.
    fn stats(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
        let s = datagram::manager_stats(self.handle).map_err(|failed| failed.raise(py))?;
        Ok(by_name!(
            s: active, verified, unverified, limit, opened, closed, datagrams_received, datagrams_sent,
            bytes_received, bytes_sent, refused, receive_pauses, dropped, dropped_truncated,
            dropped_too_long, dropped_buffer_full, dropped_session_table_full, dropped_early_queue_full,
            dropped_amplification, dropped_connect_failed, dropped_session_closed, dropped_draining,
            dropped_send_failed, closed_local, closed_idle_timeout, closed_connect_failed, closed_drained,
            closed_cancelled, closed_evicted, closed_killed,
        ))
    }

    /// The sessions that stand, as JSON.
    fn live(&self, py: Python<'_>) -> PyResult<String> {
        datagram::manager_live(self.handle).map_err(|failed| failed.raise(py))
    }

    /// Ends the session with this number.
    fn kill(&self, py: Python<'_>, id: u64) -> PyResult<()> {
        let ended = buffer::call((), |_, err| trunkline_udp_manager_kill(self.handle, id, err));
        let doing = Doing { step: TRUNKLINE_STEP_SHUTDOWN, address: None };
        ended.map_err(|failed| failed.raise_while(py, doing))
    }

    /// Starts to drain; the value of the event with `tag` is how many sessions were cut.
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
            trunkline_udp_manager_drain_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = Doing { step: TRUNKLINE_STEP_DRAIN, address: None };
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Closes everything; every descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || plain(trunkline_udp_manager_close(self.handle)))
            .map_err(|failed| failed.raise(py))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        datagram::manager_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for UdpManager {
    fn drop(&mut self) {
        let _ = trunkline_udp_manager_free(self.handle);
    }
}
