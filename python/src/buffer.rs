//! The one place with pointers: Python's buffers, texts and events, as the C functions take them.
#![allow(unsafe_code, reason = "the C functions take pointers with lengths")]

use crate::{failure::invalid, log::Ring, probe::Probed};
use pyo3::{buffer::PyUntypedBuffer, prelude::*};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    time::Timespec,
};
use std::{
    ffi::{CStr, c_char, c_void},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    ptr, slice,
    sync::Arc,
};
use trunkline::*;

pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod checkout;
pub(crate) mod datagram;
pub(crate) mod proxy;
pub(crate) mod route;
pub(crate) mod tunnel;

/// The process's default runtime.
pub(crate) const DEFAULT: trunkline_runtime_t = trunkline_runtime_t { h: 0 };

/// More than this in one call is refused: no transport takes it at once, and lengths stay within an int.
const LARGEST: usize = i32::MAX as usize;

/// Where a C function puts its error object.
pub(crate) type Err<'a> = Option<&'a mut MaybeUninit<Option<Box<trunkline_error_t>>>>;
/// Where a C function puts its result.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// How a C function failed: its status and, where it gave one, its error object.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) status: trunkline_status_t,
    pub(crate) error: Option<Box<trunkline_error_t>>,
}

/// Makes a C call that has a result; `blank` is what it overwrites.
pub(crate) fn call<T>(
    blank: T,
    function: impl FnOnce(Out<'_, T>, Err<'_>) -> trunkline_status_t,
) -> Result<T, Failed> {
    let (mut out, mut error) = (MaybeUninit::new(blank), MaybeUninit::new(None));
    let status = function(Some(&mut out), Some(&mut error));
    // SAFETY: both were initialised above, and a C function writes nothing but whole values.
    let (out, error) = unsafe { (out.assume_init(), error.assume_init()) };
    if status == TRUNKLINE_OK { Ok(out) } else { Err(Failed { status, error }) }
}

/// Makes a C call that has neither a result nor an error object.
pub(crate) fn plain(status: trunkline_status_t) -> Result<(), Failed> {
    if status == TRUNKLINE_OK { Ok(()) } else { Err(Failed { status, error: None }) }
}

/// A bytes-like object whose memory stays where it is while this lives.
pub(crate) struct Buffer(PyUntypedBuffer);

impl Buffer {
    /// # Errors
    ///
    /// `TypeError` for what is not bytes-like, `BufferError` for what is not contiguous, `ConfigError`
    /// for what is too long.
    pub(crate) fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let buffer = PyUntypedBuffer::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(pyo3::exceptions::PyBufferError::new_err("the buffer is not contiguous"));
        }
        check_length(py, buffer.len_bytes())?;
        Ok(Self(buffer))
    }

    /// # Errors
    ///
    /// As for [`readable`](Self::readable), and `TypeError` for what is read-only.
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = Self::readable(object)?;
        if buffer.0.readonly() {
            return Err(pyo3::exceptions::PyTypeError::new_err("the buffer is read-only"));
        }
        Ok(buffer)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len_bytes()
    }

    /// The bytes from `start` on, to be read.
    pub(crate) fn from(&self, py: Python<'_>, start: usize) -> PyResult<&[u8]> {
        let Some(length) = self.len().checked_sub(start) else {
            return Err(invalid(py, "start: lies behind the end of the buffer"));
        };
        if length == 0 {
            return Ok(&[]);
        }
        // SAFETY: the export keeps the memory in place and this long while `self` lives, and `start`
        // lies within it. A thread of the host that changes the bytes meanwhile changes what is sent,
        // as with any other socket.
        Ok(unsafe { slice::from_raw_parts(self.0.buf_ptr().cast::<u8>().add(start), length) })
    }

    /// The first `length` bytes, to be written; all if it is 0.
    pub(crate) fn room(&mut self, py: Python<'_>, length: usize) -> PyResult<&mut [u8]> {
        let length = match length {
            0 => self.len(),
            _ if length <= self.len() => length,
            _ => return Err(invalid(py, "nbytes: is more than the buffer has")),
        };
        if length == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as above, and `writable` saw that it may be written.
        Ok(unsafe { slice::from_raw_parts_mut(self.0.buf_ptr().cast::<u8>(), length) })
    }
}

