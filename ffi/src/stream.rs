//! Streams: connect, try or wait to read and write, arm readiness, end in order or at once.
#![allow(unsafe_code, reason = "buffers and texts come by pointer")]

use crate::{
    arm::{Arms, Wait},
    buf::trunkline_buf_t,
    call::{Call, enter, enter_plain},
    completion::{Done, submit, trunkline_completion_t},
    error::{Failure, trunkline_error_t},
    handle::{
        Handle, end_and_free, trunkline_cq_t, trunkline_op_t, trunkline_runtime_t,
        trunkline_stream_t,
    },
    input::{self, Deadline, Sized_, buffers, bytes_mut, fill, trunkline_bytes_t, write_text},
    output::ns,
    park::{Parker, Unparked},
    process::Process,
    queue::{TRUNKLINE_EV_CONNECTED, TRUNKLINE_EV_READABLE, TRUNKLINE_EV_WRITABLE},
    runtime::Runtime,
    status::*,
    tls::{secured_by, trunkline_connect_options_t, trunkline_tls_session_t},
};
use std::{
    borrow::Borrow,
    ffi::c_char,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::Poll,
};
use trunkline_core::{
    CloseReason, ConnectionError, Permit, Place, Protocol, Step, Stream, StreamReady,
    completion::CompletionQueue,
};

/// Interest in reading, for trunkline_stream_arm; the read side, for trunkline_stream_shutdown.
pub const TRUNKLINE_READABLE: u32 = 1;
/// Interest in writing, for trunkline_stream_arm; the write side, for trunkline_stream_shutdown.
pub const TRUNKLINE_WRITABLE: u32 = 2;

/// The near end, for trunkline_stream_address.
pub const TRUNKLINE_LOCAL: u32 = 0;
/// The far end, for trunkline_stream_address.
pub const TRUNKLINE_PEER: u32 = 1;

/// A TCP socket, in trunkline_stream_stats_t.
pub const TRUNKLINE_PROTOCOL_TCP: u32 = 1;
/// A Unix stream socket.
pub const TRUNKLINE_PROTOCOL_UNIX: u32 = 2;
/// An in-memory pipe.
pub const TRUNKLINE_PROTOCOL_PIPE: u32 = 3;
/// TLS over a TCP socket.
pub const TRUNKLINE_PROTOCOL_TLS: u32 = 4;
/// A logical connection through a tunnel.
pub const TRUNKLINE_PROTOCOL_TUNNEL: u32 = 5;

/// The counts of one stream. Start from TRUNKLINE_STREAM_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_stream_stats_t {
    /// In: sizeof(trunkline_stream_stats_t). Out: bytes filled.
    pub size: usize,
    /// Number of the connection, unique in this process; the same as in log records.
    pub id: u64,
    /// Bytes read from the peer so far.
    pub bytes_received: u64,
    /// Bytes written to the peer so far.
    pub bytes_sent: u64,
    /// Nanoseconds since the connection stood.
    pub age_ns: u64,
    /// One of TRUNKLINE_PROTOCOL_*.
    pub protocol: u32,
    /// One of TRUNKLINE_CLOSE_*; 0 while the stream is open.
    pub close_reason: i32,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_stream_stats_t {}

/// Both sides had said all they wanted to: an orderly end.
pub const TRUNKLINE_CLOSE_FINISHED: i32 = 1;
/// Closed by the local program while it could still have been used.
pub const TRUNKLINE_CLOSE_LOCAL: i32 = 2;
/// The peer reset it, or the network broke it.
pub const TRUNKLINE_CLOSE_RESET: i32 = 3;
/// No byte moved for the idle timeout.
pub const TRUNKLINE_CLOSE_IDLE_TIMEOUT: i32 = 4;
/// One side had finished and the other stayed silent for the half-close timeout.
pub const TRUNKLINE_CLOSE_HALF_CLOSE_TIMEOUT: i32 = 5;
/// The destination could not be reached.
pub const TRUNKLINE_CLOSE_CONNECT_FAILED: i32 = 6;
/// A drain reached its deadline first.
pub const TRUNKLINE_CLOSE_DRAINED: i32 = 7;
/// Its owner was dropped or its task was cancelled.
pub const TRUNKLINE_CLOSE_CANCELLED: i32 = 8;
/// It made room for another one.
pub const TRUNKLINE_CLOSE_EVICTED: i32 = 9;
/// It was turned away before it reached a backend: no route, or no good PROXY header.
pub const TRUNKLINE_CLOSE_REFUSED: i32 = 10;
/// Ended by its number, by this program.
pub const TRUNKLINE_CLOSE_KILLED: i32 = 11;
/// It had lasted for the maximum that was configured.
pub const TRUNKLINE_CLOSE_MAX_DURATION: i32 = 12;
/// Its source had as many connections as it may have, or there was no room to count one more source.
pub const TRUNKLINE_CLOSE_SOURCE_LIMIT: i32 = 13;
/// Its backend had as many connections as it may have, and no room in its line.
pub const TRUNKLINE_CLOSE_BACKEND_FULL: i32 = 14;
/// It had waited for a place of its backend for as long as it may.
pub const TRUNKLINE_CLOSE_QUEUE_TIMEOUT: i32 = 15;

