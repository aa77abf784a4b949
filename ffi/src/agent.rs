//! The agent of a tunnel: stands for a cluster at its hubs, and serves what they open.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    call::{enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{
        end_and_free, trunkline_agent_t, trunkline_listener_t, trunkline_op_t, trunkline_runtime_t,
    },
    input::{Deadline, Sized_, fill, text},
    listener::ListenerObject,
    process::Process,
    queue::{TRUNKLINE_EV_DONE, TRUNKLINE_EV_DRAINED},
    runtime::Runtime,
    status::*,
    tls::{secured_by, trunkline_connect_options_t},
};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};
use trunkline_core::{Agent, AgentConfig, config::Config};

/// The counts of an agent at one moment: opened - closed = active, in every answer. Start from
/// TRUNKLINE_AGENT_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_agent_stats_t {
    /// In: sizeof(trunkline_agent_stats_t). Out: bytes filled.
    pub size: usize,
    /// Links to hubs that stand.
    pub links: u64,
    /// Links that stood so far.
    pub links_opened: u64,
    /// Attempts that led to no link.
    pub links_failed: u64,
    /// Links whose place another agent of the cluster has taken.
    pub replaced: u64,
    /// Logical connections that stand.
    pub active: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Logical connections that stood.
    pub opened: u64,
    /// Logical connections that ended.
    pub closed: u64,
    /// Logical connections that were not opened.
    pub refused: u64,
    /// Bytes that came from the hubs on logical connections.
    pub bytes_received: u64,
    /// Bytes that went to the hubs on logical connections.
    pub bytes_sent: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_agent_stats_t {}

/// The counts of the two ways between an agent and its listener, side by side: opened - closed = active for each. All
/// are 0 where connections come as they are. Start from TRUNKLINE_MEMORY_COMM_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_memory_comm_stats_t {
    /// In: sizeof(trunkline_memory_comm_stats_t). Out: bytes filled.
    pub size: usize,
    /// The share of new connections that go by a pipe, from 0 to 1.
    pub memory_share: f64,
    /// Connections by a pipe that stand.
    pub memory_active: u64,
    /// Connections by a pipe that stood.
    pub memory_opened: u64,
    /// Connections by a pipe that ended.
    pub memory_closed: u64,
    /// Those that went by a pipe because the socket could not take them.
    pub memory_fallbacks: u64,
    /// Connections that could not go by a pipe.
    pub memory_failed: u64,
    /// Bytes that came from the host by pipes.
    pub memory_bytes_received: u64,
    /// Bytes that went to the host by pipes.
    pub memory_bytes_sent: u64,
    /// Connections over the Unix socket that stand.
    pub socket_active: u64,
    /// Connections over the Unix socket that stood.
    pub socket_opened: u64,
    /// Connections over the Unix socket that ended.
    pub socket_closed: u64,
    /// Those that went over the socket because no pipe could take them.
    pub socket_fallbacks: u64,
    /// Connections that could not go over the socket.
    pub socket_failed: u64,
    /// Bytes that came from the host over the socket.
    pub socket_bytes_received: u64,
    /// Bytes that went to the host over the socket.
    pub socket_bytes_sent: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_memory_comm_stats_t {}

/// What an agent's handle names.
#[derive(Debug)]
pub(crate) struct AgentObject {
    agent: Agent,
    runtime: Arc<Runtime>,
}

impl AgentObject {
    /// Ends what the agent runs if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.agent.stop();
        }
    }
}

/// As trunkline_agent_new_with, with the default options.
///
/// Ownership: the agent is the caller's, to be freed once with trunkline_agent_free. Blocks: no. Threads: any.
/// Errors: as trunkline_agent_new_with. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_agent_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_agent_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe { trunkline_agent_new_with(rt, json, json_len, std::ptr::null(), out, err) }
}

/// Makes an agent, which begins to connect in the background and never gives up. `json` is a document such as
/// {"cluster": "c1", "token": "...", "hubs": ["tls://hub.example:7000"]}. The TLS of the options holds for hubs and
/// targets at tls:// addresses; its client certificate can be what proves the cluster's name.
///
/// Ownership: the agent is the caller's, to be freed once with trunkline_agent_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_agent_new_with(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    opts: *const trunkline_connect_options_t,
    out: Option<&mut MaybeUninit<trunkline_agent_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let config = AgentConfig::from_json(unsafe { text(json, json_len, "json")? })?;
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        // SAFETY: the caller's promise is the same.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let agent = Agent::new(network, config)?;
        Ok(call.register(Arc::new(AgentObject { agent, runtime }), place))
    })
}

/// Waits until a tunnel to any hub stands. The error of a TIMEOUT has the reason of the last failed attempt as its cause.
///
/// Ownership: none. Blocks: until the deadline. Threads: any but the library's. Errors: INVALID_HANDLE, TIMEOUT,
/// WOULD_BLOCK, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_wait_ready(
    agent: trunkline_agent_t,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(agent)?;
        let deadline = Deadline::from_ns(deadline_ns);
        if deadline == Deadline::Now {
            let links = object.agent.stats().links;
            return if links > 0 { Ok(()) } else { Err(Failure::would_block()) };
        }
        let ready = async { Ok(object.agent.ready(deadline.instant()).await?) };
        call.block_on(&object.runtime, Deadline::Never, ready, Failure::would_block)
    })
}