/// # Errors
///
/// `ConfigError` for more than 2 GiB − 1.
pub(crate) fn check_length(py: Python<'_>, length: usize) -> PyResult<()> {
    if length > LARGEST {
        let text = format!("{length} bytes are more than one call takes; the limit is {LARGEST}");
        return Err(invalid(py, &text));
    }
    Ok(())
}

/// Reads once into `room`.
pub(crate) fn read(stream: trunkline_stream_t, room: &mut [u8]) -> Result<usize, Failed> {
    // SAFETY: pointer and length are those of a live slice.
    call(0, |n, _| unsafe { trunkline_stream_read(stream, room.as_mut_ptr(), room.len(), 0, n) })
}

/// Writes once from `bytes`.
pub(crate) fn write(stream: trunkline_stream_t, bytes: &[u8]) -> Result<usize, Failed> {
    let bytes = trunkline_bytes_t { ptr: bytes.as_ptr(), len: bytes.len() };
    // SAFETY: one element, whose pointer and length are those of a live slice.
    call(0, |n, _| unsafe { trunkline_stream_write(stream, &raw const bytes, 1, 0, n) })
}

/// The text at a pointer that a C function gave.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not NULL; a text from the library ends with a NUL and lives as long as its object,
    // which the callers below hold.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// The name of a status, such as "TIMEOUT".
pub(crate) fn status_name(status: trunkline_status_t) -> String {
    text(trunkline_status_name(status)).unwrap_or_default()
}

pub(crate) fn message(error: &trunkline_error_t) -> String {
    text(trunkline_error_message(Some(error), None)).unwrap_or_default()
}

/// What a server said with its gRPC status.
pub(crate) fn rpc_message(error: &trunkline_error_t) -> Option<String> {
    text(trunkline_error_rpc_message(Some(error), None))
}

pub(crate) fn source(error: &trunkline_error_t) -> Option<String> {
    text(trunkline_error_source(Some(error), None))
}

pub(crate) fn destination(error: &trunkline_error_t) -> Option<String> {
    text(trunkline_error_destination(Some(error), None))
}

pub(crate) fn cause(error: &trunkline_error_t) -> Option<&trunkline_error_t> {
    // SAFETY: NULL, or a part of `error`, which is borrowed for as long.
    unsafe { trunkline_error_cause(Some(error)).as_ref() }
}

/// The library's version.
pub(crate) fn version() -> String {
    text(trunkline_version_string()).unwrap_or_default()
}

/// Reads a text of at most 300 bytes by a C function that fills a buffer.
fn short_text(
    fill: impl FnOnce(*mut c_char, usize, Out<'_, usize>, Err<'_>) -> trunkline_status_t,
) -> Result<String, Failed> {
    let mut room = [0_u8; 512];
    let length = call(0, |n, err| fill(room.as_mut_ptr().cast(), room.len(), n, err))?;
    Ok(String::from_utf8_lossy(&room[..length]).into_owned())
}

pub(crate) fn stream_address(stream: trunkline_stream_t, which: u32) -> Result<String, Failed> {
    // SAFETY: the pointer is good for the length that goes with it.
    short_text(|text, cap, n, _| unsafe { trunkline_stream_address(stream, which, text, cap, n) })
}

pub(crate) fn listener_address(listener: trunkline_listener_t) -> Result<String, Failed> {
    // SAFETY: the pointer is good for the length that goes with it.
    short_text(|text, cap, n, _| unsafe { trunkline_listener_address(listener, text, cap, n) })
}

/// Implemented by the structs that C functions fill: all zeroes are valid, and `size` comes first.
trait Filled: Copy {
    fn set_size(&mut self, size: usize);
}

macro_rules! filled {
    ($($name:ident),*) => {
        $(impl Filled for $name {
            fn set_size(&mut self, size: usize) {
                self.size = size;
            }
        })*
    };
}

