//! The hub of tunnels.

use crate::{
    buffer::{self, call, completion, plain},
    failure::Doing,
    open::Operation,
    queue::Queue,
    runtime::{self, detached},
    tls::{Tls, handle_of},
};
use pyo3::prelude::*;
use trunkline::*;

/// Lets agents in and opens connections through them.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Hub {
    handle: trunkline_hub_t,
}

fn doing(step: i32, address: &str) -> Doing {
    Doing { step, address: Some(address.to_owned()) }
}

#[pymethods]
impl Hub {
    /// An empty document means the defaults.
    #[new]
    fn new(py: Python<'_>, json: &str, tls: Option<&Tls>) -> PyResult<Self> {
        let made = buffer::tunnel::hub(json, handle_of(tls));
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Lets agents in at an address, in the background; the address that is listened on. Looks a host name up.
    fn listen(&self, py: Python<'_>, address: &str) -> PyResult<String> {
        let bound = detached(py, || buffer::tunnel::hub_listen(self.handle, address));
        bound.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_BIND, address)))
    }

    /// Serves users who speak HTTP at an address, in the background; the address that is listened on. Looks a host
    /// name up.
    fn listen_http(&self, py: Python<'_>, address: &str) -> PyResult<String> {
        let bound = detached(py, || buffer::tunnel::hub_listen_http(self.handle, address));
        bound.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_BIND, address)))
    }

    /// Serves users who speak SOCKS5 at an address, in the background; the address that is listened on. Looks a host
    /// name up.
    fn listen_socks(&self, py: Python<'_>, address: &str) -> PyResult<String> {
        let bound = detached(py, || buffer::tunnel::hub_listen_socks(self.handle, address));
        bound.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_BIND, address)))
    }

    /// Forwards from an address to a cluster, in the background; the address that is listened on. An empty target
    /// is none. Looks a host name up.
    fn forward(
        &self,
        py: Python<'_>,
        listen: &str,
        cluster: &str,
        target: &str,
    ) -> PyResult<String> {
        let bound =
            detached(py, || buffer::tunnel::hub_forward(self.handle, listen, cluster, target));
        bound.map_err(|failed| failed.raise_while(py, doing(TRUNKLINE_STEP_BIND, listen)))
    }

    /// Starts to dial; the event with `tag` has the stream. An empty target is none.
    fn dial(
        &self,
        py: Python<'_>,
        cluster: &str,
        target: &str,
        deadline_ns: i64,
        queue: &Queue,
        tag: u64,
    ) -> PyResult<Operation> {
        let to = completion(queue.handle, tag);
        let op = buffer::tunnel::hub_dial(self.handle, cluster, target, deadline_ns, &to);
        let doing = doing(TRUNKLINE_STEP_CONNECT, &format!("tunnel:{cluster}"));
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// The counts, in the order of the header.
    fn stats(&self, py: Python<'_>) -> PyResult<[u64; 12]> {
        let s = buffer::tunnel::hub_stats(self.handle).map_err(|failed| failed.raise(py))?;
        Ok([
            s.clusters,
            s.links,
            s.links_opened,
            s.links_refused,
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
            trunkline_hub_drain_async(self.handle, deadline_ns, Some(&to), op, err)
        });
        let doing = Doing { step: TRUNKLINE_STEP_DRAIN, address: None };
        Ok(Operation::of(op.map_err(|failed| failed.raise_while(py, doing))?))
    }

    /// Closes everything; every descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || plain(trunkline_hub_close(self.handle))).map_err(|failed| failed.raise(py))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::tunnel::hub_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = trunkline_hub_free(self.handle);
    }
}
