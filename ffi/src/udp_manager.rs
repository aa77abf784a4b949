//! The UDP manager: relays datagrams by session under its limits, counts, lists, kills, drains.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    buf::trunkline_buf_t,
    call::{Call, enter, enter_plain, enter_unit},
    completion::{Done, submit, trunkline_completion_t},
    datagram::{DatagramObject, block_on_bind},
    error::{Failure, trunkline_error_t},
    handle::{
        end_and_free, trunkline_datagram_t, trunkline_op_t, trunkline_runtime_t,
        trunkline_udp_manager_t,
    },
    input::{self, Deadline, Sized_, TRUNKLINE_NEVER, fill, options, text, write_text},
    output::ns,
    process::Process,
    queue::TRUNKLINE_EV_DRAINED,
    runtime::Runtime,
    status::*,
    tcp_manager::check_room_for_bound,
};
use serde_json::json;
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc, time::Duration};
use trunkline_core::{
    CloseReason, DropReason, LiveUdpConnection, UdpConnectionManager, UdpManagerConfig,
    UdpRelayOptions,
    config::{Config, TimeLimit},
};

/// How one relay differs from the manager's configuration. Start from TRUNKLINE_UDP_RELAY_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_udp_relay_options_t {
    /// sizeof(trunkline_udp_relay_options_t)
    pub size: usize,
    /// Nanoseconds of silence after which a verified session of this relay ends; 0 means the manager's
    /// idle_timeout, TRUNKLINE_NEVER no end. 1 ms to 365 days.
    pub idle_timeout_ns: i64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_udp_relay_options_t {}

/// The counts of a UDP manager at one moment: opened - closed = active = verified + unverified, in every answer.
/// Start from TRUNKLINE_UDP_MANAGER_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_udp_manager_stats_t {
    /// In: sizeof(trunkline_udp_manager_stats_t). Out: bytes filled.
    pub size: usize,
    /// Sessions that stand.
    pub active: u64,
    /// Those of them whose client has answered an answer.
    pub verified: u64,
    /// The others.
    pub unverified: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Sessions that stood.
    pub opened: u64,
    /// Sessions that ended, for any of the reasons below.
    pub closed: u64,
    /// Datagrams that came from clients, dropped ones included.
    pub datagrams_received: u64,
    /// Datagrams that went to clients.
    pub datagrams_sent: u64,
    /// Bytes that came from clients of sessions.
    pub bytes_received: u64,
    /// Bytes that went to clients of sessions.
    pub bytes_sent: u64,
    /// Times that a destination let us know that nobody takes datagrams there. The session goes on.
    pub refused: u64,
    /// Times that receiving paused because it failed.
    pub receive_pauses: u64,
    /// Datagrams that were dropped, for any of the reasons below.
    pub dropped: u64,
    /// Longer than the receiver's buffer.
    pub dropped_truncated: u64,
    /// Longer than the way to their destination carries.
    pub dropped_too_long: u64,
    /// The socket's send buffer was full.
    pub dropped_buffer_full: u64,
    /// Every place for a session was taken by a verified one.
    pub dropped_session_table_full: u64,
    /// Enough datagrams waited for the session's upstream already.
    pub dropped_early_queue_full: u64,
    /// Too much for what an unverified source had sent.
    pub dropped_amplification: u64,
    /// The destination of their session was not reached.
    pub dropped_connect_failed: u64,
    /// Their session ended first.
    pub dropped_session_closed: u64,
    /// They would have begun a session while the manager drains.
    pub dropped_draining: u64,
    /// The system refused to send them.
    pub dropped_send_failed: u64,
    /// Closed by this program.
    pub closed_local: u64,
    /// Silent for the idle timeout of their class.
    pub closed_idle_timeout: u64,
    /// The destination was not reached.
    pub closed_connect_failed: u64,
    /// Cut by a drain.
    pub closed_drained: u64,
    /// Their owner or their task was gone.
    pub closed_cancelled: u64,
    /// Made room for another session.
    pub closed_evicted: u64,
    /// Ended by their number, by this program.
    pub closed_killed: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_udp_manager_stats_t {}

/// What a manager's handle names.
#[derive(Debug)]
pub(crate) struct UdpManagerObject {
    manager: UdpConnectionManager,
    runtime: Arc<Runtime>,
}

impl UdpManagerObject {
    /// Ends what the manager runs if it was made on `runtime`.
    pub(crate) fn stop_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.manager.stop();
        }
    }

    /// Waits for `work` of the manager, as long as it takes.
    fn wait<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        call.block_on(&self.runtime, Deadline::Never, work, Failure::would_block)
    }
}