filled!(
    trunkline_tcp_manager_stats_t,
    trunkline_udp_manager_stats_t,
    trunkline_datagram_stats_t,
    trunkline_stream_stats_t,
    trunkline_keyed_pool_stats_t,
    trunkline_pool_stats_t,
    trunkline_agent_stats_t,
    trunkline_memory_proxy_stats_t,
    trunkline_memory_comm_stats_t,
    trunkline_hub_stats_t,
    trunkline_debug_counts_t
);

/// What a C function fills into a struct that says how long it is.
fn filled<T: Filled>(fill: impl FnOnce(*mut T) -> trunkline_status_t) -> Result<T, Failed> {
    // SAFETY: all zeroes are valid for what implements the trait: numbers alone.
    let mut result: T = unsafe { std::mem::zeroed() };
    result.set_size(size_of::<T>());
    plain(fill(&raw mut result))?;
    Ok(result)
}

pub(crate) fn stream_stats(stream: trunkline_stream_t) -> Result<trunkline_stream_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_stream_stats(stream, stats) })
}

pub(crate) fn pool_stats(
    pool: trunkline_keyed_pool_t,
) -> Result<trunkline_keyed_pool_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_keyed_pool_stats(pool, stats) })
}

pub(crate) fn debug_counts() -> Result<trunkline_debug_counts_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|counts| unsafe { trunkline_debug_counts(counts) })
}

pub(crate) fn manager_stats(
    manager: trunkline_tcp_manager_t,
) -> Result<trunkline_tcp_manager_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_tcp_manager_stats(manager, stats) })
}

pub(crate) fn tcp_manager(
    json: &str,
    tls: trunkline_tls_t,
) -> Result<trunkline_tcp_manager_t, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    // SAFETY: pointer and length are those of a live text; the options say how long they are.
    call(trunkline_tcp_manager_t { h: 0 }, |out, err| unsafe {
        trunkline_tcp_manager_new_with(DEFAULT, text, length, &raw const options, out, err)
    })
}

fn connect_options(tls: trunkline_tls_t) -> trunkline_connect_options_t {
    trunkline_connect_options_t { size: size_of::<trunkline_connect_options_t>(), tls }
}

pub(crate) fn tls(json: &str) -> Result<trunkline_tls_t, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_tls_t { h: 0 }, |out, err| unsafe {
        trunkline_tls_new(DEFAULT, text, length, out, err)
    })
}

/// What a handshake has shown, owned.
#[derive(Debug)]
pub(crate) struct TlsTold {
    pub(crate) version: String,
    pub(crate) alpn: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) peer_uri: Option<String>,
    pub(crate) peer_certificates: Vec<Vec<u8>>,
}

pub(crate) fn tls_session(session: &trunkline_tls_session_t) -> TlsTold {
    let mut peer_certificates = Vec::new();
    loop {
        let (place, mut length) = (peer_certificates.len(), 0);
        let der = trunkline_tls_session_peer_certificate(Some(session), place, Some(&mut length));
        if der.is_null() {
            break;
        }
        // SAFETY: not NULL, good for that length, and borrowed from the session that the caller holds.
        peer_certificates.push(unsafe { slice::from_raw_parts(der, length) }.to_vec());
    }
    TlsTold {
        version: text(trunkline_tls_session_version(Some(session), None)).unwrap_or_default(),
        alpn: text(trunkline_tls_session_alpn(Some(session), None)),
        server_name: text(trunkline_tls_session_server_name(Some(session), None)),
        peer_uri: text(trunkline_tls_session_peer_uri(Some(session), None)),
        peer_certificates,
    }
}

pub(crate) fn manager_connect(
    manager: trunkline_tcp_manager_t,
    address: &str,
    deadline_ns: i64,
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (text, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_tcp_manager_connect_async(manager, text, length, deadline_ns, Some(to), op, err)
    })
}

pub(crate) fn manager_listen(
    manager: trunkline_tcp_manager_t,
    address: &str,
) -> Result<trunkline_listener_t, Failed> {
    let (text, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_listener_t { h: 0 }, |out, err| unsafe {
        trunkline_tcp_manager_listen(manager, text, length, out, err)
    })
}

