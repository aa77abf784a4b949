//! The error object: status, step, OS code, flags, message, both ends and the cause chain.
#![allow(unsafe_code, reason = "the object crosses as an opaque pointer")]

use crate::{
    call::enter,
    channel::{kv, trunkline_kv_t},
    input::bytes,
    status::{NAMES, of, *},
};
use bytes::Bytes;
use std::{
    error::Error,
    ffi::{CString, c_char},
    fmt,
    mem::MaybeUninit,
    ptr,
};
use trunkline_core::{ConnectionError, TlsFault};

/// Why a call failed, in full. Owned by one thread at a time; freed with trunkline_error_free.
#[derive(Clone, Debug)]
pub struct trunkline_error_t {
    status: trunkline_status_t,
    step: i32,
    os_code: i32,
    rpc_code: i32,
    tls_fault: i32,
    flags: u32,
    message: CString,
    source: Option<CString>,
    destination: Option<CString>,
    cause: Option<Box<Self>>,
    rpc_message: Option<CString>,
    metadata: Vec<(Box<str>, Bytes)>,
}

/// How a call fails inside the library; becomes a status and, where asked for, an error object.
#[derive(Debug)]
pub(crate) enum Failure {
    Core(ConnectionError),
    /// Without a core error behind it: a handle, a fork, a panic.
    Plain {
        status: trunkline_status_t,
        message: String,
    },
}

impl Failure {
    pub(crate) fn new(status: trunkline_status_t, message: impl Into<String>) -> Self {
        Self::Plain { status, message: message.into() }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(TRUNKLINE_E_INVALID_ARGUMENT, message)
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::argument(format!("{name} is NULL"))
    }

    pub(crate) fn closed(what: &str) -> Self {
        Self::new(TRUNKLINE_E_CLOSED, format!("{what} is closed"))
    }

    /// Without text, for the path that is taken all the time.
    pub(crate) fn would_block() -> Self {
        Self::Plain { status: TRUNKLINE_E_WOULD_BLOCK, message: String::new() }
    }

    /// Says of which part of a larger argument it is.
    pub(crate) fn within(self, part: &str) -> Self {
        match self {
            Self::Plain { status, message } => {
                Self::Plain { status, message: format!("{part}: {message}") }
            }
            Self::Core(error) => Self::Core(error),
        }
    }

    pub(crate) fn status(&self) -> trunkline_status_t {
        match self {
            Self::Core(error) => of(error),
            Self::Plain { status, .. } => *status,
        }
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Core(error)
    }
}

impl From<&Failure> for trunkline_error_t {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Core(error) => Self::of_core(error),
            Failure::Plain { status, message } => Self::plain(*status, message),
        }
    }
}

impl trunkline_error_t {
    pub(crate) fn plain(status: trunkline_status_t, message: &str) -> Self {
        let message = if message.is_empty() { name(status) } else { message.to_owned() };
        Self {
            status,
            step: 0,
            os_code: 0,
            rpc_code: -1,
            tls_fault: 0,
            flags: plain_flags(status),
            message: c_text(message),
            source: None,
            destination: None,
            cause: None,
            rpc_message: None,
            metadata: Vec::new(),
        }
    }

    fn of_core(error: &ConnectionError) -> Self {
        let mut flags = 0;
        if error.is_safe_to_retry() {
            flags |= TRUNKLINE_ERR_RETRYABLE;
        }
        if error.is_nothing_sent() {
            flags |= TRUNKLINE_ERR_NOT_SENT;
        }
        if matches!(error, ConnectionError::CircuitOpen { .. }) {
            flags |= TRUNKLINE_ERR_CIRCUIT_OPEN;
        }
        let rpc = match error {
            ConnectionError::Rpc { status, .. } => Some(status),
            _ => None,
        };
        Self {
            status: of(error),
            step: error.step().code(),
            os_code: error.os_code().unwrap_or(0),
            rpc_code: rpc.map_or(-1, |status| status.code.code()),
            tls_fault: error.tls_fault().map_or(0, TlsFault::code),
            flags,
            message: c_text(error.to_string()),
            source: error.source_address().map(|address| c_text(address.to_string())),
            destination: error.destination().map(|address| c_text(address.to_string())),
            cause: error.source().map(|cause| Box::new(Self::of_cause(cause))),
            rpc_message: rpc.map(|status| c_text(status.message.to_string())),
            metadata: rpc.map_or_else(Vec::new, |status| status.metadata.clone()),
        }
    }

