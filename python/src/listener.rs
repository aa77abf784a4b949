//! A listener: each accept tries once.

use crate::{
    buffer::{self, call, plain},
    failure::Doing,
    queue::{Queue, arm},
    stream::Stream,
};
use pyo3::prelude::*;
use trunkline::*;

/// Accepts streams on an address.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Listener {
    pub(crate) handle: trunkline_listener_t,
}

impl Listener {
    pub(crate) fn of(handle: trunkline_listener_t) -> Self {
        Self { handle }
    }

    fn doing(&self) -> Doing {
        let address = buffer::listener_address(self.handle).ok();
        Doing { step: TRUNKLINE_STEP_ACCEPT, address }
    }
}

#[pymethods]
impl Listener {
    /// The next connection, `None` if none waits.
    fn try_accept(&self, py: Python<'_>) -> PyResult<Option<Stream>> {
        let blank = trunkline_stream_t { h: 0 };
        match call(blank, |out, err| trunkline_listener_accept(self.handle, 0, out, err)) {
            Ok(stream) => Ok(Some(Stream::of(stream.h))),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(failed) => Err(failed.raise_while(py, self.doing())),
        }
    }

    /// Asks for one event with `tag` when a try is worth it. There is one interest, reading.
    fn arm(&self, py: Python<'_>, interest: u32, queue: &Queue, tag: u64) -> PyResult<()> {
        let _ = interest;
        arm(py, trunkline_listener_arm(self.handle, queue.handle, tag), self.doing())
    }

    /// Waits a while, until another try is worth it or a signal has come. `queue` is for such waits alone.
    fn wait(
        &self,
        py: Python<'_>,
        interest: u32,
        queue: &Queue,
        deadline_ns: i64,
        signals: bool,
    ) -> PyResult<()> {
        self.arm(py, interest, queue, 0)?;
        queue.wait_armed(py, deadline_ns, signals)
    }

    /// The address that is listened on.
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        buffer::listener_address(self.handle).map_err(|failed| failed.raise(py))
    }

    /// Stops listening; the descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_listener_close(self.handle))
            .map_err(|failed| failed.raise_while(py, self.doing()))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::listener_address(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = trunkline_listener_free(self.handle);
    }
}