const _: () = {
    assert!(TRUNKLINE_CLOSE_FINISHED == CloseReason::Finished as i32);
    assert!(TRUNKLINE_CLOSE_LOCAL == CloseReason::Local as i32);
    assert!(TRUNKLINE_CLOSE_RESET == CloseReason::Reset as i32);
    assert!(TRUNKLINE_CLOSE_IDLE_TIMEOUT == CloseReason::IdleTimeout as i32);
    assert!(TRUNKLINE_CLOSE_HALF_CLOSE_TIMEOUT == CloseReason::HalfCloseTimeout as i32);
    assert!(TRUNKLINE_CLOSE_CONNECT_FAILED == CloseReason::ConnectFailed as i32);
    assert!(TRUNKLINE_CLOSE_DRAINED == CloseReason::Drained as i32);
    assert!(TRUNKLINE_CLOSE_CANCELLED == CloseReason::Cancelled as i32);
    assert!(TRUNKLINE_CLOSE_EVICTED == CloseReason::Evicted as i32);
    assert!(TRUNKLINE_CLOSE_REFUSED == CloseReason::Refused as i32);
    assert!(TRUNKLINE_CLOSE_KILLED == CloseReason::Killed as i32);
    assert!(TRUNKLINE_CLOSE_MAX_DURATION == CloseReason::MaxDuration as i32);
    assert!(TRUNKLINE_CLOSE_SOURCE_LIMIT == CloseReason::SourceLimit as i32);
    assert!(TRUNKLINE_CLOSE_BACKEND_FULL == CloseReason::BackendFull as i32);
    assert!(TRUNKLINE_CLOSE_QUEUE_TIMEOUT == CloseReason::QueueTimeout as i32);
};

/// What a stream handle names.
#[derive(Debug)]
pub(crate) struct StreamObject {
    stream: Stream,
    runtime: Arc<Runtime>,
    arms: Arms,
    hands: AtomicU8,
}

/// In whose hands a stream is: the host's.
const HOST: u8 = 0;
/// A pool's, which lends it.
const POOL: u8 = 1;
/// Those of a relay, which gives it a socket.
const RELAY: u8 = 2;

/// A stream that its handle only tells of: a relay reads and writes it.
pub(crate) struct Given {
    object: Arc<StreamObject>,
}

impl Given {
    pub(crate) fn take(object: &Arc<StreamObject>) -> Result<Self, Failure> {
        if object.stream.is_closed() {
            return Err(Failure::closed("the stream"));
        }
        match object.hands.compare_exchange(HOST, RELAY, Relaxed, Relaxed) {
            Ok(_) => Ok(Self { object: Arc::clone(object) }),
            Err(POOL) => Err(Failure::argument("stream: a pool lends it; detach it first")),
            Err(_) => Err(has_socket()),
        }
    }
}

impl Borrow<Stream> for Given {
    fn borrow(&self) -> &Stream {
        &self.object.stream
    }
}

impl Drop for Given {
    /// Either the relay is over, and with it the stream, or it never began.
    fn drop(&mut self) {
        if !self.object.stream.is_closed() {
            self.object.hands.store(HOST, Relaxed);
        }
    }
}

fn has_socket() -> Failure {
    Failure::closed("the stream, which has a socket now,")
}

