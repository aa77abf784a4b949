//! How streams and listeners come to be.

use crate::{
    buffer::{self, completion},
    failure::Doing,
    listener::Listener,
    queue::Queue,
    runtime::{self, detached},
    stream::Stream,
    tls::{Tls, handle_of},
};
use pyo3::prelude::*;
use trunkline::*;

/// Something under way whose one event will come.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Operation {
    handle: trunkline_op_t,
}

impl Operation {
    pub(crate) fn of(handle: trunkline_op_t) -> Self {
        Self { handle }
    }
}

#[pymethods]
impl Operation {
    /// Asks it to end; its event still comes.
    fn cancel(&self) {
        // Refused only in a forked child, where nothing is under way.
        let _ = trunkline_op_cancel(self.handle);
    }
}

/// Starts to connect; the event with `tag` has the stream.
#[pyfunction]
pub(crate) fn connect(
    py: Python<'_>,
    address: &str,
    deadline_ns: i64,
    queue: &Queue,
    tag: u64,
    tls: Option<&Tls>,
) -> PyResult<Operation> {
    let to = completion(queue.handle, tag);
    let op = buffer::connect(address, handle_of(tls), deadline_ns, &to);
    let doing = Doing { step: TRUNKLINE_STEP_CONNECT, address: Some(address.to_owned()) };
    let handle = op.map_err(|failed| failed.raise_while(py, doing))?;
    runtime::in_use();
    Ok(Operation::of(handle))
}

/// Listens on an address; looks a host name up.
#[pyfunction]
pub(crate) fn listen(
    py: Python<'_>,
    address: &str,
    backlog: u32,
    tls: Option<&Tls>,
) -> PyResult<Listener> {
    let doing = Doing { step: TRUNKLINE_STEP_BIND, address: Some(address.to_owned()) };
    let listener = detached(py, || buffer::listen(address, backlog, handle_of(tls)));
    let handle = listener.map_err(|failed| failed.raise_while(py, doing))?;
    runtime::in_use();
    Ok(Listener::of(handle))
}

/// Makes the two ends of a pipe; a capacity of 0 is the default.
#[pyfunction]
pub(crate) fn pipe(py: Python<'_>, capacity: u64) -> PyResult<(Stream, Stream)> {
    let [a, b] = buffer::pipe(capacity).map_err(|failed| failed.raise(py))?;
    runtime::in_use();
    Ok((Stream::of(a.h), Stream::of(b.h)))
}