pub(crate) fn manager_relay(
    manager: trunkline_tcp_manager_t,
    listen: &str,
    destination: &str,
) -> Result<String, Failed> {
    let (from, from_length) = (listen.as_ptr().cast(), listen.len());
    let (to, to_length) = (destination.as_ptr().cast(), destination.len());
    // SAFETY: pointers and lengths are those of live texts and of a live buffer.
    short_text(|text, cap, n, err| unsafe {
        trunkline_tcp_manager_relay(manager, from, from_length, to, to_length, text, cap, n, err)
    })
}

pub(crate) fn manager_start(manager: trunkline_tcp_manager_t) -> Result<String, Failed> {
    let bound = call(None, |out, err| trunkline_tcp_manager_start(manager, out, err))?;
    Ok(whole_text(bound.as_deref()))
}

pub(crate) fn manager_reconfigure(
    manager: trunkline_tcp_manager_t,
    json: &str,
) -> Result<(), Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call((), |_, err| unsafe { trunkline_tcp_manager_reconfigure(manager, text, length, err) })
}

pub(crate) fn manager_live(
    manager: trunkline_tcp_manager_t,
    after: u64,
    max: usize,
) -> Result<String, Failed> {
    let list = call(None, |out, err| trunkline_tcp_manager_live(manager, after, max, out, err))?;
    Ok(whole_text(list.as_deref()))
}

pub(crate) fn manager_inspect(manager: trunkline_tcp_manager_t, id: u64) -> Result<String, Failed> {
    let one = call(None, |out, err| trunkline_tcp_manager_inspect(manager, id, out, err))?;
    Ok(whole_text(one.as_deref()))
}

pub(crate) fn channel_inspect(channel: trunkline_channel_t) -> Result<String, Failed> {
    let json = call(None, |out, err| trunkline_channel_inspect(channel, out, err))?;
    Ok(whole_text(json.as_deref()))
}

pub(crate) fn channel_history(
    channel: trunkline_channel_t,
    after: u64,
    max: usize,
) -> Result<String, Failed> {
    let json = call(None, |out, err| trunkline_channel_history(channel, after, max, out, err))?;
    Ok(whole_text(json.as_deref()))
}

fn whole_text(buf: Option<&trunkline_buf_t>) -> String {
    let mut length = 0;
    let bytes = trunkline_buf_data(buf, Some(&mut length));
    view(trunkline_str_t { ptr: bytes.cast(), len: length })
}

pub(crate) fn keyed_pool(
    json: &str,
    queue: trunkline_cq_t,
    tag: u64,
) -> Result<trunkline_keyed_pool_t, Failed> {
    let user_data = ptr::null_mut();
    let closer = trunkline_pool_closer_t { queue, tag, r#fn: None, user_data, release: None };
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call(trunkline_keyed_pool_t { h: 0 }, |out, err| unsafe {
        trunkline_keyed_pool_new(DEFAULT, text, length, Some(&closer), out, err)
    })
}

pub(crate) fn pool_get(pool: trunkline_keyed_pool_t, key: &[u8]) -> Result<u64, Failed> {
    // SAFETY: pointer and length are those of live bytes.
    call(0, |number, _| unsafe { trunkline_keyed_pool_get(pool, key.as_ptr(), key.len(), number) })
}

pub(crate) fn pool_remove(pool: trunkline_keyed_pool_t, key: &[u8]) -> Result<u64, Failed> {
    // SAFETY: pointer and length are those of live bytes.
    call(0, |number, _| unsafe {
        trunkline_keyed_pool_remove(pool, key.as_ptr(), key.len(), number)
    })
}

/// Tries to find the value under a key; the job is {0}, or to make it by then.
pub(crate) fn pool_ask(
    pool: trunkline_keyed_pool_t,
    key: &[u8],
    make_deadline_ns: i64,
) -> Result<(u64, trunkline_job_t), Failed> {
    let mut job = MaybeUninit::new(trunkline_job_t { h: 0 });
    let (bytes, length) = (key.as_ptr(), key.len());
    // SAFETY: pointer and length are those of live bytes.
    let value = call(0, |value, err| unsafe {
        let room = Some(&mut job);
        trunkline_keyed_pool_get_or_create(
            pool,
            bytes,
            length,
            0,
            make_deadline_ns,
            value,
            room,
            err,
        )
    })?;
    // SAFETY: initialised above, and a C function writes nothing but whole values.
    Ok((value, unsafe { job.assume_init() }))
}

/// The same as an operation; `deadlines` are those of the wait and of the making.
pub(crate) fn pool_ask_async(
    pool: trunkline_keyed_pool_t,
    key: &[u8],
    (wait, make): (i64, i64),
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (bytes, length) = (key.as_ptr(), key.len());
    // SAFETY: pointer and length are those of live bytes.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_keyed_pool_get_or_create_async(pool, bytes, length, wait, make, Some(to), op, err)
    })
}