impl StreamObject {
    /// Gives a stream its handle.
    pub(crate) fn register(
        runtime: &Arc<Runtime>,
        stream: Stream,
        place: Permit,
    ) -> trunkline_stream_t {
        let object = Self {
            stream,
            runtime: Arc::clone(runtime),
            arms: Arms::default(),
            hands: AtomicU8::new(HOST),
        };
        Process::current().table().insert(Arc::new(object), Some(place))
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Notes that a pool lends it, or does so no more.
    pub(crate) fn lend(&self, lends: bool) {
        self.hands.store(if lends { POOL } else { HOST }, Relaxed);
    }

    /// Ends it for its holder, who has nothing to end where it has a socket.
    fn end(&self, end: impl FnOnce(&Stream)) {
        if self.check_hands().is_ok() {
            end(&self.stream);
        }
    }

    fn check_hands(&self) -> Result<(), Failure> {
        if self.hands.load(Relaxed) == RELAY { Err(has_socket()) } else { Ok(()) }
    }

    /// Whether a pool may lend it: it stands, and nothing is left of the last conversation.
    pub(crate) fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// What its handshake has shown, if it had one.
    pub(crate) fn tls_session(&self) -> Option<trunkline_tls_session_t> {
        self.stream.tls().map(trunkline_tls_session_t::from)
    }

    /// Ends the stream, for everybody who uses it.
    pub(crate) fn close(&self) {
        self.stream.close();
    }

    /// Closes the stream if it was made on `runtime`.
    pub(crate) fn close_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.stream.close();
        }
    }

    /// Repeats `attempt` until it has an answer or the deadline has passed. A past deadline tries once.
    pub(crate) fn retry<T>(
        &self,
        call: &Call,
        deadline_ns: i64,
        step: Step,
        mut attempt: impl FnMut(&Stream) -> Poll<Result<T, ConnectionError>>,
        ready: impl Fn(&Stream, &CompletionQueue<()>) -> StreamReady,
    ) -> Result<T, Failure> {
        self.check_hands()?;
        if let Poll::Ready(answer) = attempt(&self.stream) {
            return answer.map_err(Failure::Core);
        }
        let deadline = Deadline::from_ns(deadline_ns);
        match deadline {
            Deadline::Now => return Err(Failure::would_block()),
            Deadline::Past => return Err(self.timed_out(step)),
            Deadline::At(_) | Deadline::Never => call.check_may_block()?,
        }
        // A runtime that stops closes its streams, which ends the wait.
        self.runtime.check_running()?;
        let parker = Parker::of_this_thread().map_err(no_descriptor)?;
        // Some transports wait by the runtime's clock.
        let _entered = self.runtime.handle().enter();
        loop {
            match parker.wait(ready(&self.stream, parker.queue()), deadline.instant()) {
                Ok(()) => {}
                Err(Unparked::Timeout) => return Err(self.timed_out(step)),
                Err(Unparked::Failed(error)) => return Err(no_descriptor(error)),
            }
            self.check_hands()?;
            if let Poll::Ready(answer) = attempt(&self.stream) {
                return answer.map_err(Failure::Core);
            }
        }
    }

    fn timed_out(&self, step: Step) -> Failure {
        let context = self.stream.context();
        let at = Place::at(step).from(context.source.clone()).to(context.destination.clone());
        Failure::Core(ConnectionError::timeout(None, at))
    }
}

fn no_descriptor(error: io::Error) -> Failure {
    Failure::new(TRUNKLINE_E_LIMIT_EXCEEDED, format!("no descriptor to wait with: {error}"))
}

/// As trunkline_connect_with, with the default options.
///
/// Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until
/// the deadline. Threads: any but the library's. Errors: as trunkline_connect_with. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_connect(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<trunkline_stream_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe {
        trunkline_connect_with(rt, address, address_len, std::ptr::null(), deadline_ns, out, err)
    }
}

