//! TLS: a configuration with its files read, and what a handshake has shown.

use crate::{
    buffer::{self, call},
    runtime::{self, detached},
};
use pyo3::{prelude::*, types::PyBytes};
use trunkline::*;

/// A TLS configuration in use.
#[pyclass(frozen, module = "trunkline._native")]
pub(crate) struct Tls {
    handle: trunkline_tls_t,
}

/// Version, application protocol, server name, URI of the peer, certificates of the peer.
pub(crate) type Session<'py> =
    (String, Option<String>, Option<String>, Option<String>, Vec<Bound<'py, PyBytes>>);

/// The handle behind an optional configuration; {0} for none.
pub(crate) fn handle_of(tls: Option<&Tls>) -> trunkline_tls_t {
    tls.map_or(trunkline_tls_t { h: 0 }, |tls| tls.handle)
}

#[pymethods]
impl Tls {
    /// Reads the files that the document names.
    #[new]
    fn new(py: Python<'_>, json: &str) -> PyResult<Self> {
        let made = detached(py, || buffer::tls(json));
        let handle = made.map_err(|failed| failed.raise(py))?;
        runtime::in_use();
        Ok(Self { handle })
    }

    /// Reads the files anew.
    fn reload(&self, py: Python<'_>) -> PyResult<()> {
        let done = detached(py, || call((), |_, err| trunkline_tls_reload(self.handle, err)));
        done.map_err(|failed| failed.raise(py))
    }

    /// Nanoseconds that the first certificate has left; `None` if there is none.
    fn expires_in(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        let left = call(0, |ns, _| trunkline_tls_expires_in(self.handle, ns));
        let left = left.map_err(|failed| failed.raise(py))?;
        Ok((left != TRUNKLINE_NEVER).then_some(left))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = trunkline_tls_free(self.handle);
    }
}

/// What the handshake of a stream has shown; `None` without TLS.
pub(crate) fn session(py: Python<'_>, stream: trunkline_stream_t) -> PyResult<Option<Session<'_>>> {
    let found = call(None, |out, _| trunkline_stream_tls(stream, out));
    let found = found.map_err(|failed| failed.raise(py))?;
    Ok(found.map(|session| {
        let told = buffer::tls_session(&session);
        let certificates = told.peer_certificates.iter().map(|der| PyBytes::new(py, der));
        (told.version, told.alpn, told.server_name, told.peer_uri, certificates.collect())
    }))
}
