//! Which protocol the first bytes of a connection or a flow speak.
#![allow(unsafe_code, reason = "bytes come by pointer")]

use crate::{
    call::enter,
    error::{c_text, trunkline_error_t},
    input::{buffers, bytes, trunkline_bytes_t},
    status::*,
};
use serde::Serialize;
use std::{
    ffi::{CString, c_char},
    mem::MaybeUninit,
    ptr,
};
use trunkline_core::{TcpProbedProtocol, UdpProbedProtocol, Verdict};

/// A verdict: the beginning of something known, too short to tell.
pub const TRUNKLINE_PROBE_NEED_MORE: i32 = 1;
/// A verdict: it is the protocol that trunkline_probed_protocol names.
pub const TRUNKLINE_PROBE_IS: i32 = 2;
/// A verdict: none of the known protocols, or one of them with a mistake in it.
pub const TRUNKLINE_PROBE_UNKNOWN: i32 = 3;

/// What a probe found. Owned by one thread at a time; freed with trunkline_probed_free.
#[derive(Debug)]
pub struct trunkline_probed_t {
    verdict: i32,
    protocol: Option<CString>,
    host: Option<CString>,
    alpn: Vec<CString>,
    json: CString,
}

impl trunkline_probed_t {
    fn new<P: Serialize>(verdict: Verdict<P>, names: fn(&P) -> Names<'_>) -> Self {
        let json = serde_json::to_string(&verdict).expect("plain data always serialises");
        let code = match verdict {
            Verdict::NeedMore => TRUNKLINE_PROBE_NEED_MORE,
            Verdict::Is(_) => TRUNKLINE_PROBE_IS,
            Verdict::Unknown => TRUNKLINE_PROBE_UNKNOWN,
        };
        let found = verdict.found();
        let names = found.as_ref().map(names).unwrap_or_default();
        Self {
            verdict: code,
            protocol: names.protocol.map(c_text),
            host: names.host.map(c_text),
            alpn: names.alpn.iter().map(|name| c_text(&**name)).collect(),
            json: c_text(json),
        }
    }
}

/// What has a getter of its own.
#[derive(Default)]
struct Names<'a> {
    protocol: Option<&'static str>,
    host: Option<&'a str>,
    alpn: &'a [Box<str>],
}

fn tcp_names(found: &TcpProbedProtocol) -> Names<'_> {
    Names { protocol: Some(found.name()), host: found.host(), alpn: found.alpn() }
}

fn udp_names(found: &UdpProbedProtocol) -> Names<'_> {
    Names { protocol: Some(found.name()), host: found.host(), alpn: found.alpn() }
}

/// Looks at all bytes of a stream so far. Once the verdict is not NEED_MORE, more bytes do not change it.
///
/// A client whose server speaks first sends nothing to look at: stop waiting for it at a deadline of your own.
///
/// Ownership: the result is the caller's, to be freed with trunkline_probed_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT. Since 0.1.
///
/// # Safety
///
/// `data` is good for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_probe_tcp(
    data: *const u8,
    len: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_probed_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| {
        // SAFETY: the caller's promise is the same.
        let data = unsafe { bytes(data, len, "data")? };
        Ok(Some(Box::new(trunkline_probed_t::new(TcpProbedProtocol::probe(data), tcp_names))))
    })
}

/// Looks at all datagrams of a flow so far, in the order in which they came; at most 16 are looked at. Once the
/// verdict is not NEED_MORE, more datagrams do not change it.
///
/// Ownership: the result is the caller's, to be freed with trunkline_probed_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT. Since 0.1.
///
/// # Safety
///
/// `datagrams` is good for `count` elements, and each of them for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_probe_udp(
    datagrams: *const trunkline_bytes_t,
    count: usize,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_probed_t>>>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |_| {
        // SAFETY: the caller's promise is the same.
        let datagrams = unsafe { buffers(datagrams, count, "datagrams")? };
        Ok(Some(Box::new(trunkline_probed_t::new(UdpProbedProtocol::probe(&datagrams), udp_names))))
    })
}

/// One of TRUNKLINE_PROBE_*; 0 for NULL.
///
/// Ownership: none. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_verdict(probed: Option<&trunkline_probed_t>) -> i32 {
    probed.map_or(0, |probed| probed.verdict)
}

/// The name of the protocol: "tls", "http1", "http2", "ssh", "socks5", "postgresql", "redis" or "mqtt" of a stream,
/// "quic", "dns", "stun" or "wireguard" of datagrams. NULL unless the verdict is IS.
///
/// Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_protocol(probed: Option<&trunkline_probed_t>) -> *const c_char {
    borrowed(probed.and_then(|probed| probed.protocol.as_ref()))
}

/// The host that the client asks for, in lower case: the server name of TLS and QUIC, the host of HTTP/1. NULL
/// without one.
///
/// Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_host(probed: Option<&trunkline_probed_t>) -> *const c_char {
    borrowed(probed.and_then(|probed| probed.host.as_ref()))
}

/// A protocol that a client of TLS or QUIC offers to speak inside (ALPN), the best first, from `index` 0 on; NULL
/// past the last one.
///
/// Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_alpn(
    probed: Option<&trunkline_probed_t>,
    index: usize,
) -> *const c_char {
    borrowed(probed.and_then(|probed| probed.alpn.get(index)))
}

/// All that was found, as one JSON object such as {"verdict": "is", "protocol": "tls", "server_name": "a.example",
/// "alpn": ["h2"], "ech": false}, and in `*len`, where given, its length; NULL and 0 for NULL.
///
/// Ownership: borrowed until trunkline_probed_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_json(
    probed: Option<&trunkline_probed_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    if let Some(len) = len {
        *len = probed.map_or(0, |probed| probed.json.count_bytes());
    }
    borrowed(probed.map(|probed| &probed.json))
}

/// Frees what a probe found; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_probed_free(probed: Option<Box<trunkline_probed_t>>) {
    drop(probed);
}

fn borrowed(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}
