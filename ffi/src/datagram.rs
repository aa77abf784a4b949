//! Datagram sockets: send and receive now or until a deadline, many at once, or arm and be told.
#![allow(unsafe_code, reason = "buffers, structs and texts come by pointer")]

use crate::{
    arm::{Arms, Wait},
    call::{Blank, Call, enter, enter_plain, enter_unit},
    error::{Failure, trunkline_error_t},
    handle::{end_and_free, trunkline_cq_t, trunkline_datagram_t, trunkline_runtime_t},
    input::{self, Deadline, Sized_, bytes, bytes_mut, fill, write_text},
    process::Process,
    queue::{TRUNKLINE_EV_READABLE, TRUNKLINE_EV_WRITABLE},
    runtime::Runtime,
    socket_address::{of_ip, trunkline_socket_address_t},
    status::*,
    stream::{TRUNKLINE_READABLE, TRUNKLINE_WRITABLE},
};
use std::{ffi::c_char, future::Future, mem::MaybeUninit, slice, sync::Arc, task::Poll};
use trunkline_core::{
    Address, ConnectionError, Datagram, DatagramReady, Permit, Place, Received, Step,
};

/// A place for bytes that are received.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_room_t {
    /// May be NULL only if `len` is 0.
    pub ptr: *mut u8,
    /// In bytes.
    pub len: usize,
}

/// One datagram as it was received.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_received_t {
    /// Bytes that are in the buffer.
    pub len: usize,
    /// Bytes that the datagram had; more than `len` if the buffer was too short, and then the rest is lost.
    pub whole_len: usize,
    /// Who sent it.
    pub source: trunkline_socket_address_t,
    /// Which of our addresses it was sent to, for an answer to leave from; family 0 where the system does not say.
    pub to: trunkline_socket_address_t,
}

impl Blank for trunkline_received_t {
    const BLANK: Self = Self {
        len: 0,
        whole_len: 0,
        source: trunkline_socket_address_t::BLANK,
        to: trunkline_socket_address_t::BLANK,
    };
}

/// The counts of one datagram socket. Start from TRUNKLINE_DATAGRAM_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_datagram_stats_t {
    /// In: sizeof(trunkline_datagram_stats_t). Out: bytes filled.
    pub size: usize,
    /// Datagrams that were received.
    pub datagrams_received: u64,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Of those received, the ones that were longer than the buffer for them.
    pub truncated: u64,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_datagram_stats_t {}

/// What a datagram socket's handle names.
#[derive(Debug)]
pub(crate) struct DatagramObject {
    socket: Datagram,
    runtime: Arc<Runtime>,
    arms: Arms,
}

impl DatagramObject {
    /// Gives a socket its handle.
    pub(crate) fn register(
        runtime: &Arc<Runtime>,
        socket: Datagram,
        place: Permit,
    ) -> trunkline_datagram_t {
        let object = Self { socket, runtime: Arc::clone(runtime), arms: Arms::default() };
        Process::current().table().insert(Arc::new(object), Some(place))
    }

    /// Closes the socket if it was made on `runtime`.
    pub(crate) fn close_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.socket.close();
        }
    }

    /// Repeats `attempt` until it has an answer or the deadline has passed. A past deadline tries once.
    fn retry<T>(
        &self,
        call: &Call,
        deadline_ns: i64,
        step: Step,
        mut attempt: impl FnMut(&Datagram) -> Poll<Result<T, ConnectionError>>,
    ) -> Result<T, Failure> {
        if let Poll::Ready(answer) = attempt(&self.socket) {
            return answer.map_err(Failure::Core);
        }
        let waiting = async {
            loop {
                self.ready(step).await;
                if let Poll::Ready(answer) = attempt(&self.socket) {
                    return answer.map_err(Failure::Core);
                }
            }
        };
        call.block_on(&self.runtime, Deadline::from_ns(deadline_ns), waiting, || {
            let at = Place::at(step).from(Some(self.socket.address().clone()));
            Failure::Core(ConnectionError::timeout(None, at))
        })
    }

    fn ready(&self, step: Step) -> DatagramReady {
        match step {
            Step::Write => self.socket.writable(),
            _ => self.socket.readable(),
        }
    }

    fn told(&self, received: &Received) -> trunkline_received_t {
        let port = self.socket.address().socket_addr().map_or(0, |own| own.port());
        trunkline_received_t {
            len: received.len,
            whole_len: received.whole_len,
            source: received.source.into(),
            to: of_ip(received.to, port),
        }
    }
}

