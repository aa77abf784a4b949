//! TLS: configurations that connections share, and what a handshake has shown.
#![allow(unsafe_code, reason = "texts and structs come by pointer")]

use crate::{
    call::{Call, enter, enter_unit},
    error::{Failure, c_text, trunkline_error_t},
    handle::{free, trunkline_runtime_t, trunkline_stream_t, trunkline_tls_t},
    input::{Sized_, TRUNKLINE_NEVER, options, text},
    status::*,
};
use std::{
    ffi::{CString, c_char},
    mem::MaybeUninit,
    ptr,
    sync::Arc,
};
use trunkline_core::{Network, Tls, TlsConfig, TlsFault, TlsSession, config::Config};

/// How to connect. Start from TRUNKLINE_CONNECT_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trunkline_connect_options_t {
    /// sizeof(trunkline_connect_options_t)
    pub size: usize,
    /// Secures tls:// addresses, and every connection of a channel; {0} trusts whom the system trusts, and shows
    /// nothing. May be freed after the call.
    pub tls: trunkline_tls_t,
}

// SAFETY: plain numbers, `repr(C)`, `size` first; all zeroes are valid.
unsafe impl Sized_ for trunkline_connect_options_t {}

/// The peer's fault: its certificate is missing, expired, damaged or not trusted here.
pub const TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE: i32 = 1;
/// The peer's fault, or the address's: its certificate is good, and for another name.
pub const TRUNKLINE_TLS_FAULT_NAME_MISMATCH: i32 = 2;
/// Ours: our certificate is expired, does not go with its key, or is refused by the peer.
pub const TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE: i32 = 3;
/// The two do not find together, or the peer does not speak TLS or speaks it wrongly.
pub const TRUNKLINE_TLS_FAULT_PROTOCOL: i32 = 4;

const _: () = {
    assert!(TRUNKLINE_TLS_FAULT_PEER_CERTIFICATE == TlsFault::PeerCertificate as i32);
    assert!(TRUNKLINE_TLS_FAULT_NAME_MISMATCH == TlsFault::NameMismatch as i32);
    assert!(TRUNKLINE_TLS_FAULT_OWN_CERTIFICATE == TlsFault::OwnCertificate as i32);
    assert!(TRUNKLINE_TLS_FAULT_PROTOCOL == TlsFault::Protocol as i32);
};

/// What a handle of TLS names.
#[derive(Debug)]
pub(crate) struct TlsObject {
    tls: Tls,
}

/// The TLS in options of any age, if there is one.
///
/// # Safety
///
/// As for [`options`].
pub(crate) unsafe fn tls_of(
    call: &Call,
    opts: *const trunkline_connect_options_t,
) -> Result<Option<Tls>, Failure> {
    // SAFETY: the caller's promise is the same.
    let given = unsafe { options(opts)? };
    match given.map_or(0, |given| given.tls.h) {
        0 => Ok(None),
        h => Ok(Some(call.object(trunkline_tls_t { h })?.tls.clone())),
    }
}

/// `network` with the TLS that the caller chose; {0} chooses none.
pub(crate) fn secured(
    call: &Call,
    network: &Network,
    tls: trunkline_tls_t,
) -> Result<Network, Failure> {
    match tls.h {
        0 => Ok(network.clone()),
        _ => Ok(network.clone().with_tls(call.object(tls)?.tls.clone())),
    }
}

/// As [`secured`], with the TLS of options of any age.
///
/// # Safety
///
/// As for [`options`].
pub(crate) unsafe fn secured_by(
    call: &Call,
    network: &Network,
    opts: *const trunkline_connect_options_t,
) -> Result<Network, Failure> {
    // SAFETY: the caller's promise is the same.
    let tls = unsafe { tls_of(call, opts)? };
    Ok(tls.map_or_else(|| network.clone(), |tls| network.clone().with_tls(tls)))
}

/// Reads a TLS configuration and the files that it names. `json` is a document such as {"client": {"roots":
/// {"file": "ca.pem"}}, "server": {"certificate": {"chain": {"file": "chain.pem"}, "key": {"file": "key.pem"}}}}; empty
/// means a client that trusts whom the system trusts.
///
/// The files are looked at every `reload_interval` (1 min by default) and read anew when they changed; a bad or
/// expired one replaces nothing. New handshakes use what was read last.
///
/// Ownership: the handle is the caller's, to be freed once with trunkline_tls_free; what was made with it keeps its
/// own share. Blocks: for the files. Threads: any. Errors: INVALID_ARGUMENT (names the field), TLS (a certificate that has
/// expired or does not go with its key), INVALID_HANDLE, LIMIT_EXCEEDED, CLOSED, FORKED. Since 0.1.
///
/// # Safety
///
/// `json` is good for `json_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trunkline_tls_new(
    rt: trunkline_runtime_t,
    json: *const c_char,
    json_len: usize,
    out: Option<&mut MaybeUninit<trunkline_tls_t>>,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter(out, err, |call| {
        // SAFETY: the caller's promise is the same.
        let config = match unsafe { text(json, json_len, "json")? } {
            "" => TlsConfig::default(),
            json => TlsConfig::from_json(json)?,
        };
        let runtime = call.runtime(rt)?;
        let place = call.place(&runtime)?;
        let tls = runtime.network().tls(config)?;
        Ok(call.register(Arc::new(TlsObject { tls }), place))
    })
}