pub(crate) fn pool_fill(job: trunkline_job_t, number: u64) -> Result<u64, Failed> {
    call(0, |kept, err| trunkline_keyed_pool_fill(job, number, kept, err))
}

/// Says that a job was not done. Refused where the answer would come too late anyway.
pub(crate) fn give_up_job(job: trunkline_job_t) {
    // SAFETY: no message has no length.
    let error = unsafe { trunkline_error_new(TRUNKLINE_E_CALLBACK, ptr::null(), 0, None) };
    let _ = trunkline_job_done(job, 0, error);
}

/// Tries to put a number under a key.
pub(crate) fn pool_insert_for(
    pool: trunkline_keyed_pool_t,
    key: &[u8],
    number: u64,
    lifetime_ns: i64,
) -> Result<(), Failed> {
    let (bytes, length) = (key.as_ptr(), key.len());
    // SAFETY: pointer and length are those of live bytes.
    call((), |_, err| unsafe {
        trunkline_keyed_pool_insert_wait(pool, bytes, length, number, lifetime_ns, 0, err)
    })
}

/// The same as an operation, which waits.
pub(crate) fn pool_insert_async(
    pool: trunkline_keyed_pool_t,
    key: &[u8],
    number: u64,
    (lifetime_ns, deadline_ns): (i64, i64),
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (bytes, length) = (key.as_ptr(), key.len());
    // SAFETY: pointer and length are those of live bytes.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_keyed_pool_insert_async(
            pool,
            bytes,
            length,
            number,
            lifetime_ns,
            deadline_ns,
            Some(to),
            op,
            err,
        )
    })
}

type Config = Option<Box<trunkline_config_t>>;

pub(crate) fn config_preset(name: &str) -> Result<Config, Failed> {
    let (text, length) = (name.as_ptr().cast(), name.len());
    // SAFETY: pointer and length are those of a live text.
    call(None, |out, err| unsafe { trunkline_config_preset(text, length, out, err) })
}

pub(crate) fn config_from_json(json: &str) -> Result<Config, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call(None, |out, err| unsafe { trunkline_config_from_json(text, length, out, err) })
}

pub(crate) fn config_json(config: Option<&trunkline_config_t>) -> String {
    text(trunkline_config_json(config, None)).unwrap_or_default()
}

pub(crate) fn probe_tcp(data: &[u8]) -> Result<Probed, Failed> {
    let (bytes, length) = (data.as_ptr(), data.len());
    // SAFETY: pointer and length are those of a live slice.
    let probed = call(None, |out, err| unsafe { trunkline_probe_tcp(bytes, length, out, err) })?;
    Ok(told(probed.as_deref()))
}

pub(crate) fn probe_udp(datagrams: &[&[u8]]) -> Result<Probed, Failed> {
    let view = |bytes: &&[u8]| trunkline_bytes_t { ptr: bytes.as_ptr(), len: bytes.len() };
    let views: Vec<_> = datagrams.iter().map(view).collect();
    let (first, count) = (views.as_ptr(), views.len());
    // SAFETY: pointer and count are those of a live list, whose elements are live slices.
    let probed = call(None, |out, err| unsafe { trunkline_probe_udp(first, count, out, err) })?;
    Ok(told(probed.as_deref()))
}

