//! Interceptors: functions of the host that see each call of a channel before it is sent and when it has ended.
#![allow(unsafe_code, reason = "functions and structs of the host come by pointer")]

use super::reply::{kv, trunkline_kv_t};
use crate::{
    buf::trunkline_release_fn,
    call::{enter, enter_plain, enter_unit, in_callback},
    completion::UserData,
    error::{Failure, c_text, trunkline_error_t},
    handle::trunkline_channel_t,
    input::{self, Sized_, options, text, trunkline_str_t},
    status::*,
};
use bytes::Bytes;
use std::{
    ffi::{CString, c_char, c_void},
    fmt,
    future::ready,
    mem::MaybeUninit,
    ptr,
    sync::Arc,
};

use trunkline_core::{
    Secret,
    channel::{Beginning, Code, Ending, Interceptor, Metadata, OnCall, Status, check_metadata},
};

/// Sees a call that is about to be sent, and may add to it or deny it; `call` is good until it returns.
pub type trunkline_begin_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, call: *mut trunkline_beginning_t)>;

/// Sees how a call ended that was not denied by this interceptor; `end` is good until it returns.
pub type trunkline_end_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, end: *const trunkline_ending_t)>;

/// What sees the calls of a channel. Start from TRUNKLINE_INTERCEPTOR_INIT.
///
/// Its functions run on the thread that makes a blocking call, else on threads of the library; several may run at
/// once. They must not block, throw, longjmp or unwind.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_interceptor_t {
    /// sizeof(trunkline_interceptor_t)
    pub size: usize,
    /// May be NULL.
    pub begin: trunkline_begin_fn,
    /// May be NULL.
    pub end: trunkline_end_fn,
    /// Passed to every function.
    pub user_data: *mut c_void,
    /// Runs exactly once after the last of the others, also when the call that registers it fails; may be NULL.
    pub release: trunkline_release_fn,
}

// SAFETY: plain pointers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_interceptor_t {}

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_ending_t {
    /// sizeof(trunkline_ending_t) of the library.
    pub size: usize,
    /// Such as "/package.Service/Method".
    pub method: trunkline_str_t,
    /// What is said about the status; empty for OK.
    pub message: trunkline_str_t,
    /// Nanoseconds since it began, all attempts included.
    pub took_ns: i64,
    /// gRPC's status, 0 to 16; 1 (CANCELLED) for a call that was given up.
    pub rpc_code: i32,
}

/// A call that is about to be sent.
#[derive(Debug)]
pub struct trunkline_beginning_t {
    method: CString,
    metadata: Metadata,
    is_secured: bool,
    added: Metadata,
    credentials: Vec<(Box<str>, Secret)>,
    denied: Option<(i32, String)>,
}

struct Hooks {
    begin: trunkline_begin_fn,
    end: trunkline_end_fn,
    user_data: UserData,
    release: trunkline_release_fn,
}

impl Drop for Hooks {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host promised a function that may be called once with its pointer.
            in_callback(|| unsafe { release(self.user_data.0) });
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl Hooks {
    fn begin(&self, call: &mut Beginning<'_>) -> Result<(), Status> {
        let Some(begin) = self.begin else { return Ok(()) };
        let mut shown = trunkline_beginning_t {
            method: c_text(call.method()),
            metadata: call.metadata(),
            is_secured: call.is_secured(),
            added: Metadata::new(),
            credentials: Vec::new(),
            denied: None,
        };
        // SAFETY: the host promised a function that may be called with its pointer until the release.
        in_callback(|| unsafe { begin(self.user_data.0, &raw mut shown) });
        if let Some((code, message)) = shown.denied {
            return Err(Status::new(Code::from_i32(code), message));
        }
        let refused = |error: trunkline_core::ConnectionError| Status::internal(error.to_string());
        for (name, value) in shown.added {
            call.add(&name, value).map_err(refused)?;
        }
        for (name, value) in shown.credentials {
            call.add_credentials(&name, value).map_err(refused)?;
        }
        Ok(())
    }
}

impl Interceptor for Hooks {
    fn on_call<'a>(&'a self, call: &'a mut Beginning<'_>) -> OnCall<'a> {
        Box::pin(ready(self.begin(call)))
    }

    fn on_end(&self, end: &Ending<'_>) {
        let Some(function) = self.end else { return };
        let told = trunkline_ending_t {
            size: size_of::<trunkline_ending_t>(),
            method: end.method.into(),
            message: end.message.into(),
            took_ns: i64::try_from(end.took.as_nanos()).unwrap_or(i64::MAX),
            rpc_code: end.code.code(),
        };
        // SAFETY: the host promised a function that may be called with its pointer until the release.
        in_callback(|| unsafe { function(self.user_data.0, &raw const told) });
    }
}

