//! What the first bytes of a connection or a flow speak.

use crate::buffer::{self, Buffer};
use pyo3::prelude::*;

/// Verdict, protocol, host, protocols inside, and all of it as JSON.
pub(crate) type Probed = (i32, Option<String>, Option<String>, Vec<String>, String);

/// Looks at all bytes of a stream so far.
#[pyfunction]
pub(crate) fn probe_tcp(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Probed> {
    let data = Buffer::readable(data)?;
    let data = data.from(py, 0)?;
    buffer::probe_tcp(data).map_err(|failed| failed.raise(py))
}

/// Looks at all datagrams of a flow so far.
#[pyfunction]
pub(crate) fn probe_udp(py: Python<'_>, datagrams: Vec<Bound<'_, PyAny>>) -> PyResult<Probed> {
    let held: Vec<_> = datagrams.iter().map(Buffer::readable).collect::<PyResult<_>>()?;
    let datagrams: Vec<_> =
        held.iter().map(|datagram| datagram.from(py, 0)).collect::<PyResult<_>>()?;
    buffer::probe_udp(&datagrams).map_err(|failed| failed.raise(py))
}