fn told(probed: Option<&trunkline_probed_t>) -> Probed {
    let alpn = (0..).map_while(|index| text(trunkline_probed_alpn(probed, index))).collect();
    let json = text(trunkline_probed_json(probed, None)).unwrap_or_default();
    (
        trunkline_probed_verdict(probed),
        text(trunkline_probed_protocol(probed)),
        text(trunkline_probed_host(probed)),
        alpn,
        json,
    )
}

/// A view into a snapshot as text of its own.
fn view(text: trunkline_str_t) -> String {
    if text.len == 0 {
        return String::new();
    }
    // SAFETY: not empty, so it points to as many bytes of the snapshot, which the caller holds.
    let bytes = unsafe { slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) };
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn metric(
    metrics: Option<&trunkline_metrics_t>,
    i: usize,
) -> Result<crate::metrics::Sample, Failed> {
    let nothing = trunkline_str_t { ptr: ptr::null(), len: 0 };
    let blank = trunkline_metric_t {
        name: nothing,
        labels: nothing,
        kind: 0,
        reserved0: 0,
        value: 0.0,
        count: 0,
    };
    let found = call(blank, |out, _| trunkline_metrics_get(metrics, i, out))?;
    Ok((view(found.name), view(found.labels), found.kind, found.value, found.count))
}

/// The text form that `print` gives of a snapshot.
pub(crate) fn metrics_text(
    metrics: Option<&trunkline_metrics_t>,
    print: extern "C" fn(Option<&trunkline_metrics_t>, Option<&mut usize>) -> *const c_char,
) -> String {
    text(print(metrics, None)).unwrap_or_default()
}

/// Level, nanoseconds since 1970, target, message, file, line and fields.
pub(crate) type Record = (i32, u64, String, String, String, u32, String);

/// Takes one record of the library; `user_data` is the ring.
unsafe extern "C-unwind" fn keep_record(
    user_data: *mut c_void,
    record: *const trunkline_log_record_t,
) {
    // SAFETY: `log_to` registered this function with a ring, which is held until its release, and the
    // record is there for the length of the call.
    let (ring, record) = unsafe { (&*user_data.cast::<Ring>(), &*record) };
    let (target, message) = (view(record.target), view(record.message));
    let (file, fields) = (view(record.file), view(record.fields));
    ring.push((record.level, record.unix_ns, target, message, file, record.line, fields));
}

unsafe extern "C-unwind" fn release_ring(user_data: *mut c_void) {
    // SAFETY: it is the pointer that `log_to` made of an `Arc`, and comes back once.
    drop(unsafe { Arc::from_raw(user_data.cast_const().cast::<Ring>()) });
}

/// Has what the library says kept in a ring.
pub(crate) fn log_to(level: i32, ring: Arc<Ring>) -> Result<(), Failed> {
    let ring = Arc::into_raw(ring).cast_mut().cast();
    // SAFETY: both functions may be called from any thread; the ring lives until the release, which also
    // comes if the call fails.
    call((), |_, err| unsafe {
        trunkline_log_set(level, Some(keep_record), ring, Some(release_ring), err)
    })
}

pub(crate) fn log_off() -> Result<(), Failed> {
    // SAFETY: there is no function to be called.
    call((), |_, err| unsafe {
        trunkline_log_set(TRUNKLINE_LOG_OFF, None, ptr::null_mut(), None, err)
    })
}

/// Where an operation's one event goes.
pub(crate) fn completion(queue: trunkline_cq_t, tag: u64) -> trunkline_completion_t {
    trunkline_completion_t { queue, tag, r#fn: None, user_data: ptr::null_mut() }
}

pub(crate) fn connect(
    address: &str,
    tls: trunkline_tls_t,
    deadline_ns: i64,
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (text, length) = (address.as_ptr().cast(), address.len());
    let options = connect_options(tls);
    let opts = &raw const options;
    // SAFETY: pointer and length are those of a live text; the options say how long they are.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_connect_with_async(DEFAULT, text, length, opts, deadline_ns, Some(to), op, err)
    })
}

