//! What tests of a host need: how many objects are alive, and every error on demand.
#![allow(unsafe_code, reason = "a struct of results comes by pointer")]

use crate::{
    call::{enter_plain, enter_unit},
    error::{Failure, trunkline_error_t},
    handle::{
        Handle, trunkline_agent_t, trunkline_call_t, trunkline_channel_t, trunkline_cq_t,
        trunkline_datagram_t, trunkline_hub_t, trunkline_job_t, trunkline_keyed_pool_t,
        trunkline_listener_t, trunkline_memory_proxy_t, trunkline_op_t, trunkline_pool_t,
        trunkline_runtime_t, trunkline_stream_t, trunkline_tcp_manager_t, trunkline_tls_t,
        trunkline_udp_manager_t,
    },
    input::{Sized_, fill},
    process::Process,
    status::*,
};
use std::mem::MaybeUninit;

/// Live objects of this process, by type. Start from TRUNKLINE_DEBUG_COUNTS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_debug_counts_t {
    /// In: sizeof(trunkline_debug_counts_t). Out: bytes filled.
    pub size: usize,
    /// Runtimes, without the default one.
    pub runtimes: u64,
    /// Completion queues.
    pub queues: u64,
    /// Operations whose completion has not been sent.
    pub operations: u64,
    /// Streams that were not freed.
    pub streams: u64,
    /// Listeners that were not freed.
    pub listeners: u64,
    /// Keyed pools that were not freed.
    pub keyed_pools: u64,
    /// TCP managers that were not freed.
    pub tcp_managers: u64,
    /// Jobs that were not answered.
    pub jobs: u64,
    /// Checkout pools that were not freed.
    pub pools: u64,
    /// Datagram sockets that were not freed.
    pub datagrams: u64,
    /// UDP managers that were not freed.
    pub udp_managers: u64,
    /// TLS configurations that were not freed.
    pub tls: u64,
    /// Channels that were not freed.
    pub channels: u64,
    /// Calls with streams that were not freed.
    pub calls: u64,
    /// Agents that were not freed.
    pub agents: u64,
    /// Hubs that were not freed.
    pub hubs: u64,
    /// Memory proxies.
    pub memory_proxies: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_debug_counts_t {}

/// Counts the objects that are alive, for tests that look for leaks. Walks the whole table.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, VERSION. Since 0.1.
///
/// # Safety
///
/// `counts` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_debug_counts(
    counts: *mut trunkline_debug_counts_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let table = Process::current().table();
        let value = trunkline_debug_counts_t {
            size: size_of::<trunkline_debug_counts_t>(),
            runtimes: table.count(trunkline_runtime_t::TAG) as u64,
            queues: table.count(trunkline_cq_t::TAG) as u64,
            operations: table.count(trunkline_op_t::TAG) as u64,
            streams: table.count(trunkline_stream_t::TAG) as u64,
            listeners: table.count(trunkline_listener_t::TAG) as u64,
            keyed_pools: table.count(trunkline_keyed_pool_t::TAG) as u64,
            tcp_managers: table.count(trunkline_tcp_manager_t::TAG) as u64,
            jobs: table.count(trunkline_job_t::TAG) as u64,
            pools: table.count(trunkline_pool_t::TAG) as u64,
            datagrams: table.count(trunkline_datagram_t::TAG) as u64,
            udp_managers: table.count(trunkline_udp_manager_t::TAG) as u64,
            tls: table.count(trunkline_tls_t::TAG) as u64,
            channels: table.count(trunkline_channel_t::TAG) as u64,
            calls: table.count(trunkline_call_t::TAG) as u64,
            agents: table.count(trunkline_agent_t::TAG) as u64,
            hubs: table.count(trunkline_hub_t::TAG) as u64,
            memory_proxies: table.count(trunkline_memory_proxy_t::TAG) as u64,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(counts, &value) }
    })
}

/// Fails with the status that is asked for, as a real failure would: for tests of error handling in a host.
/// PANIC really panics inside.
///
/// Ownership: the error is the caller's. Blocks: no. Threads: any. Errors: the one asked for;
/// INVALID_ARGUMENT for a number that is no status. Since 0.1.
#[unsafe(no_mangle)]
#[expect(clippy::panic, reason = "the caller asks for a panic, to see that it is caught")]
pub extern "C" fn trunkline_debug_fail(
    status: trunkline_status_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |_| match status {
        TRUNKLINE_OK => Ok(()),
        TRUNKLINE_E_PANIC => panic!("asked for by trunkline_debug_fail"),
        TRUNKLINE_E_INVALID_ARGUMENT..=TRUNKLINE_E_NOT_FOUND => {
            Err(Failure::new(status, "asked for by trunkline_debug_fail"))
        }
        _ => Err(Failure::argument("status: is none of TRUNKLINE_E_*")),
    })
}