/// As trunkline_agent_wait_ready; the result is an event of kind TRUNKLINE_EV_DONE.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; the others come with the event, also CANCELLED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_wait_ready_async(
    agent: trunkline_agent_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(agent)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let agent = object.agent.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DONE, async move {
            agent.ready(deadline).await?;
            Ok(Done::new(TRUNKLINE_EV_DONE))
        })
    })
}

/// The listener of an agent: it accepts the connections that name no target, as they are, or by the way that the
/// document's "memory_comm" and "use_memory_comm" say. They wait for it from the agent's beginning. One at a time; freeing it makes place for another, and the hubs' dials are refused meanwhile.
///
/// Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: no. Threads:
/// any. Errors: INVALID_ARGUMENT ("forward" is set), INVALID_HANDLE, BIND_FAILED (another is open),
/// LIMIT_EXCEEDED, CLOSED (also once it drains), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_listener(
    agent: trunkline_agent_t,
    out: Option<&mut MaybeUninit<trunkline_listener_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(agent)?;
        let place = call.place(&object.runtime)?;
        let listener = object.agent.listener()?;
        Ok(ListenerObject::register(&object.runtime, listener, place))
    })
}

/// Lets `share` of an agent's connections to come reach its listener by a pipe, and the others over a Unix socket: 1 is
/// "use_memory_comm" of the document, 0 is its absence. Connections that stand stay as they are.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (not within 0 and 1, or the document has neither
/// "memory_comm" nor "use_memory_comm"), INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_use_memory_comm(
    agent: trunkline_agent_t,
    share: f64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| Ok(call.object(agent)?.agent.use_memory_comm(share)?))
}

/// Fills the counts of the two ways between an agent and its listener.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_agent_memory_comm_stats(
    agent: trunkline_agent_t,
    stats: *mut trunkline_memory_comm_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(agent)?.agent.memory_comm_stats();
        let (memory, socket) = (counted.memory, counted.socket);
        let value = trunkline_memory_comm_stats_t {
            size: size_of::<trunkline_memory_comm_stats_t>(),
            memory_share: counted.memory_share,
            memory_active: memory.active,
            memory_opened: memory.opened,
            memory_closed: memory.closed,
            memory_fallbacks: memory.fallbacks,
            memory_failed: memory.failed,
            memory_bytes_received: memory.bytes_received,
            memory_bytes_sent: memory.bytes_sent,
            socket_active: socket.active,
            socket_opened: socket.opened,
            socket_closed: socket.closed,
            socket_fallbacks: socket.fallbacks,
            socket_failed: socket.failed,
            socket_bytes_received: socket.bytes_received,
            socket_bytes_sent: socket.bytes_sent,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Fills the counts of an agent.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_agent_stats(
    agent: trunkline_agent_t,
    stats: *mut trunkline_agent_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(agent)?.agent.stats();
        let value = trunkline_agent_stats_t {
            size: size_of::<trunkline_agent_stats_t>(),
            links: counted.links,
            links_opened: counted.links_opened,
            links_failed: counted.links_failed,
            replaced: counted.replaced,
            active: counted.active,
            limit: counted.limit,
            opened: counted.opened,
            closed: counted.closed,
            refused: counted.refused,
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Tells the hubs to open nothing new, waits until every connection has ended, and at the deadline cuts the rest;
/// `*cut` says how many. Then the tunnels end. Connections that were not accepted yet are reset.
///
/// With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
///
/// Ownership: none. Blocks: until the last connection has ended, or the deadline. Threads: any but the library's.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_drain(
    agent: trunkline_agent_t,
    deadline_ns: i64,
    cut: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(cut, err, |call| {
        let object = call.object(agent)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let drain = async { Ok(object.agent.drain(deadline).await.cut) };
        call.block_on(&object.runtime, Deadline::Never, drain, Failure::would_block)
    })
}

/// As trunkline_agent_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of
/// connections that were cut in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then nothing new is opened, and
/// what stands goes on. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_drain_async(
    agent: trunkline_agent_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(agent)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let agent = object.agent.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, async move {
            let value = agent.drain(deadline).await.cut;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DRAINED) })
        })
    })
}

/// Ends every tunnel and connection of an agent, those that it gave away included: every descriptor is gone on
/// return. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
/// any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_close(agent: trunkline_agent_t) -> trunkline_status_t {
    enter_unit(None, |call| {
        let object = call.object(agent)?;
        let close = async {
            object.agent.close().await;
            Ok(())
        };
        match call.block_on(&object.runtime, Deadline::Never, close, Failure::would_block) {
            // With the runtime everything of the agent has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// Frees an agent and ends its tunnels, without waiting; what it accepted is reset with them.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_agent_free(agent: trunkline_agent_t) -> trunkline_status_t {
    end_and_free(agent, |object| object.agent.stop())
}