pub(crate) fn listen(
    address: &str,
    backlog: u32,
    tls: trunkline_tls_t,
) -> Result<trunkline_listener_t, Failed> {
    let size = size_of::<trunkline_listen_options_t>();
    let options = trunkline_listen_options_t { size, backlog, reserved0: 0, tls };
    let (text, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointer and length are those of a live text; the options say how long they are.
    call(trunkline_listener_t { h: 0 }, |out, err| unsafe {
        trunkline_listen(DEFAULT, text, length, &raw const options, out, err)
    })
}

pub(crate) fn pipe(capacity: u64) -> Result<[trunkline_stream_t; 2], Failed> {
    let size = size_of::<trunkline_pipe_options_t>();
    let options = trunkline_pipe_options_t { size, capacity };
    // SAFETY: the options say how long they are.
    call([trunkline_stream_t { h: 0 }; 2], |ends, err| unsafe {
        trunkline_pipe_pair(DEFAULT, &raw const options, ends, err)
    })
}

pub(crate) fn configure(workers: u32) -> Result<(), Failed> {
    let options = trunkline_runtime_options_t {
        size: size_of::<trunkline_runtime_options_t>(),
        worker_threads: workers,
        max_handles: 0,
        thread_name: trunkline_str_t { ptr: ptr::null(), len: 0 },
    };
    // SAFETY: the options say how long they are.
    call((), |_, err| unsafe { trunkline_runtime_configure(&raw const options, err) })
}

/// What a queue tells, owned.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) tag: u64,
    pub(crate) kind: u32,
    pub(crate) status: trunkline_status_t,
    pub(crate) handle: u64,
    pub(crate) value: u64,
    pub(crate) about: u64,
    pub(crate) reply: Option<Box<trunkline_reply_t>>,
    pub(crate) error: Option<Box<trunkline_error_t>>,
}

impl Event {
    /// # Safety
    ///
    /// The library wrote `event`, and nothing of it was taken yet.
    unsafe fn of(event: trunkline_event_t) -> Self {
        let error = (!event.error.is_null()).then(|| {
            // SAFETY: made by `Box::into_raw`, and the event's receiver, which we are, owns it.
            unsafe { Box::from_raw(event.error) }
        });
        let reply = (!event.object.is_null()).then(|| {
            // SAFETY: as above; every object in an event is a reply.
            unsafe { Box::from_raw(event.object.cast::<trunkline_reply_t>()) }
        });
        let trunkline_event_t { tag, kind, status, handle, value, about, .. } = event;
        Self { tag, kind, status, handle, value, about, reply, error }
    }
}

/// Events taken by one call.
const BATCH: usize = 256;

/// Takes the events that are there, at most [`BATCH`].
pub(crate) fn drain(queue: trunkline_cq_t) -> Result<Vec<Event>, Failed> {
    let mut room = [MaybeUninit::<trunkline_event_t>::uninit(); BATCH];
    // SAFETY: the pointer is good for as many events as the call is told.
    let count =
        call(0, |n, _| unsafe { trunkline_cq_wait(queue, room.as_mut_ptr().cast(), BATCH, 0, n) })?;
    let take = |event: &MaybeUninit<trunkline_event_t>| {
        // SAFETY: the call wrote `count` events, and each is taken once.
        unsafe { Event::of(event.assume_init_read()) }
    };
    Ok(room[..count].iter().map(take).collect())
}

/// How a wait for a descriptor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Ready,
    /// The time passed, or a signal came.
    Not,
}

/// Waits until a queue has something to tell, a signal comes or the time passes; `None` has no end.
pub(crate) fn poll_queue(queue: trunkline_cq_t, limit: Option<Timespec>) -> Result<Polled, Failed> {
    let fd = call(-1, |fd, _| trunkline_cq_fd(queue, fd))?;
    // SAFETY: the queue keeps its descriptor open, and whoever waits on a queue keeps the queue.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], limit.as_ref()) {
        Ok(0) | Err(Errno::INTR) => Ok(Polled::Not),
        Ok(_) => Ok(Polled::Ready),
        Err(_) => Err(Failed { status: TRUNKLINE_E_NO_MEMORY, error: None }),
    }
}