/// Connects to `address`, such as "tcp://localhost:80", "tls://db.internal:5432", "unix:/run/app.sock" or "mem:app".
///
/// With TRUNKLINE_DEADLINE_NONE the default connect timeout of 5 s holds. To a tls:// address it includes the
/// handshake; the server's certificate must be for the address's host.
///
/// Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until
/// the deadline. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, CONNECTION_FAILED,
/// TLS, TIMEOUT, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_connect_with(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    opts: *const trunkline_connect_options_t,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<trunkline_stream_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        call.check_may_block()?;
        let runtime = call.runtime(rt)?;
        // SAFETY: as above.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let place = call.place(&runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let connect = async { Ok(network.connect(&address, deadline).await?) };
        let stream = call.block_on(&runtime, Deadline::Never, connect, Failure::would_block)?;
        Ok(StreamObject::register(&runtime, stream, place))
    })
}

/// As trunkline_connect_with_async, with the default options.
///
/// Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: as
/// trunkline_connect_with_async. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_connect_async(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    let opts = std::ptr::null();
    // SAFETY: the caller's promise is the same; options may be NULL.
    unsafe {
        trunkline_connect_with_async(
            rt,
            address,
            address_len,
            opts,
            deadline_ns,
            completion,
            op,
            err,
        )
    }
}

/// As trunkline_connect_with; the result is an event of kind TRUNKLINE_EV_CONNECTED with the stream in `handle`.
///
/// Ownership: the stream in the event is the receiver's. Blocks: no. Threads: any. Errors: of the submit
/// INVALID_ARGUMENT, INVALID_HANDLE, VERSION, LIMIT_EXCEEDED, CLOSED, FORKED; the others come with the event, also
/// CANCELLED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_connect_with_async(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    opts: *const trunkline_connect_options_t,
    deadline_ns: i64,
    completion: Option<&trunkline_completion_t>,
    op: Option<&mut MaybeUninit<trunkline_op_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(op, err, |call| {
        // SAFETY: the caller's promise is the same.
        let address = unsafe { input::address(address, address_len)? };
        let runtime = call.runtime(rt)?;
        // SAFETY: as above.
        let network = unsafe { secured_by(call, runtime.network(), opts)? };
        let place = call.place(&runtime)?;
        let deadline = Deadline::from_ns(deadline_ns).instant();
        let owner = Arc::downgrade(&runtime);
        submit(call, &runtime, completion, TRUNKLINE_EV_CONNECTED, async move {
            let stream = network.connect(&address, deadline).await?;
            let runtime = owner.upgrade().ok_or_else(|| Failure::closed("the runtime"))?;
            let handle = StreamObject::register(&runtime, stream, place).raw();
            Ok(Done { handle, ..Done::new(TRUNKLINE_EV_CONNECTED) })
        })
    })
}

/// Reads what is there, at most `cap` bytes. OK with `*n` 0 and a `cap` above 0 is the end of the stream.
///
/// A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: none. Blocks: until a byte or the end is there, or the deadline. Threads: any, any number at
/// once; those of the library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
/// WOULD_BLOCK, TIMEOUT, BROKEN, CLOSED, LIMIT_EXCEEDED (no descriptor is left for a thread's first wait),
/// WOULD_DEADLOCK, FORKED; trunkline_stream_error has the details. Since 0.1.
///
/// # Safety
///
/// `buf` is good for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_stream_read(
    stream: trunkline_stream_t,
    buf: *mut u8,
    cap: usize,
    deadline_ns: i64,
    n: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(n, None, |call| {
        let object = call.object(stream)?;
        // SAFETY: the caller's promise is the same.
        let buf = unsafe { bytes_mut(buf, cap, "buf")? };
        object.retry(
            call,
            deadline_ns,
            Step::Read,
            |stream| stream.try_read(buf),
            Stream::readable_on,
        )
    })
}

/// Writes what fits of `iovcnt` buffers, in order; `*n` says how many bytes were taken, which may be a part.
///
/// A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: none. Blocks: until at least one byte was taken, or the deadline. Threads: any, any number at
/// once; those of the library with a past deadline only. Errors: INVALID_ARGUMENT, INVALID_HANDLE,
/// WOULD_BLOCK, TIMEOUT, BROKEN, CLOSED, LIMIT_EXCEEDED (no descriptor is left for a thread's first wait),
/// WOULD_DEADLOCK, FORKED; trunkline_stream_error has the details. Since 0.1.
///
/// # Safety
///
/// `iov` is good for `iovcnt` elements, and each of them for its bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_stream_write(
    stream: trunkline_stream_t,
    iov: *const trunkline_bytes_t,
    iovcnt: usize,
    deadline_ns: i64,
    n: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(n, None, |call| {
        let object = call.object(stream)?;
        // SAFETY: the caller's promise is the same.
        let buffers = unsafe { buffers(iov, iovcnt, "iov")? };
        let slices: Vec<_> = buffers.into_iter().map(IoSlice::new).collect();
        let attempt = |stream: &Stream| stream.try_write(&slices);
        object.retry(call, deadline_ns, Step::Write, attempt, Stream::writable_on)
    })
}

