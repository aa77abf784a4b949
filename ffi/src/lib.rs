//! Trunkline's C ABI: the same objects for C, C++, Go and Python.
//!
//! ```text
//!   extern "C" fn ──▶ enter ──▶ process ──▶ handle table ──▶ object of trunkline-core
//!   (one file per      NULL, panic,    per process,    typed, generational,
//!    concept)          fork, errors    new after fork  stale = an error
//! ```
//!
//! Every exported function returns a status, writes its outputs always, and reports details in an
//! optional error object. No panic leaves, and nothing inherited over a fork is touched.
#![allow(non_camel_case_types, reason = "the names are those of the C header")]

mod agent;
mod arm;
mod buf;
mod call;
mod channel;
mod check_callback;
mod completion;
mod config;
mod datagram;
mod debug;
mod endpoints;
mod error;
mod handing;
mod handle;
mod hub;
mod input;
mod job;
mod job_host;
mod keyed_pool;
mod listener;
mod log;
mod memory_proxy;
mod metrics;
mod op;
mod output;
mod park;
mod pipe;
mod pool;
mod probe;
mod process;
mod proxy_hooks;
mod queue;
mod route_callback;
mod runtime;
mod socket;
mod socket_address;
mod status;
mod stream;
mod tcp_manager;
mod tls;
mod udp_manager;
mod version;

pub use agent::*;
pub use buf::*;
pub use channel::*;
pub use check_callback::*;
pub use completion::*;
pub use config::*;
pub use datagram::*;
pub use debug::*;
pub use endpoints::*;
pub use error::*;
pub use handle::*;
pub use hub::*;
pub use input::*;
pub use job::*;
pub use job_host::*;
pub use keyed_pool::*;
pub use listener::*;
pub use log::*;
pub use memory_proxy::*;
pub use metrics::*;
pub use op::*;
pub use pipe::*;
pub use pool::*;
pub use probe::*;
pub use proxy_hooks::*;
pub use queue::*;
pub use route_callback::*;
pub use runtime::*;
pub use socket::*;
pub use socket_address::*;
pub use status::*;
pub use stream::*;
pub use tcp_manager::*;
pub use tls::*;
pub use udp_manager::*;
pub use version::*;