/// Makes a UDP manager. `json` is a document such as {"max_sessions": 100, "idle_timeout": "30s",
/// "amplification_limit": 100}; empty means the defaults: 2048 sessions of which 1024 unverified, 60 s idle, 5 s
/// unverified, three times the bytes that an unverified source sent.
///
/// Ownership: the manager is the caller's, to be freed once with trunkline_udp_manager_free. Blocks: no. Threads:
/// any. Errors: INVALID_ARGUMENT (names the field), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_udp_manager_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_udp_manager_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let json = unsafe { text(json, json_len, "json")? };
        let config = match json {
            "" => UdpManagerConfig::default(),
            _ => UdpManagerConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let manager = UdpConnectionManager::new(runtime.network().clone(), config)?;
        Ok(call.register(Arc::new(UdpManagerObject { manager, runtime }), place))
    })
}

/// Binds a socket as trunkline_datagram_bind does, which closes with the manager.
///
/// Ownership: the socket is the caller's, to be freed once with trunkline_datagram_free. Blocks: for the look-up of
/// a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, BIND_FAILED,
/// LIMIT_EXCEEDED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_udp_manager_bind(
    manager: trunkline_udp_manager_t,
    address: *const c_char,
    address_len: usize,
    out: Option<&mut MaybeUninit<trunkline_datagram_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        call.check_may_block()?;
        let place = call.place(&object.runtime)?;
        let bind = async { Ok(object.manager.bind(&address).await?) };
        let socket = block_on_bind(call, &object.runtime, bind)?;
        Ok(DatagramObject::register(&object.runtime, socket, place))
    })
}

/// Binds `listen` and relays what comes there to `destination`, in the background, until the manager is drained,
/// closed or freed. Each source has a session with its own socket to the destination, and gets its answers from
/// the address that it sent to. `opts` may be NULL.
///
/// The address that is bound is written to `bound` as text with a NUL; `*bound_len` is without it. With a `cap` of
/// 0 it is not told.
///
/// Ownership: none. Blocks: for the look-up of a host name in `listen`. Threads: any but the library's. Errors:
/// INVALID_ARGUMENT (also a destination that leads back, and a `cap` of less than 128 bytes or than `listen` with
/// a NUL), INVALID_HANDLE, VERSION, BIND_FAILED, CLOSED (also once it drains), WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `listen` is good for `listen_len` bytes, `destination` for `destination_len` and `bound` for `cap`; `opts` is
/// NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_udp_manager_relay(
    manager: trunkline_udp_manager_t,
    listen: *const c_char,
    listen_len: usize,
    destination: *const c_char,
    destination_len: usize,
    opts: *const trunkline_udp_relay_options_t,
    bound: *mut c_char,
    cap: usize,
    bound_len: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(bound_len, err, |call| {
        let object = call.object(manager)?;
        // SAFETY: the caller's promises are the same.
        let (from, to, opts) = unsafe {
            (
                input::address(listen, listen_len)?,
                input::address(destination, destination_len)?,
                options(opts)?,
            )
        };
        let opts = relay_options(opts)?;
        check_room_for_bound(&from, cap)?;
        call.check_may_block()?;
        let relay = async { Ok(object.manager.relay(&from, to, opts).await?) };
        let address = object.wait(call, relay)?.to_string();
        if cap == 0 {
            return Ok(address.len());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address, bound, cap) }
    })
}

fn relay_options(given: Option<trunkline_udp_relay_options_t>) -> Result<UdpRelayOptions, Failure> {
    let options = UdpRelayOptions::default();
    let limit = match given.map_or(0, |given| given.idle_timeout_ns) {
        0 => return Ok(options),
        TRUNKLINE_NEVER => TimeLimit::Never,
        ns => match u64::try_from(ns) {
            Ok(ns) => TimeLimit::After(Duration::from_nanos(ns)),
            Err(_) => return Err(Failure::argument("idle_timeout_ns: must not be negative")),
        },
    };
    Ok(options.idle_timeout(limit))
}

/// Fills the counts of a manager.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_udp_manager_stats(
    manager: trunkline_udp_manager_t,
    stats: *mut trunkline_udp_manager_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let value = counted(&Process::current().table().get(manager)?.manager);
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

