//! Listeners: accept now, accept until a deadline, or arm and be told.
#![allow(unsafe_code, reason = "options and texts come by pointer")]

use crate::{
    arm::{Arms, Wait},
    call::{enter, enter_plain},
    error::{Failure, trunkline_error_t},
    handle::{
        end_and_free, trunkline_cq_t, trunkline_listener_t, trunkline_runtime_t,
        trunkline_stream_t, trunkline_tls_t,
    },
    input::{self, Deadline, Sized_, options, write_text},
    process::Process,
    queue::TRUNKLINE_EV_ACCEPTABLE,
    runtime::Runtime,
    status::*,
    stream::StreamObject,
    tls::secured,
};
use std::{ffi::c_char, mem::MaybeUninit, sync::Arc, task::Poll};
use trunkline_core::{ConnectionError, ListenOptions, Listener, Permit, Place, Step};

/// How to listen. Start from TRUNKLINE_LISTEN_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_listen_options_t {
    /// sizeof(trunkline_listen_options_t)
    pub size: usize,
    /// Connections that may wait to be accepted; 0 means 1024. The system may allow fewer.
    pub backlog: u32,
    /// 0
    pub reserved0: u32,
    /// Secures a tls:// address, which needs one with a server's side. May be freed after the call.
    pub tls: trunkline_tls_t,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_listen_options_t {}

/// What a listener handle names.
#[derive(Debug)]
pub(crate) struct ListenerObject {
    listener: Arc<Listener>,
    runtime: Arc<Runtime>,
    arms: Arms,
}

impl ListenerObject {
    /// Gives a listener its handle.
    pub(crate) fn register(
        runtime: &Arc<Runtime>,
        listener: Listener,
        place: Permit,
    ) -> trunkline_listener_t {
        let (listener, runtime) = (Arc::new(listener), Arc::clone(runtime));
        let object = Self { listener, runtime, arms: Arms::default() };
        Process::current().table().insert(Arc::new(object), Some(place))
    }

    /// The listener, for who accepts from it too.
    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener)
    }

    /// Closes the listener if it was made on `runtime`.
    pub(crate) fn close_if_on(&self, runtime: &Runtime) {
        if std::ptr::eq(Arc::as_ptr(&self.runtime), runtime) {
            self.listener.close();
        }
    }
}

/// Listens on `address`, such as "tcp://127.0.0.1:0", "tls://0.0.0.0:443", "unix:/run/app.sock" or "mem:app".
///
/// Port 0 means a free port; trunkline_listener_address tells it. A Unix socket file gets mode 0600 and goes
/// away with the listener; on an abstract name only processes of the same user are let in. On a tls:// address
/// handshakes are taken as connections come, beside each other, and an accept gives those that went well.
///
/// Ownership: the listener is the caller's, to be freed once with trunkline_listener_free. Blocks: for the
/// look-up of a host name. Threads: any but the library's. Errors: INVALID_ARGUMENT, INVALID_HANDLE, VERSION,
/// BIND_FAILED, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
///
/// # Safety
///
/// `address` is good for `address_len` bytes; `opts` is NULL or points to a struct made by its INIT macro.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_listen(
    rt: trunkline_runtime_t,
    address: *const c_char,
    address_len: usize,
    opts: *const trunkline_listen_options_t,
    out: Option<&mut MaybeUninit<trunkline_listener_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let (address, given) = unsafe { (input::address(address, address_len)?, options(opts)?) };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let mut options = ListenOptions::default();
        if let Some(given) = given.filter(|given| given.backlog > 0) {
            options.tcp.backlog = given.backlog;
        }
        let tls = given.map_or(trunkline_tls_t { h: 0 }, |given| given.tls);
        let network = secured(call, runtime.network(), tls)?;
        let listen = async { Ok(network.listen_with(&address, &options).await?) };
        let listener = call.block_on(&runtime, Deadline::Never, listen, Failure::would_block)?;
        Ok(ListenerObject::register(&runtime, listener, place))
    })
}

/// Takes the next connection. A deadline of 0 tries once and says WOULD_BLOCK.
///
/// LIMIT_EXCEEDED with errno EMFILE leaves the connection in the backlog: pause before the next attempt.
///
/// Ownership: the stream is the caller's, to be freed once with trunkline_stream_free. Blocks: until the
/// deadline. Threads: any, any number at once; those of the library with a past deadline only. Errors:
/// INVALID_HANDLE, WOULD_BLOCK, TIMEOUT, LIMIT_EXCEEDED, CLOSED, WOULD_DEADLOCK, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_listener_accept(
    listener: trunkline_listener_t,
    deadline_ns: i64,
    out: Option<&mut MaybeUninit<trunkline_stream_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        let object = call.object(listener)?;
        let place = call.place(&object.runtime)?;
        let stream = match object.listener.try_accept() {
            Poll::Ready(answer) => answer?,
            Poll::Pending => {
                let deadline = Deadline::from_ns(deadline_ns);
                let accept = async { Ok(object.listener.accept().await?) };
                call.block_on(&object.runtime, deadline, accept, || {
                    let at = Place::at(Step::Accept).to(Some(object.listener.address().clone()));
                    Failure::Core(ConnectionError::timeout(None, at))
                })?
            }
        };
        Ok(StreamObject::register(&object.runtime, stream, place))
    })
}

/// Asks for one event of kind TRUNKLINE_EV_ACCEPTABLE on `cq`.
///
/// It comes at once if a connection waits, may come for nothing, and comes with CLOSED when the listener is
/// closed. While one is owed to the same queue, arming again gives it the new tag.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_HANDLE, LIMIT_EXCEEDED (the queue), CLOSED (the
/// queue, or the runtime), FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_listener_arm(
    listener: trunkline_listener_t,
    cq: trunkline_cq_t,
    tag: u64,
) -> trunkline_status_t {
    enter_plain(|| {
        let table = Process::current().table();
        let object = table.get(listener)?;
        let queue = table.get(cq)?;
        object.runtime.check_running()?;
        let wait = || Wait::Listener(object.listener.ready());
        object.arms.arm((cq, &queue), (TRUNKLINE_EV_ACCEPTABLE, tag), wait)
    })
}

/// Writes the address that is listened on as text with a NUL; `*len` is without it.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT (also a buffer that is too short),
/// INVALID_HANDLE, FORKED. Since 0.1.
///
/// # Safety
///
/// `text` is good for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_listener_address(
    listener: trunkline_listener_t,
    text: *mut c_char,
    cap: usize,
    len: Option<&mut MaybeUninit<usize>>,
) -> trunkline_status_t {
    enter(len, None, |call| {
        let address = call.object(listener)?.listener.address().to_string();
        // SAFETY: the caller's promise is the same.
        unsafe { write_text(&address, text, cap) }
    })
}

/// Stops listening: the descriptor is gone on return, and whoever waits gets CLOSED. Idempotent.
///
/// Ownership: the handle stays the caller's. Blocks: no. Threads: any. Errors: INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_listener_close(listener: trunkline_listener_t) -> trunkline_status_t {
    enter_plain(|| {
        Process::current().table().get(listener)?.listener.close();
        Ok(())
    })
}

/// Frees a listener, and closes it if that was not done.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_listener_free(listener: trunkline_listener_t) -> trunkline_status_t {
    end_and_free(listener, |object| object.listener.close())
}
