//! What tests need: live objects, and every failure on demand.

use crate::buffer::{self, call};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use trunkline::trunkline_debug_fail;

/// Live objects of this process, by type.
#[pyfunction]
pub(crate) fn debug_counts(py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
    let counts = buffer::debug_counts().map_err(|failed| failed.raise(py))?;
    Ok(BTreeMap::from([
        ("runtimes", counts.runtimes),
        ("queues", counts.queues),
        ("operations", counts.operations),
        ("streams", counts.streams),
        ("listeners", counts.listeners),
        ("keyed_pools", counts.keyed_pools),
        ("tcp_managers", counts.tcp_managers),
        ("jobs", counts.jobs),
        ("pools", counts.pools),
        ("datagrams", counts.datagrams),
        ("udp_managers", counts.udp_managers),
        ("tls", counts.tls),
        ("channels", counts.channels),
        ("calls", counts.calls),
        ("agents", counts.agents),
        ("hubs", counts.hubs),
        ("memory_proxies", counts.memory_proxies),
    ]))
}

/// Fails with a status, as a real failure would.
#[pyfunction]
pub(crate) fn debug_fail(py: Python<'_>, status: i32) -> PyResult<()> {
    call((), |_, err| trunkline_debug_fail(status, err)).map_err(|failed| failed.raise(py))
}