/// Reads the files now; new handshakes use what they hold. After an error, what was in use stays in use.
///
/// Ownership: none. Blocks: for the files. Threads: any. Errors: as trunkline_tls_new. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_reload(
    tls: trunkline_tls_t,
    err: Option<&mut MaybeUninit<Option<Box<trunkline_error_t>>>>,
) -> trunkline_status_t {
    enter_unit(err, |call| Ok(call.object(tls)?.tls.reload()?))
}

/// Nanoseconds until the first of our own certificates expires: 0 once it has, TRUNKLINE_NEVER if there is none.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_expires_in(
    tls: trunkline_tls_t,
    ns: Option<&mut MaybeUninit<i64>>,
) -> trunkline_status_t {
    enter(ns, None, |call| {
        let left = call.object(tls)?.tls.expires_in();
        Ok(left.map_or(TRUNKLINE_NEVER, |left| {
            i64::try_from(left.as_nanos()).unwrap_or(TRUNKLINE_NEVER - 1)
        }))
    })
}

/// Frees a handle of TLS. Connections, listeners, managers, channels and pools that were made with it go on using what it names.
///
/// Ownership: takes the handle. Blocks: no. Threads: any, also finalisers. Errors: INVALID_HANDLE. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_free(tls: trunkline_tls_t) -> trunkline_status_t {
    free(tls)
}

/// Who the peer of a TLS stream is, and what was agreed with it. Owned by one thread at a time; freed with
/// trunkline_tls_session_free.
#[derive(Debug)]
pub struct trunkline_tls_session_t {
    version: CString,
    alpn: Option<CString>,
    server_name: Option<CString>,
    peer_uri: Option<CString>,
    peer_certificates: Vec<Vec<u8>>,
}

impl From<&TlsSession> for trunkline_tls_session_t {
    fn from(session: &TlsSession) -> Self {
        let optional = |text: &Option<String>| text.clone().map(c_text);
        Self {
            version: c_text(session.version),
            alpn: optional(&session.alpn),
            server_name: optional(&session.server_name),
            peer_uri: optional(&session.peer_uri),
            peer_certificates: session.peer_certificates.clone(),
        }
    }
}

/// What the handshake of a stream has shown; OK and NULL for a stream without TLS.
///
/// Ownership: the session is the caller's, to be freed with trunkline_tls_session_free. Blocks: no. Threads: any.
/// Errors: INVALID_ARGUMENT, INVALID_HANDLE, FORKED. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_stream_tls(
    stream: trunkline_stream_t,
    out: Option<&mut MaybeUninit<Option<Box<trunkline_tls_session_t>>>>,
) -> trunkline_status_t {
    enter(out, None, |call| {
        let session = call.object(stream)?.tls_session();
        Ok(session.map(Box::new))
    })
}

fn show(found: Option<&CString>, len: Option<&mut usize>) -> *const c_char {
    if let Some(len) = len {
        *len = found.map_or(0, |text| text.count_bytes());
    }
    found.map_or(ptr::null(), |text| text.as_ptr())
}

/// "TLSv1.3" or "TLSv1.2"; NULL for NULL.
///
/// Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_version(
    session: Option<&trunkline_tls_session_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    show(session.map(|session| &session.version), len)
}

/// The application protocol that both agreed on; NULL if there is none.
///
/// Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_alpn(
    session: Option<&trunkline_tls_session_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    show(session.and_then(|session| session.alpn.as_ref()), len)
}

/// The name that the client asked for (SNI); NULL if it asked for none, as with an IP address.
///
/// Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_server_name(
    session: Option<&trunkline_tls_session_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    show(session.and_then(|session| session.server_name.as_ref()), len)
}

/// The first URI that the peer's certificate is for, such as a SPIFFE id; NULL if there is none.
///
/// Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_peer_uri(
    session: Option<&trunkline_tls_session_t>,
    len: Option<&mut usize>,
) -> *const c_char {
    show(session.and_then(|session| session.peer_uri.as_ref()), len)
}

/// Certificate number `i` of those that the peer showed, in DER, its own first; NULL past the last.
///
/// Ownership: borrowed until trunkline_tls_session_free. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_peer_certificate(
    session: Option<&trunkline_tls_session_t>,
    i: usize,
    len: Option<&mut usize>,
) -> *const u8 {
    let found = session.and_then(|session| session.peer_certificates.get(i));
    if let Some(len) = len {
        *len = found.map_or(0, Vec::len);
    }
    found.map_or(ptr::null(), |der| der.as_ptr())
}

/// Frees a session; NULL does nothing.
///
/// Ownership: takes it. Blocks: no. Threads: the owner's. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_tls_session_free(session: Option<Box<trunkline_tls_session_t>>) {
    drop(session);
}
