//! A byte stream: each call tries once.

use crate::{
    buffer::{self, Buffer, Failed, call, check_length, plain, read, write},
    failure::Doing,
    queue::{Queue, arm},
    runtime::detached,
    tls,
};
use pyo3::{prelude::*, types::PyBytes};
use std::cell::RefCell;
use trunkline::*;

/// What one `try_recv` returns at most; a stream delivers its bytes in pieces anyway.
const LARGEST_PIECE: usize = 256 << 10;

thread_local! {
    /// Where bytes land whose number is not known before: an object of their own would be too large.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TCP connection, Unix socket or end of a pipe.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Stream {
    handle: trunkline_stream_t,
    /// Whether it ends with this object; a stream that is lent is its pool's.
    is_owned: bool,
}

/// Id, protocol, bytes received, bytes sent, age in nanoseconds, close reason.
type Stats = (u64, u32, u64, u64, u64, i32);

impl Stream {
    pub(crate) fn of(handle: u64) -> Self {
        Self { handle: trunkline_stream_t { h: handle }, is_owned: true }
    }

    /// A stream that a pool lends.
    pub(crate) fn lent(handle: u64) -> Self {
        Self { handle: trunkline_stream_t { h: handle }, is_owned: false }
    }

    /// The exception for a failed call, with all that the stream knows about it.
    fn raise(&self, py: Python<'_>, mut failed: Failed, step: i32) -> PyErr {
        if failed.error.is_none() {
            let told = call((), |_, err| trunkline_stream_error(self.handle, err)).err();
            failed.error =
                told.filter(|told| told.status == failed.status).and_then(|told| told.error);
        }
        failed.raise_while(py, Doing { step, address: self.peer() })
    }

    fn peer(&self) -> Option<String> {
        let address = buffer::stream_address(self.handle, TRUNKLINE_PEER).ok();
        address.filter(|address| !address.is_empty())
    }

    fn received(&self, py: Python<'_>, answer: Result<usize, Failed>) -> PyResult<Option<usize>> {
        match answer {
            Ok(n) => Ok(Some(n)),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(failed) => Err(self.raise(py, failed, TRUNKLINE_STEP_READ)),
        }
    }
}

#[pymethods]
impl Stream {
    /// Stands for a stream that its pool has back: every call says that it is closed.
    #[staticmethod]
    fn returned() -> Self {
        Self::lent(0)
    }

    /// At most `n` bytes, empty at the end of the stream, `None` if nothing is there.
    fn try_recv<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        check_length(py, n)?;
        let n = n.min(LARGEST_PIECE);
        ROOM.with_borrow_mut(|room| {
            if room.len() < n {
                room.resize(n, 0);
            }
            let room = &mut room[..n];
            let answer = detached(py, || read(self.handle, room));
            Ok(self.received(py, answer)?.map(|n| PyBytes::new(py, &room[..n])))
        })
    }

    /// Fills the first `nbytes` of a buffer, or all of it for 0; how many bytes came, 0 at the end of
    /// the stream, `None` if nothing is there.
    fn try_recv_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        nbytes: usize,
    ) -> PyResult<Option<usize>> {
        let mut buffer = Buffer::writable(buffer)?;
        let room = buffer.room(py, nbytes)?;
        let answer = detached(py, || read(self.handle, room));
        self.received(py, answer)
    }

    /// Sends from `start` on; how many bytes were taken, `None` if none fits now.
    fn try_send(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        start: usize,
    ) -> PyResult<Option<usize>> {
        let buffer = Buffer::readable(data)?;
        let bytes = buffer.from(py, start)?;
        match detached(py, || write(self.handle, bytes)) {
            Ok(n) => Ok(Some(n)),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(failed) => Err(self.raise(py, failed, TRUNKLINE_STEP_WRITE)),
        }
    }

    /// Asks for one event with `tag` when a try is worth it.
    fn arm(&self, py: Python<'_>, interest: u32, queue: &Queue, tag: u64) -> PyResult<()> {
        let status = trunkline_stream_arm(self.handle, interest, queue.handle, tag);
        let reads = interest & TRUNKLINE_READABLE != 0;
        let step = if reads { TRUNKLINE_STEP_READ } else { TRUNKLINE_STEP_WRITE };
        arm(py, status, Doing { step, address: None })
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

    /// Ends directions in order: READABLE, WRITABLE, or both.
    fn shutdown(&self, py: Python<'_>, how: u32) -> PyResult<()> {
        let status = trunkline_stream_shutdown(self.handle, how);
        plain(status).map_err(|failed| self.raise(py, failed, TRUNKLINE_STEP_SHUTDOWN))
    }

    /// Closes it; its descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_stream_close(self.handle))
            .map_err(|failed| self.raise(py, failed, TRUNKLINE_STEP_SHUTDOWN))
    }

    /// Closes it with a reset.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_stream_abort(self.handle))
            .map_err(|failed| self.raise(py, failed, TRUNKLINE_STEP_SHUTDOWN))
    }

    /// A descriptor of a socket for what it carries; it is the caller's.
    fn to_socket(&self, py: Python<'_>) -> PyResult<i32> {
        let made = call(-1, |fd, err| trunkline_stream_to_socket(self.handle, fd, err));
        made.map_err(|failed| self.raise(py, failed, TRUNKLINE_STEP_CONNECT))
    }

    /// The address of the near end, empty where it has none.
    fn local_address(&self, py: Python<'_>) -> PyResult<String> {
        buffer::stream_address(self.handle, TRUNKLINE_LOCAL).map_err(|failed| failed.raise(py))
    }

    /// The address of the far end, empty where it has none.
    fn peer_address(&self, py: Python<'_>) -> PyResult<String> {
        buffer::stream_address(self.handle, TRUNKLINE_PEER).map_err(|failed| failed.raise(py))
    }

    /// Id, protocol, bytes received, bytes sent, age in nanoseconds, close reason.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let stats = buffer::stream_stats(self.handle).map_err(|failed| failed.raise(py))?;
        let bytes = (stats.bytes_received, stats.bytes_sent);
        Ok((stats.id, stats.protocol, bytes.0, bytes.1, stats.age_ns, stats.close_reason))
    }

    /// Version, application protocol, server name, URI and certificates of the peer; `None` without TLS.
    fn tls<'py>(&self, py: Python<'py>) -> PyResult<Option<tls::Session<'py>>> {
        tls::session(py, self.handle)
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        buffer::stream_stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.is_owned {
            let _ = trunkline_stream_free(self.handle);
        }
    }
}
