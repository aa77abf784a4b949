//! `trunkline._native`: what the Python package needs of the C ABI, and nothing that waits for Python.
//!
//! ```text
//!  trunkline (Python: typed, sync and asyncio) ──▶ trunkline._native (this crate) ──▶ ffi ──▶ core
//! ```
//!
//! Classes here are frozen, hold a handle each, and try: an operation that cannot go on says so, and
//! is waited for on a `Queue`, by `poll` or by an event loop. Absences: no Python object
//! lives on a thread of the library, none of its threads ever enters Python, and no call from Python
//! runs Python code in turn, but for the handlers of signals.

use pyo3::prelude::*;

mod agent;
mod buffer;
mod channel;
mod checkout;
mod config;
mod datagram;
mod debug;
mod failure;
mod hub;
mod job;
mod listener;
mod log;
mod manager;
mod memory_proxy;
mod metrics;
mod open;
mod pool;
mod probe;
mod queue;
mod runtime;
mod stream;
mod tls;
mod udp_manager;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        agent::Agent,
        channel::{Call, Channel, Reply},
        checkout::{Lease, Pool},
        config::{config_from_env, config_from_json, config_preset},
        datagram::{Datagram, bind},
        debug::{debug_counts, debug_fail},
        failure::use_exceptions,
        hub::Hub,
        job::Job,
        listener::Listener,
        log::{LogRing, log_off},
        manager::TcpManager,
        memory_proxy::MemoryProxy,
        metrics::Metrics,
        open::{Operation, connect, listen, pipe},
        pool::KeyedPool,
        probe::{probe_tcp, probe_udp},
        queue::Queue,
        runtime::{
            begin_exit, configure, is_running, leave_to_parent, shutdown, threads_detached,
            threads_waiting, version,
        },
        stream::Stream,
        tls::Tls,
        udp_manager::UdpManager,
    };
    #[pymodule_export]
    const READABLE: u32 = trunkline::TRUNKLINE_READABLE;
    #[pymodule_export]
    const WRITABLE: u32 = trunkline::TRUNKLINE_WRITABLE;
    #[pymodule_export]
    const POOL_CHECKS: u32 = trunkline::TRUNKLINE_POOL_CHECKS;
    #[pymodule_export]
    const POOL_RESETS: u32 = trunkline::TRUNKLINE_POOL_RESETS;
}