/// Binds a datagram socket to `address`, such as "udp://127.0.0.1:0"; port 0 means a free port, told by
/// trunkline_datagram_address. The unspecified address of IPv6 takes IPv4 as well.
///
/// Ownership: the socket is the caller's, to be freed once with trunkline_datagram_free. Blocks: for the look-up of
/// a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, BIND_FAILED, LIMIT_EXCEEDED, CLOSED,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_bind(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    out: Option<&mut MaybeUninit<trunkline_datagram_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let socket =
            block_on_bind(call, &runtime, async { Ok(runtime.network().bind(&address).await?) })?;
        Ok(DatagramObject::register(&runtime, socket, place))
    })
}

/// Waits for a socket to be bound, as long as the look-up of a name takes.
pub(crate) fn block_on_bind(
    call: &Call,
    runtime: &Runtime,
    bind: impl Future<Output = Result<Datagram, Failure>>,
) -> Result<Datagram, Failure> {
    call.block_on(runtime, Deadline::Never, bind, Failure::would_block)
}

/// Sends one datagram to `to`. It leaves from the address `from`, one of this host's such as `to` of a received one,
/// or from what the system chooses if that is NULL or has family 0; its port is not looked at.
///
/// A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: none. Blocks: until the socket's buffer has room, or the deadline. Threads: any, any number at once;
/// those of the library with a past deadline only. Errors: INVALID_ARGUMENT (also a datagram that is longer than the
/// way there carries), INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, CONNECTION_FAILED, CLOSED, WOULD_DEADLOCK, FORKED.
/// Since 0.1.
///
/// # Safety
///
/// `data` is good for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_send_to(
    datagram: trunkline_datagram_t,
    data: *const u8,
    len: usize,
    to: Option<&trunkline_socket_address_t>,
    from: Option<&trunkline_socket_address_t>,
    deadline_ns: i64,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| {
        let object = call.object(datagram)?;
        // SAFETY: the caller's promise is the same.
        let data = unsafe { bytes(data, len, "data")? };
        let to = to.ok_or_else(|| Failure::null("to"))?.checked("to")?;
        let from = match from.filter(|from| from.family != 0) {
            Some(from) => Some(from.checked("from")?.ip()),
            None => None,
        };
        let attempt = |socket: &Datagram| socket.try_send_to(data, to, from);
        object.retry(call, deadline_ns, Step::Write, attempt)
    })
}

/// Takes the next datagram into `buf`. If it is longer than `cap`, that is UDP: the buffer holds its beginning, the
/// rest is lost, and the error names its source.
///
/// A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: none. Blocks: until one is there, or the deadline. Threads: any, any number at once; those of the
/// library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, UDP, CLOSED,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `buf` is good for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_recv_from(
    datagram: trunkline_datagram_t,
    buf: *mut u8,
    cap: usize,
    deadline_ns: i64,
    received: Option<&mut MaybeUninit<trunkline_received_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(received, err, |call| {
        let object = call.object(datagram)?;
        // SAFETY: the caller's promise is the same.
        let buf = unsafe { bytes_mut(buf, cap, "buf")? };
        let attempt = |socket: &Datagram| socket.try_recv_from(buf);
        let received = object.retry(call, deadline_ns, Step::Read, attempt)?;
        Ok(object.told(&received))
    })
}

/// Takes up to `count` datagrams, each into the room of the same place, and says in `received` what each is; `*n`
/// says how many. It waits for the first alone. One that is longer than its room has a `whole_len` above its `len`.
///
/// A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: none. Blocks: until one is there, or the deadline. Threads: any, any number at once; those of the
/// library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, CLOSED,
/// WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `rooms` and `received` are good for `count` elements, and each room for its bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_recv_many(
    datagram: trunkline_datagram_t,
    rooms: *const trunkline_room_t,
    received: *mut trunkline_received_t,
    count: usize,
    deadline_ns: i64,
    n: Option<&mut MaybeUninit<usize>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(n, err, |call| {
        let object = call.object(datagram)?;
        // SAFETY: the caller's promises are the same.
        let (rooms, told) = unsafe { batch(rooms, received, count)? };
        let take = |socket: &Datagram, place: usize| {
            // SAFETY: the caller promises it for each room, and each is used once at a time.
            let room = match unsafe { bytes_mut(rooms[place].ptr, rooms[place].len, "rooms") } {
                Ok(room) => room,
                Err(failure) => return Poll::Ready(Err(failure)),
            };
            socket.try_recv_cut(room).map(|answer| answer.map_err(Failure::Core))
        };
        let first = |socket: &Datagram| match take(socket, 0) {
            Poll::Ready(Ok(received)) => Poll::Ready(Ok(Ok(received))),
            Poll::Ready(Err(failure)) => Poll::Ready(Ok(Err(failure))),
            Poll::Pending => Poll::Pending,
        };
        told[0] = object.told(&object.retry(call, deadline_ns, Step::Read, first)??);
        let mut filled = 1;
        while filled < count {
            // What fails here is told by the next call.
            let Poll::Ready(Ok(received)) = take(&object.socket, filled) else { break };
            told[filled] = object.told(&received);
            filled += 1;
        }
        Ok(filled)
    })
}