fn counted(manager: &UdpConnectionManager) -> trunkline_udp_manager_stats_t {
    let counted = manager.stats();
    trunkline_udp_manager_stats_t {
        size: size_of::<trunkline_udp_manager_stats_t>(),
        active: counted.active,
        verified: counted.verified,
        unverified: counted.unverified,
        limit: counted.limit,
        opened: counted.opened,
        closed: counted.closed(),
        datagrams_received: counted.datagrams_received,
        datagrams_sent: counted.datagrams_sent,
        bytes_received: counted.bytes_received,
        bytes_sent: counted.bytes_sent,
        refused: counted.refused,
        receive_pauses: counted.receive_pauses,
        dropped: counted.dropped(),
        dropped_truncated: counted.dropped_because(DropReason::Truncated),
        dropped_too_long: counted.dropped_because(DropReason::TooLong),
        dropped_buffer_full: counted.dropped_because(DropReason::BufferFull),
        dropped_session_table_full: counted.dropped_because(DropReason::SessionTableFull),
        dropped_early_queue_full: counted.dropped_because(DropReason::EarlyQueueFull),
        dropped_amplification: counted.dropped_because(DropReason::Amplification),
        dropped_connect_failed: counted.dropped_because(DropReason::ConnectFailed),
        dropped_session_closed: counted.dropped_because(DropReason::SessionClosed),
        dropped_draining: counted.dropped_because(DropReason::Draining),
        dropped_send_failed: counted.dropped_because(DropReason::SendFailed),
        closed_local: counted.closed_because(CloseReason::Local),
        closed_idle_timeout: counted.closed_because(CloseReason::IdleTimeout),
        closed_connect_failed: counted.closed_because(CloseReason::ConnectFailed),
        closed_drained: counted.closed_because(CloseReason::Drained),
        closed_cancelled: counted.closed_because(CloseReason::Cancelled),
        closed_evicted: counted.closed_because(CloseReason::Evicted),
        closed_killed: counted.closed_because(CloseReason::Killed),
    }
}

/// The sessions that stand, as a JSON array in the order in which they began: {"id", "source", "local",
/// "destination", "verified", "age_ns", "datagrams_received", "datagrams_sent", "bytes_received", "bytes_sent"}
/// for each.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: no. Threads: any. Errors:
/// INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_live(
    manager: trunkline_udp_manager_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let live = call.object(manager)?.manager.live();
        let list: serde_json::Value = live.iter().map(described).collect();
        Ok(Some(Box::new(trunkline_buf_t::owned(list.to_string().into_bytes()))))
    })
}

fn described(connection: &LiveUdpConnection) -> serde_json::Value {
    json!({
        "id": connection.id.get(),
        "source": connection.source.to_string(),
        "local": connection.local.to_string(),
        "destination": connection.destination.to_string(),
        "verified": connection.verified,
        "age_ns": ns(connection.age),
        "datagrams_received": connection.datagrams_received,
        "datagrams_sent": connection.datagrams_sent,
        "bytes_received": connection.bytes_received,
        "bytes_sent": connection.bytes_sent,
    })
}

/// Ends the session with the number `id`, as trunkline_udp_manager_live tells it. Its client's next datagram begins a
/// new one.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, UDP (no session that stands has this
/// number), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_kill(
    manager: trunkline_udp_manager_t,
    id: u64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| Ok(call.object(manager)?.manager.kill(id)?))
}

/// Lets no new session begin, waits until those that stand have fallen silent, and at the deadline cuts the rest;
/// `*cut` says how many. Then the manager is closed, but for its handle.
///
/// With TRUNKLINE_DEADLINE_NONE the configured drain timeout holds; 0 and the past cut at once.
///
/// Ownership: none. Blocks: until the last session has ended, or the deadline. Threads: any but the library's.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED (the runtime), WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_drain(
    manager: trunkline_udp_manager_t,
    deadline_ns: i64,
    cut: Option<&mut MaybeUninit<u64>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(cut, err, |call| {
        let object = call.object(manager)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        object.wait(call, async { Ok(object.manager.drain(deadline).await.cut) })
    })
}

/// As trunkline_udp_manager_drain; the result is an event of kind TRUNKLINE_EV_DRAINED with the number of sessions that
/// were cut in `value`.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: of the submit INVALID_ARGUMENT, INVALID_HANDLE,
/// LIMIT_EXCEEDED, CLOSED (the runtime), FORKED; CANCELLED comes with the event: then those that stand go on.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_drain_async(
    manager: trunkline_udp_manager_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        let object = call.object(manager)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let manager = object.manager.clone();
        submit(call, &object.runtime, completion, TRUNKLINE_EV_DRAINED, async move {
            let value = manager.drain(deadline).await.cut;
            Ok(Done { value, ..Done::new(TRUNKLINE_EV_DRAINED) })
        })
    })
}

/// Closes everything of a manager, the sockets that it gave away included: every descriptor is gone on return.
/// Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: until its tasks have ended, which none makes wait. Threads:
/// any but the library's. Errors: INVALID_HANDLE, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_close(
    manager: trunkline_udp_manager_t,
) -> trunkline_status_t {
    enter_unit(None, |call| {
        let object = call.object(manager)?;
        let close = async {
            object.manager.close().await;
            Ok(())
        };
        match object.wait(call, close) {
            // With the runtime everything of the manager has ended.
            Err(failure) if failure.status() == TRUNKLINE_E_CLOSED => Ok(()),
            answer => answer,
        }
    })
}

/// Frees a manager and ends its relays and sessions, without waiting. Sockets that it gave away stay as they are.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_udp_manager_free(
    manager: trunkline_udp_manager_t,
) -> trunkline_status_t {
    end_and_free(manager, |object| object.manager.stop())
}
