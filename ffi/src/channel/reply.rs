//! What a call is given and what it brings: options, metadata, replies.
#![allow(unsafe_code, reason = "options and metadata come by pointer")]

use crate::{
    call::enter,
    error::Failure,
    input::{self, Deadline, Sized_, text, trunkline_bytes_t, trunkline_str_t},
    status::*,
};
use bytes::Bytes;
use std::{mem::MaybeUninit, ptr, slice};
use trunkline_core::{
    CallOptions, Secret,
    channel::{Compression, Metadata, Reply},
};

/// The call waits while no address works, instead of failing.
pub const TRUNKLINE_CALL_WAIT_FOR_READY: u32 = 1;
/// The call fails while no address works, also where the service config says that it waits.
pub const TRUNKLINE_CALL_FAIL_FAST: u32 = 2;
/// Messages to the server are compressed with gzip.
pub const TRUNKLINE_CALL_GZIP: u32 = 4;
/// Messages to the server are compressed with deflate.
pub const TRUNKLINE_CALL_DEFLATE: u32 = 8;

/// Credentials may be sent in the clear, over a connection without TLS.
pub const TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS: u32 = 16;

/// What came before the messages of an answer.
pub const TRUNKLINE_METADATA_INITIAL: u32 = 0;
/// What came behind the messages of an answer.
pub const TRUNKLINE_METADATA_TRAILING: u32 = 1;

/// One piece of metadata: a name in lower case and its value, any bytes where the name ends in "-bin".
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_kv_t {
    /// The name.
    pub key: trunkline_str_t,
    /// The value.
    pub value: trunkline_bytes_t,
}

/// How one call is made. Start from TRUNKLINE_CALL_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_call_options_t {
    /// sizeof(trunkline_call_options_t)
    pub size: usize,
    /// When the call is given up, all its attempts included; 0 and TRUNKLINE_DEADLINE_NONE: never, unless the service
    /// config says so.
    pub deadline_ns: i64,
    /// `metadata_len` pieces; NULL only if there are none. Copied.
    pub metadata: *const trunkline_kv_t,
    /// How many there are.
    pub metadata_len: usize,
    /// TRUNKLINE_CALL_*, together; 0 leaves the choice to the service config.
    pub flags: u32,
    /// Largest message of the answer, in bytes; 0 means the channel's limit, which it cannot exceed.
    pub max_reply: u32,
    /// `credentials_len` pieces that prove who calls, in UTF-8; NULL only if there are none. Copied. Sent as metadata, and
    /// never without TLS unless flags ask for it: the call then fails with UNAUTHENTICATED. Shown nowhere.
    pub credentials: *const trunkline_kv_t,
    /// How many there are.
    pub credentials_len: usize,
}

// SAFETY: plain numbers and a pointer with a length, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_call_options_t {}

/// One message of an answer with its metadata. Owned by one thread at a time; freed with trunkline_reply_free.
#[derive(Clone, Debug, Default)]
pub struct trunkline_reply_t {
    message: Bytes,
    initial: Metadata,
    trailing: Metadata,
}

impl From<Reply> for trunkline_reply_t {
    fn from(reply: Reply) -> Self {
        Self { message: reply.message, initial: reply.initial, trailing: reply.trailing }
    }
}

impl trunkline_reply_t {
    pub(super) fn message(message: Bytes) -> Self {
        Self { message, ..Self::default() }
    }

    pub(super) fn initial(initial: Metadata) -> Self {
        Self { initial, ..Self::default() }
    }

    pub(super) fn trailing(trailing: Metadata) -> Self {
        Self { trailing, ..Self::default() }
    }
}