/// Two arrays of `count` elements each.
///
/// # Safety
///
/// Both are NULL or good for `count` elements during `'a`.
unsafe fn batch<'a>(
    rooms: *const trunkline_room_t,
    received: *mut trunkline_received_t,
    count: usize,
) -> Result<(&'a [trunkline_room_t], &'a mut [trunkline_received_t]), Failure> {
    /// What one call takes at most: more than any socket holds.
    const MOST: usize = 1 << 16;
    if rooms.is_null() || received.is_null() {
        return Err(Failure::null("rooms or received"));
    }
    if count == 0 || count > MOST {
        return Err(Failure::argument(format!("count: must be within 1 and {MOST}, is {count}")));
    }
    // SAFETY: neither is NULL and the length is possible; the rest is the caller's promise.
    unsafe {
        received.write_bytes(0, count);
        Ok((slice::from_raw_parts(rooms, count), slice::from_raw_parts_mut(received, count)))
    }
}

/// Asks for one event per direction in `interest` (TRUNKLINE_READABLE, TRUNKLINE_WRITABLE, or both) on `cq`.
///
/// The event comes at once if the direction is ready, may come for nothing, and comes with CLOSED when the
/// socket is closed. While one is owed for the same direction and queue, arming again gives it the new tag.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the
/// queue), CLOSED (the queue, or the runtime), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_datagram_arm(
    datagram: trunkline_datagram_t,
    interest: u32,
    cq: trunkline_cq_t,
    tag: u64,
) -> trunkline_status_t {
    enter_plain(|| {
        let table = Process::current().table();
        let object = table.get(datagram)?;
        let queue = table.get(cq)?;
        if interest == 0 || interest > TRUNKLINE_READABLE | TRUNKLINE_WRITABLE {
            return Err(Failure::argument("interest: must be READABLE, WRITABLE or both"));
        }
        object.runtime.check_running()?;
        if interest & TRUNKLINE_READABLE != 0 {
            let wait = || Wait::Datagram(object.socket.readable());
            object.arms.arm((cq, &queue), (TRUNKLINE_EV_READABLE, tag), wait)?;
        }
        if interest & TRUNKLINE_WRITABLE != 0 {
            let wait = || Wait::Datagram(object.socket.writable());
            object.arms.arm((cq, &queue), (TRUNKLINE_EV_WRITABLE, tag), wait)?;
        }
        Ok(())
    })
}

/// Writes the address that the socket is bound to as text with a NUL; `*len` is without it.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
/// INVALID_HANDLE, FORKED. Since 0.1.
///
/// # Safety
///
/// `text` is good for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_address(
    datagram: trunkline_datagram_t,
    text: *mut c_char,
    cap: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(len, None, |call| {
        let address = call.object(datagram)?.socket.address().to_string();
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address, text, cap) }
    })
}

/// Fills the address that the socket is bound to.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_datagram_socket_address(
    datagram: trunkline_datagram_t,
    out: Option<&mut MaybeUninit<trunkline_socket_address_t>>,
) -> trunkline_status_t {
    enter(out, None, |call| match call.object(datagram)?.socket.address() {
        Address::Udp(address) => Ok((*address).into()),
        other => Err(Failure::argument(format!("{other} is no socket address"))),
    })
}

/// Fills the counts of a socket, also once it is closed.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_datagram_stats(
    datagram: trunkline_datagram_t,
    stats: *mut trunkline_datagram_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let counted = Process::current().table().get(datagram)?.socket.stats();
        let value = trunkline_datagram_stats_t {
            size: size_of::<trunkline_datagram_stats_t>(),
            datagrams_received: counted.datagrams_received,
            datagrams_sent: counted.datagrams_sent,
            truncated: counted.truncated,
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Closes a socket: the descriptor is gone on return, and whoever waits gets CLOSED. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_datagram_close(datagram: trunkline_datagram_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(datagram)?.socket.close();
        Ok(())
    })
}

/// Frees a socket, and closes it if that was not done.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_datagram_free(datagram: trunkline_datagram_t) -> trunkline_status_t {
    end_and_free(datagram, |object| object.socket.close())
}