    fn of_cause(cause: &(dyn Error + 'static)) -> Self {
        if let Some(error) = cause.downcast_ref::<ConnectionError>() {
            return Self::of_core(error);
        }
        if let Some(error) = cause.downcast_ref::<Self>() {
            return error.clone();
        }
        let io = cause.downcast_ref::<std::io::Error>();
        let mut object = Self::plain(TRUNKLINE_E_BROKEN, &cause.to_string());
        object.flags = 0;
        object.os_code = io.and_then(std::io::Error::raw_os_error).unwrap_or(0);
        object.cause = cause.source().map(|next| Box::new(Self::of_cause(next)));
        object
    }

    pub(crate) fn status(&self) -> trunkline_status_t {
        self.status
    }

    pub(crate) fn is_nothing_sent(&self) -> bool {
        self.flags & TRUNKLINE_ERR_NOT_SENT != 0
    }
}

/// As the cause of a core error: what the host said.
impl fmt::Display for trunkline_error_t {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message.to_string_lossy())
    }
}

impl Error for trunkline_error_t {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

fn plain_flags(status: trunkline_status_t) -> u32 {
    match status {
        TRUNKLINE_E_LIMIT_EXCEEDED => TRUNKLINE_ERR_RETRYABLE | TRUNKLINE_ERR_NOT_SENT,
        TRUNKLINE_E_WOULD_BLOCK => TRUNKLINE_ERR_RETRYABLE | TRUNKLINE_ERR_NOT_SENT,
        TRUNKLINE_E_INVALID_ARGUMENT
        | TRUNKLINE_E_INVALID_HANDLE
        | TRUNKLINE_E_WOULD_DEADLOCK
        | TRUNKLINE_E_FORKED
        | TRUNKLINE_E_UNSUPPORTED
        | TRUNKLINE_E_VERSION => TRUNKLINE_ERR_NOT_SENT,
        _ => 0,
    }
}

fn name(status: trunkline_status_t) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == status);
    known.map_or_else(String::new, |(_, name)| name.to_string_lossy().into_owned())
}

/// Text for C: what cannot stand in it is a NUL byte, which becomes a question mark.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'?');
    CString::new(bytes).unwrap_or_default()
}

/// The status; OK for NULL.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_status(error: Option<&trunkline_error_t>) -> trunkline_status_t {
    error.map_or(TRUNKLINE_OK, trunkline_error_t::status)
}

/// What was being done, one of TRUNKLINE_STEP_*; 0 where it is not known.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_step(error: Option<&trunkline_error_t>) -> i32 {
    error.map_or(0, |error| error.step)
}

/// The operating system's error number (errno) behind the failure; 0 if there is none.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_os_code(error: Option<&trunkline_error_t>) -> i32 {
    error.map_or(0, |error| error.os_code)
}

/// The gRPC status, 0 to 16, behind TRUNKLINE_E_RPC; -1 otherwise.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_rpc_code(error: Option<&trunkline_error_t>) -> i32 {
    error.map_or(-1, |error| error.rpc_code)
}

/// Whose fault it is that TLS failed, one of TRUNKLINE_TLS_FAULT_*; 0 if it did not.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_tls_fault(error: Option<&trunkline_error_t>) -> i32 {
    error.map_or(0, |error| error.tls_fault)
}

/// What the server said with the gRPC status behind TRUNKLINE_E_RPC, as it said it; NULL if there is no such status.
///
/// Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_rpc_message(
    error: Option<&trunkline_error_t>,
    length: Option<&mut usize>,
) -> *const c_char {
    optional_text(error.and_then(|error| error.rpc_message.as_ref()), length)
}