/// The options of a call in core's form.
///
/// # Safety
///
/// As for [`input::options`], and the metadata is readable.
pub(super) unsafe fn terms(given: *const trunkline_call_options_t) -> Result<CallOptions, Failure> {
    // SAFETY: the caller's promise is the same.
    let Some(given) = (unsafe { input::options(given)? }) else {
        return Ok(CallOptions::default());
    };
    let flags = given.flags;
    let known = TRUNKLINE_CALL_WAIT_FOR_READY
        | TRUNKLINE_CALL_FAIL_FAST
        | TRUNKLINE_CALL_GZIP
        | TRUNKLINE_CALL_DEFLATE
        | TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS;
    if flags & !known != 0 {
        return Err(Failure::argument("flags: has one that is none of TRUNKLINE_CALL_*"));
    }
    let has = |flag: u32| flags & flag != 0;
    let deadline = match given.deadline_ns {
        0 => None,
        deadline_ns => Deadline::from_ns(deadline_ns).instant(),
    };
    Ok(CallOptions {
        deadline,
        // SAFETY: the caller promises that it is readable.
        metadata: unsafe { pairs(given.metadata, given.metadata_len, "metadata", plain)? },
        // SAFETY: as above.
        credentials: unsafe {
            pairs(given.credentials, given.credentials_len, "credentials", secret)?
        },
        plaintext_credentials: has(TRUNKLINE_CALL_PLAINTEXT_CREDENTIALS),
        wait_for_ready: match (has(TRUNKLINE_CALL_WAIT_FOR_READY), has(TRUNKLINE_CALL_FAIL_FAST)) {
            (false, false) => None,
            (true, false) => Some(true),
            (false, true) => Some(false),
            (true, true) => return Err(Failure::argument("flags: must not ask for both")),
        },
        max_reply: (given.max_reply > 0).then_some(given.max_reply),
        compression: match (has(TRUNKLINE_CALL_GZIP), has(TRUNKLINE_CALL_DEFLATE)) {
            (false, false) => None,
            (true, false) => Some(Compression::Gzip),
            (false, true) => Some(Compression::Deflate),
            (true, true) => return Err(Failure::argument("flags: must not ask for both")),
        },
    })
}

fn plain(value: &[u8]) -> Result<Bytes, Failure> {
    Ok(Bytes::copy_from_slice(value))
}

fn secret(value: &[u8]) -> Result<Secret, Failure> {
    let text = std::str::from_utf8(value);
    Ok(Secret::new(text.map_err(|_| Failure::argument("credentials: must be UTF-8"))?))
}

/// # Safety
///
/// `ptr` is NULL or `count` readable elements whose texts and bytes are readable.
unsafe fn pairs<V>(
    ptr: *const trunkline_kv_t,
    count: usize,
    field: &'static str,
    value: fn(&[u8]) -> Result<V, Failure>,
) -> Result<Vec<(Box<str>, V)>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if ptr.is_null() {
        return Err(Failure::null(field));
    }
    if count > 10_000 {
        return Err(Failure::argument(format!("{field}_len: must be at most 10000")));
    }
    // SAFETY: not NULL and of a possible length; the rest is the caller's promise.
    let list = unsafe { slice::from_raw_parts(ptr, count) };
    let pair = |kv: &trunkline_kv_t| {
        // SAFETY: the caller promises it for each element.
        let (key, bytes) = unsafe {
            let key = text(kv.key.ptr, kv.key.len, field)?;
            (key, input::bytes(kv.value.ptr, kv.value.len, field)?)
        };
        Ok((key.into(), value(bytes)?))
    };
    list.iter().map(pair).collect()
}

/// Views of one piece of metadata.
pub(crate) fn kv((key, value): &(Box<str>, Bytes)) -> trunkline_kv_t {
    let value = trunkline_bytes_t { ptr: value.as_ptr(), len: value.len() };
    trunkline_kv_t { key: (&**key).into(), value }
}

/// The message and, in `*len`, its length; NULL and 0 for NULL.
///
/// Ownership: borrowed until trunkline_reply_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_reply_data(
    reply: Option<&trunkline_reply_t>,
    len: Option<&mut usize>,
) -> *const u8 {
    if let Some(len) = len {
        *len = reply.map_or(0, |reply| reply.message.len());
    }
    reply.map_or(ptr::null(), |reply| reply.message.as_ptr())
}

/// Piece number `i`, from 0, of the metadata that came with an answer; `which` is one of TRUNKLINE_METADATA_*.
///
/// Ownership: name and value are borrowed until trunkline_reply_free. Blocks: no. Threads: the owner's. Errors:
/// INVALID_ARGUMENT, NOT_FOUND (there are no more). Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_reply_metadata(
    reply: Option<&trunkline_reply_t>,
    which: u32,
    i: usize,
    out: Option<&mut MaybeUninit<trunkline_kv_t>>,
) -> trunkline_status_t {
    enter(out, None, |_| {
        let reply = reply.ok_or_else(|| Failure::null("reply"))?;
        let all = match which {
            TRUNKLINE_METADATA_INITIAL => &reply.initial,
            TRUNKLINE_METADATA_TRAILING => &reply.trailing,
            _ => return Err(Failure::argument("which: is none of TRUNKLINE_METADATA_*")),
        };
        all.get(i).map(kv).ok_or_else(|| Failure::new(TRUNKLINE_E_NOT_FOUND, "there is no more"))
    })
}

/// Frees a reply; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: any, also finalisers. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_reply_free(reply: Option<Box<trunkline_reply_t>>) {
    drop(reply);
}