/// Has the interceptor see every call that begins from now on, behind those that do already.
///
/// Ownership: copies the struct; `user_data` is released once, also after an error. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT, VERSION, INVALID_HANDLE, FORKED. Since 0.1.
///
/// # Safety
///
/// `interceptor` is NULL or points to a struct made by its INIT macro, whose functions may be called with its pointer
/// until the release.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_channel_intercept(
    channel: trunkline_channel_t,
    interceptor: *const trunkline_interceptor_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    // SAFETY: the caller's promise is the same.
    let given = unsafe { options(interceptor) };
    let hooks = given.map(|given| {
        given.map(|given| Hooks {
            begin: given.begin,
            end: given.end,
            user_data: UserData(given.user_data),
            release: given.release,
        })
    });
    enter_unit(err, |call| {
        let hooks = hooks?.ok_or_else(|| Failure::null("interceptor"))?;
        call.object(channel)?.channel.intercept(Arc::new(hooks));
        Ok(())
    })
}

/// Its method, such as "/package.Service/Method"; NULL for NULL.
///
/// Ownership: borrowed until the function returns that was given the call. Blocks: no. Threads: that function's. Errors:
/// none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_beginning_method(
    call: Option<&trunkline_beginning_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    if let Some(len) = len {
        *len = call.map_or(0, |call| call.method.count_bytes());
    }
    call.map_or(ptr::null(), |call| call.method.as_ptr())
}

/// Piece number `i`, from 0, of what went with the call before this interceptor saw it, credentials included.
///
/// Ownership: name and value are borrowed until the function returns that was given the call. Blocks: no. Threads: that
/// function's. Errors: INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_beginning_metadata(
    call: Option<&trunkline_beginning_t>,
    i: usize,
    out: Option<&mut MaybeUninit<trunkline_kv_t>>,
) -> trunkline_status_t {
    enter(out, None, |_| {
        let all = &call.ok_or_else(|| Failure::null("call"))?.metadata;
        all.get(i).map(kv).ok_or_else(|| Failure::new(TRUNKLINE_E_NOT_FOUND, "there is no more"))
    })
}

/// 1 if the call goes over TLS, else 0.
///
/// Ownership: none. Blocks: no. Threads: that of the function that was given the call. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_beginning_is_secured(call: Option<&trunkline_beginning_t>) -> i32 {
    call.map_or(0, |call| i32::from(call.is_secured))
}

/// Adds a piece of metadata: a name in lower case and its value, any bytes where the name ends in "-bin".
///
/// Ownership: both are copied. Blocks: no. Threads: that of the function that was given the call. Errors: INVALID_ARGUMENT
/// (also a name that is reserved). Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes and `value` for `value_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_beginning_add(
    call: Option<&mut trunkline_beginning_t>,
    key: *const c_char,
    key_len: usize,
    value: *const u8,
    value_len: usize,
) -> trunkline_status_t {
    enter_plain(|| {
        let call = call.ok_or_else(|| Failure::null("call"))?;
        // SAFETY: the caller's promises are the same.
        let (key, value) =
            unsafe { (text(key, key_len, "key")?, input::bytes(value, value_len, "value")?) };
        check_metadata(key, value)?;
        call.added.push((key.into(), Bytes::copy_from_slice(value)));
        Ok(())
    })
}

/// As trunkline_beginning_add, for what proves who calls: never sent in the clear, and shown nowhere.
///
/// Ownership: both are copied. Blocks: no. Threads: that of the function that was given the call. Errors: INVALID_ARGUMENT,
/// TLS (the call goes in the clear). Since 0.1.
///
/// # Safety
///
/// `key` is good for `key_len` bytes and `value` for `value_len`, both UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_beginning_add_credentials(
    call: Option<&mut trunkline_beginning_t>,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
) -> trunkline_status_t {
    enter_plain(|| {
        let call = call.ok_or_else(|| Failure::null("call"))?;
        // SAFETY: the caller's promises are the same.
        let (key, value) =
            unsafe { (text(key, key_len, "key")?, text(value, value_len, "value")?) };
        if !call.is_secured {
            return Err(Failure::new(TRUNKLINE_E_TLS, "the call goes in the clear"));
        }
        check_metadata(key, value.as_bytes())?;
        call.credentials.push((key.into(), Secret::new(value)));
        Ok(())
    })
}

/// Denies the call: nothing is sent, and it ends with this status of gRPC, 1 to 16.
///
/// Ownership: the message is copied. Blocks: no. Threads: that of the function that was given the call. Errors:
/// INVALID_ARGUMENT. Since 0.1.
///
/// # Safety
///
/// `message` is good for `message_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_beginning_deny(
    call: Option<&mut trunkline_beginning_t>,
    rpc_code: i32,
    message: *const c_char,
    message_len: usize,
) -> trunkline_status_t {
    enter_plain(|| {
        let call = call.ok_or_else(|| Failure::null("call"))?;
        if !(1..=16).contains(&rpc_code) {
            return Err(Failure::argument("rpc_code: must be within 1 and 16"));
        }
        // SAFETY: the caller's promise is the same.
        let message = unsafe { text(message, message_len, "message")? };
        call.denied = Some((rpc_code, message.to_owned()));
        Ok(())
    })
}