/// Piece number `i`, from 0, of the metadata that a server sent with the gRPC status behind TRUNKLINE_E_RPC.
///
/// Ownership: name and value are borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors:
/// INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_metadata(
    error: Option<&trunkline_error_t>,
    i: usize,
    out: Option<&mut MaybeUninit<trunkline_kv_t>>,
) -> trunkline_status_t {
    enter(out, None, |_| {
        let error = error.ok_or_else(|| Failure::null("error"))?;
        let found = error.metadata.get(i).map(kv);
        found.ok_or_else(|| Failure::new(TRUNKLINE_E_NOT_FOUND, "there is no more"))
    })
}

/// TRUNKLINE_ERR_RETRYABLE and TRUNKLINE_ERR_NOT_SENT, as far as they are true.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_flags(error: Option<&trunkline_error_t>) -> u32 {
    error.map_or(0, |error| error.flags)
}

/// What failed, for people; NUL-terminated, never NULL. The text may change: decide by status and step.
///
/// Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_message(
    error: Option<&trunkline_error_t>,
    length: Option<&mut usize>,
) -> *const c_char {
    text(error.map(|error| &error.message), length, c"")
}

/// The address that the connection comes from; NULL where it is not known.
///
/// Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_source(
    error: Option<&trunkline_error_t>,
    length: Option<&mut usize>,
) -> *const c_char {
    optional_text(error.and_then(|error| error.source.as_ref()), length)
}

/// The address that the connection goes to; NULL where it is not known.
///
/// Ownership: borrowed until trunkline_error_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_destination(
    error: Option<&trunkline_error_t>,
    length: Option<&mut usize>,
) -> *const c_char {
    optional_text(error.and_then(|error| error.destination.as_ref()), length)
}

/// What lies behind this error; NULL at the end of the chain.
///
/// Ownership: borrowed until trunkline_error_free of the first. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_cause(
    error: Option<&trunkline_error_t>,
) -> *const trunkline_error_t {
    let cause = error.and_then(|error| error.cause.as_deref());
    cause.map_or(ptr::null(), ptr::from_ref)
}

/// Makes an error object, to say why a job failed. A `status` that is no error becomes CALLBACK; bytes of the message
/// that are not UTF-8 become replacement characters, and an empty one the status's name.
///
/// Ownership: the error is the caller's; takes `cause`, which may be NULL. Blocks: no. Threads: any. Errors: none. Since 0.1.
///
/// # Safety
///
/// `message` is good for `message_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_error_new(
    status: trunkline_status_t,
    message: *const c_char,
    message_len: usize,
    cause: Option<Box<trunkline_error_t>>,
) -> Option<Box<trunkline_error_t>> {
    // SAFETY: the caller's promise is the same.
    let message = unsafe { bytes(message.cast(), message_len, "message") }.unwrap_or_default();
    let status = match status {
        TRUNKLINE_E_INVALID_ARGUMENT..=TRUNKLINE_E_NOT_FOUND => status,
        _ => TRUNKLINE_E_CALLBACK,
    };
    let error = trunkline_error_t::plain(status, &String::from_utf8_lossy(message));
    Some(Box::new(trunkline_error_t { cause, ..error }))
}

/// Frees an error object; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_error_free(error: Option<Box<trunkline_error_t>>) {
    drop(error);
}

fn text(
    text: Option<&CString>,
    length: Option<&mut usize>,
    otherwise: &'static std::ffi::CStr,
) -> *const c_char {
    let text = text.map_or(otherwise, |text| text.as_c_str());
    if let Some(length) = length {
        *length = text.count_bytes();
    }
    text.as_ptr()
}

fn optional_text(found: Option<&CString>, length: Option<&mut usize>) -> *const c_char {
    let pointer = text(found, length, c"");
    if found.is_some() { pointer } else { ptr::null() }
}
