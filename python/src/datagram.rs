//! A datagram socket: each call tries once.

use crate::{
    buffer::{Buffer, Failed, check_length, datagram, plain},
    failure::{Doing, invalid},
    queue::{Queue, arm},
    runtime::{self, detached},
};
use pyo3::{prelude::*, types::PyBytes};
use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr, SocketAddrV6},
};
use trunkline::*;

/// Bytes that no datagram has.
const LONGEST: usize = 1 << 16;
/// What one `try_recv_many` returns at most.
const MOST: usize = 64;

thread_local! {
    /// Where datagrams land whose length is not known before.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An address as sockets of Python have it.
#[derive(IntoPyObject)]
pub(crate) enum Named {
    V4((String, u16)),
    V6((String, u16, u32, u32)),
}

impl From<SocketAddr> for Named {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4((v4.ip().to_string(), v4.port())),
            SocketAddr::V6(v6) => Self::V6((v6.ip().to_string(), v6.port(), 0, v6.scope_id())),
        }
    }
}

/// Bytes, source, and which of our addresses it was sent to.
type Received<'py> = (Bound<'py, PyBytes>, Option<Named>, Option<Named>);

/// Sends and receives datagrams on one local address.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Datagram {
    handle: trunkline_datagram_t,
}

/// Binds a socket to an address; looks a host name up.
#[pyfunction]
pub(crate) fn bind(py: Python<'_>, address: &str) -> PyResult<Datagram> {
    let doing = Doing { step: TRUNKLINE_STEP_BIND, address: Some(address.to_owned()) };
    let socket = detached(py, || datagram::bind(address));
    let handle = socket.map_err(|failed| failed.raise_while(py, doing))?;
    runtime::in_use();
    Ok(Datagram::of(handle))
}

impl Datagram {
    pub(crate) fn of(handle: trunkline_datagram_t) -> Self {
        Self { handle }
    }

    fn raise(&self, py: Python<'_>, failed: Failed, step: i32) -> PyErr {
        failed.raise_while(py, Doing { step, address: datagram::address(self.handle).ok() })
    }

    fn received<T>(&self, py: Python<'_>, answer: Result<T, Failed>) -> PyResult<Option<T>> {
        match answer {
            Ok(taken) => Ok(Some(taken)),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(None),
            Err(failed) => Err(self.raise(py, failed, TRUNKLINE_STEP_READ)),
        }
    }
}

fn host(py: Python<'_>, text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| invalid(py, &format!("host: {text:?} is no IP address")))
}

#[pymethods]
impl Datagram {
    /// The next datagram with its source, `None` if none is there. One that has more than `n` bytes is an error.
    fn try_recv_from<'py>(
        &self,
        py: Python<'py>,
        n: usize,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, Option<Named>)>> {
        check_length(py, n)?;
        let n = n.min(LONGEST);
        ROOM.with_borrow_mut(|room| {
            if room.len() < n {
                room.resize(n, 0);
            }
            let room = &mut room[..n];
            let answer = detached(py, || datagram::recv_from(self.handle, room));
            let taken = self.received(py, answer)?;
            Ok(taken
                .map(|taken| (PyBytes::new(py, &room[..taken.len]), taken.source.map(Named::from))))
        })
    }

    /// As above, into the first `nbytes` of a buffer, or all of it for 0: how many bytes came.
    fn try_recv_from_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        nbytes: usize,
    ) -> PyResult<Option<(usize, Option<Named>)>> {
        let mut buffer = Buffer::writable(buffer)?;
        let room = buffer.room(py, nbytes)?;
        let answer = detached(py, || datagram::recv_from(self.handle, room));
        Ok(self.received(py, answer)?.map(|taken| (taken.len, taken.source.map(Named::from))))
    }

    /// The datagrams that are there, at most so many; `None` if none is.
    fn try_recv_many<'py>(
        &self,
        py: Python<'py>,
        most: usize,
    ) -> PyResult<Option<Vec<Received<'py>>>> {
        let size = most.clamp(1, MOST) * LONGEST;
        ROOM.with_borrow_mut(|room| {
            if room.len() < size {
                room.resize(size, 0);
            }
            let rooms = &mut room[..size];
            let answer = detached(py, || datagram::recv_many(self.handle, rooms, LONGEST));
            let Some(taken) = self.received(py, answer)? else { return Ok(None) };
            let told = taken.into_iter().zip(rooms.chunks_exact(LONGEST)).map(|(taken, room)| {
                let bytes = PyBytes::new(py, &room[..taken.len]);
                (bytes, taken.source.map(Named::from), taken.to.map(Named::from))
            });
            Ok(Some(told.collect()))
        })
    }

    /// Sends a datagram; false if there is no room for it now.
    fn try_send_to(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        to: (String, u16, u32),
        from_: Option<&str>,
    ) -> PyResult<bool> {
        let (name, port, scope) = to;
        let to = match host(py, &name)? {
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, port),
        };
        let from = from_.map(|text| host(py, text)).transpose()?;
        let buffer = Buffer::readable(data)?;
        let bytes = buffer.from(py, 0)?;
        match detached(py, || datagram::send_to(self.handle, bytes, to, from)) {
            Ok(()) => Ok(true),
            Err(failed) if failed.is(TRUNKLINE_E_WOULD_BLOCK) => Ok(false),
            Err(failed) => Err(self.raise(py, failed, TRUNKLINE_STEP_WRITE)),
        }
    }

    /// Asks for one event with `tag` when a try is worth it.
    fn arm(&self, py: Python<'_>, interest: u32, queue: &Queue, tag: u64) -> PyResult<()> {
        let status = trunkline_datagram_arm(self.handle, interest, queue.handle, tag);
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

    /// The address that it is bound to, as text.
    fn address(&self, py: Python<'_>) -> PyResult<String> {
        datagram::address(self.handle).map_err(|failed| failed.raise(py))
    }

    /// The same as sockets have it.
    fn socket_address(&self, py: Python<'_>) -> PyResult<Option<Named>> {
        let address = datagram::socket_address(self.handle).map_err(|failed| failed.raise(py))?;
        Ok(address.map(Named::from))
    }

    /// Datagrams received, sent, and received but cut.
    fn stats(&self, py: Python<'_>) -> PyResult<(u64, u64, u64)> {
        let stats = datagram::stats(self.handle).map_err(|failed| failed.raise(py))?;
        Ok((stats.datagrams_received, stats.datagrams_sent, stats.truncated))
    }

    /// Closes it; its descriptor is gone on return.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        plain(trunkline_datagram_close(self.handle))
            .map_err(|failed| self.raise(py, failed, TRUNKLINE_STEP_SHUTDOWN))
    }

    /// Whether it was inherited over a fork.
    fn is_inherited(&self) -> bool {
        datagram::stats(self.handle).is_err_and(|failed| failed.is(TRUNKLINE_E_FORKED))
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        let _ = trunkline_datagram_free(self.handle);
    }
}