/// Reads what is there, at most `max` bytes, as a buffer. `*out` is empty at the end of the stream.
///
/// What the peer has handed over by trunkline_stream_send_buf through a pipe is that very buffer, or the first `max` bytes of
/// it; everything else is copied into a new one of at most 64 KiB.
///
/// Ownership: the buffer is the caller's, to be freed with trunkline_buf_free. Blocks: as trunkline_stream_read.
/// Threads: as trunkline_stream_read. Errors: as trunkline_stream_read. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_recv_buf(
    stream: trunkline_stream_t,
    max: usize,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_buf_t>>>>,
) -> trunkline_status_t {
    enter(out, None, |call| {
        let object = call.object(stream)?;
        if max == 0 {
            return Err(Failure::argument("max: must be at least 1"));
        }
        let attempt = |stream: &Stream| stream.try_recv_buf(max);
        let buf = object.retry(call, deadline_ns, Step::Read, attempt, Stream::readable_on)?;
        Ok(Some(Box::new(trunkline_buf_t::owned(buf))))
    })
}

/// Writes what fits of a buffer and takes it off its front; `*n` says how many bytes it was. What is left stays in
/// `buf`, until it is empty.
///
/// Through a pipe, buffers of 4 KiB and more are handed over as they are, without a copy: their memory is released after
/// the reader is done with it. Everything else is copied. A deadline of 0 tries once and says WOULD_BLOCK.
///
/// Ownership: `buf` stays the caller's, to be freed with trunkline_buf_free. Blocks: as trunkline_stream_write. Threads: as
/// trunkline_stream_write; `buf` is used by this call alone. Errors: as trunkline_stream_write. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_send_buf(
    stream: trunkline_stream_t,
    buf: Option<&mut trunkline_buf_t>,
    deadline_ns: i64,
    n: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(n, None, |call| {
        let object = call.object(stream)?;
        let buf = buf.ok_or_else(|| Failure::null("buf"))?;
        let attempt = |stream: &Stream| stream.try_send_buf(&mut buf.bytes);
        object.retry(call, deadline_ns, Step::Write, attempt, Stream::writable_on)
    })
}

/// Asks for one event per direction in `interest` (TRUNKLINE_READABLE, TRUNKLINE_WRITABLE, or both) on `cq`.
///
/// The event comes at once if the direction is ready, may come for nothing, and comes with CLOSED when the
/// stream is closed. While one is owed for the same direction and queue, arming again gives it the new tag.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, LIMIT_EXCEEDED (the
/// queue), CLOSED (the queue, or the runtime), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_arm(
    stream: trunkline_stream_t,
    interest: u32,
    cq: trunkline_cq_t,
    tag: u64,
) -> trunkline_status_t {
    enter_plain(|| {
        let table = Process::current().table();
        let object = table.get(stream)?;
        let queue = table.get(cq)?;
        if interest == 0 || interest > TRUNKLINE_READABLE | TRUNKLINE_WRITABLE {
            return Err(Failure::argument("interest: must be READABLE, WRITABLE or both"));
        }
        object.check_hands()?;
        object.runtime.check_running()?;
        if interest & TRUNKLINE_READABLE != 0 {
            let wait = || Wait::Stream(queue.readable(&object.stream));
            object.arms.arm((cq, &queue), (TRUNKLINE_EV_READABLE, tag), wait)?;
        }
        if interest & TRUNKLINE_WRITABLE != 0 {
            let wait = || Wait::Stream(queue.writable(&object.stream));
            object.arms.arm((cq, &queue), (TRUNKLINE_EV_WRITABLE, tag), wait)?;
        }
        Ok(())
    })
}

/// Ends directions in order: TRUNKLINE_WRITABLE sends the end of the stream after what was written,
/// TRUNKLINE_READABLE takes no more. Ending one twice, or after the peer has gone, is OK.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, CLOSED, BROKEN, FORKED.
/// Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_shutdown(
    stream: trunkline_stream_t,
    how: u32,
) -> trunkline_status_t {
    enter_plain(|| {
        let object = Process::current().table().get(stream)?;
        let how = match how {
            TRUNKLINE_READABLE => Shutdown::Read,
            TRUNKLINE_WRITABLE => Shutdown::Write,
            3 => Shutdown::Both,
            _ => return Err(Failure::argument("how: must be READABLE, WRITABLE or both")),
        };
        object.check_hands()?;
        Ok(object.stream.shutdown(how)?)
    })
}

/// Why the stream broke, in full; OK and NULL if it did not.
///
/// Ownership: the error is the caller's, to be freed with trunkline_error_free. Blocks: no. Threads: any.
/// Errors: the status of the failure that is told; INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_error(
    stream: trunkline_stream_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    crate::call::enter_unit(err, |call| match call.object(stream)?.stream.error() {
        Some(error) => Err(Failure::Core(error)),
        None => Ok(()),
    })
}

/// Writes the address of an end, TRUNKLINE_LOCAL or TRUNKLINE_PEER, as text with a NUL; `*len` is without it.
///
/// An end without a name, such as a pipe's, is an empty text. An address has at most 300 bytes.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
/// INVALID_HANDLE, FORKED. Since 0.1.
///
/// # Safety
///
/// `text` is good for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_stream_address(
    stream: trunkline_stream_t,
    which: u32,
    text: *mut c_char,
    cap: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(len, None, |call| {
        let object = call.object(stream)?;
        let context = object.stream.context();
        let address = match which {
            TRUNKLINE_LOCAL => context.local(),
            TRUNKLINE_PEER => context.peer(),
            _ => return Err(Failure::argument("which: must be LOCAL or PEER")),
        };
        let address = address.map(ToString::to_string).unwrap_or_default();
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address, text, cap) }
    })
}

/// Fills the counts of a stream; they are exact also after it was closed.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION, FORKED. Since 0.1.
///
/// # Safety
///
/// `stats` points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_stream_stats(
    stream: trunkline_stream_t,
    stats: *mut trunkline_stream_stats_t,
) -> trunkline_status_t {
    enter_plain(|| {
        let object = Process::current().table().get(stream)?;
        let (context, metrics) = (object.stream.context(), object.stream.metrics());
        let age = input::now().saturating_duration_since(context.created);
        let value = trunkline_stream_stats_t {
            size: size_of::<trunkline_stream_stats_t>(),
            id: context.id.get(),
            bytes_received: metrics.bytes_received(),
            bytes_sent: metrics.bytes_sent(),
            age_ns: ns(age),
            protocol: match context.protocol {
                Protocol::Tcp => TRUNKLINE_PROTOCOL_TCP,
                Protocol::Unix => TRUNKLINE_PROTOCOL_UNIX,
                Protocol::Pipe => TRUNKLINE_PROTOCOL_PIPE,
                Protocol::Tls => TRUNKLINE_PROTOCOL_TLS,
                Protocol::Tunnel => TRUNKLINE_PROTOCOL_TUNNEL,
                _ => 0,
            },
            close_reason: metrics.close_reason().map_or(0, CloseReason::code),
        };
        // SAFETY: the caller's promise is the same.
        unsafe { fill(stats, &value) }
    })
}

/// Closes a stream with a reset: the peer sees ECONNRESET instead of an end. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_abort(stream: trunkline_stream_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(stream)?.end(|stream| stream.abort(CloseReason::Local));
        Ok(())
    })
}

/// Closes a stream: its descriptor is gone on return, and whoever waits on it gets CLOSED. Idempotent.
///
/// Ownership: the handle stays the caller's, for stats and for trunkline_stream_free. Blocks: no. Threads: any.
/// Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_close(stream: trunkline_stream_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(stream)?.end(Stream::close);
        Ok(())
    })
}

/// Frees a stream, and closes it if that was not done.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_free(stream: trunkline_stream_t) -> trunkline_status_t {
    end_and_free(stream, |object| object.end(Stream::close))
}
