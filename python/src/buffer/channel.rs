//! The pointers of channels: options, metadata and replies.

use super::{Failed, call, connect_options, plain, whole_text};
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use std::{borrow::Cow, marker::PhantomData};
use trunkline::*;

type Pairs = Vec<(String, Vec<u8>)>;

/// The deadline, metadata, flags, the largest message of the answer, and credentials.
pub(crate) type Terms = (i64, Pairs, u32, u32, Pairs);

pub(crate) fn channel(
    target: &str,
    json: &str,
    tls: trunkline_tls_t,
    resolver: Option<(trunkline_cq_t, u64)>,
) -> Result<trunkline_channel_t, Failed> {
    let (text, length) = (target.as_ptr().cast(), target.len());
    let (document, document_length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    let options = &raw const options;
    let rt = super::DEFAULT;
    let host = resolver.map(super::route::jobs_to);
    call(trunkline_channel_t { h: 0 }, |out, err| {
        // SAFETY: pointers and lengths are those of live texts and options; the host has no function.
        unsafe {
            match &host {
                None => trunkline_channel_new_with(
                    rt,
                    text,
                    length,
                    document,
                    document_length,
                    options,
                    out,
                    err,
                ),
                Some(_) => trunkline_channel_new_resolved(
                    rt,
                    text,
                    length,
                    document,
                    document_length,
                    options,
                    host.as_ref(),
                    out,
                    err,
                ),
            }
        }
    })
}

/// Says where a target is.
pub(crate) fn push_addresses(channel: trunkline_channel_t, addresses: &str) -> Result<(), Failed> {
    let (text, length) = (addresses.as_ptr().cast(), addresses.len());
    // SAFETY: pointer and length are those of a live text.
    call((), |_, err| unsafe { trunkline_channel_push_addresses(channel, text, length, err) })
}

/// What is asked about a target, as JSON.
pub(crate) fn resolve_question(job: trunkline_job_t) -> Result<String, Failed> {
    let known = call(None, |out, err| trunkline_resolve_question(job, out, err))?;
    Ok(whole_text(known.as_deref()))
}

/// Answers where a target is.
pub(crate) fn resolve_answer(job: trunkline_job_t, addresses: &str) -> Result<(), Failed> {
    let (text, length) = (addresses.as_ptr().cast(), addresses.len());
    // SAFETY: pointer and length are those of a live text.
    plain(unsafe { trunkline_resolve_answer(job, text, length) })
}

/// Options as C reads them, which point into the terms that they are of.
struct Options<'a> {
    raw: trunkline_call_options_t,
    /// What `raw` points to.
    _pairs: [Vec<trunkline_kv_t>; 2],
    _terms: PhantomData<&'a Terms>,
}

impl<'a> Options<'a> {
    fn of(terms: &'a Terms) -> Self {
        let (deadline_ns, metadata, flags, max_reply, credentials) = terms;
        let pair = |(key, value): &(String, Vec<u8>)| trunkline_kv_t {
            key: key.as_str().into(),
            value: trunkline_bytes_t { ptr: value.as_ptr(), len: value.len() },
        };
        let metadata: Vec<_> = metadata.iter().map(pair).collect();
        let credentials: Vec<_> = credentials.iter().map(pair).collect();
        let raw = trunkline_call_options_t {
            size: size_of::<trunkline_call_options_t>(),
            deadline_ns: *deadline_ns,
            metadata: metadata.as_ptr(),
            metadata_len: metadata.len(),
            flags: *flags,
            max_reply: *max_reply,
            credentials: credentials.as_ptr(),
            credentials_len: credentials.len(),
        };
        Self { raw, _pairs: [metadata, credentials], _terms: PhantomData }
    }

    fn get(&self) -> *const trunkline_call_options_t {
        &raw const self.raw
    }
}

pub(crate) fn call_async(
    channel: trunkline_channel_t,
    method: &str,
    request: &[u8],
    terms: &Terms,
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (text, length) = (method.as_ptr().cast(), method.len());
    let (bytes, count) = (request.as_ptr(), request.len());
    let options = Options::of(terms);
    // SAFETY: pointers and lengths are those of live texts, bytes and options.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_channel_call_async(
            channel,
            text,
            length,
            bytes,
            count,
            options.get(),
            Some(to),
            op,
            err,
        )
    })
}

/// A call that begins with others: method, message, terms and tag.
pub(crate) type Beginning = (PyBackedStr, PyBackedBytes, Terms, u64);

pub(crate) fn call_many_async(
    channel: trunkline_channel_t,
    calls: &[Beginning],
    to: &trunkline_completion_t,
) -> Result<Vec<trunkline_op_t>, Failed> {
    let options: Vec<_> = calls.iter().map(|(_, _, terms, _)| Options::of(terms)).collect();
    let request = |((method, message, _, tag), options): (&Beginning, &Options<'_>)| {
        trunkline_call_request_t {
            method: (&**method).into(),
            message: trunkline_bytes_t { ptr: message.as_ptr(), len: message.len() },
            options: options.get(),
            tag: *tag,
        }
    };
    let requests: Vec<_> = calls.iter().zip(&options).map(request).collect();
    let mut ops = vec![trunkline_op_t { h: 0 }; requests.len()];
    // SAFETY: pointers and lengths are those of live texts, bytes and options, and there is room for all.
    call((), |_, err| unsafe {
        trunkline_channel_call_many_async(
            channel,
            requests.as_ptr(),
            requests.len(),
            Some(to),
            ops.as_mut_ptr(),
            err,
        )
    })?;
    Ok(ops)
}

pub(crate) fn open(
    channel: trunkline_channel_t,
    method: &str,
    terms: &Terms,
) -> Result<trunkline_call_t, Failed> {
    let (text, length) = (method.as_ptr().cast(), method.len());
    let options = Options::of(terms);
    // SAFETY: pointers and lengths are those of live texts and options.
    call(trunkline_call_t { h: 0 }, |out, err| unsafe {
        trunkline_channel_open(channel, text, length, options.get(), out, err)
    })
}

pub(crate) fn send_async(
    handle: trunkline_call_t,
    message: &[u8],
    to: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (bytes, count) = (message.as_ptr(), message.len());
    // SAFETY: pointer and length are those of live bytes.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_call_send_async(handle, bytes, count, Some(to), op, err)
    })
}

pub(crate) fn message(reply: &trunkline_reply_t) -> &[u8] {
    let mut length = 0;
    let data = trunkline_reply_data(Some(reply), Some(&mut length));
    if length == 0 {
        return &[];
    }
    // SAFETY: the call told both, and they hold while the reply lives.
    unsafe { std::slice::from_raw_parts(data, length) }
}

const NONE: trunkline_kv_t = trunkline_kv_t {
    key: trunkline_str_t { ptr: std::ptr::null(), len: 0 },
    value: trunkline_bytes_t { ptr: std::ptr::null(), len: 0 },
};

/// Names and values of what came with an answer.
pub(crate) fn metadata(
    reply: &trunkline_reply_t,
    which: u32,
) -> impl Iterator<Item = (Cow<'_, str>, &[u8])> {
    let piece =
        move |i| call(NONE, |out, _| trunkline_reply_metadata(Some(reply), which, i, out)).ok();
    (0..).map_while(piece).map(|kv| pair(reply, kv))
}

/// What a server sent with the status behind an error.
pub(crate) fn trailers(error: &trunkline_error_t) -> Vec<(String, Vec<u8>)> {
    let piece = |i| call(NONE, |out, _| trunkline_error_metadata(Some(error), i, out)).ok();
    let owned = |kv| {
        let (name, value) = pair(error, kv);
        (name.into_owned(), value.to_vec())
    };
    (0..).map_while(piece).map(owned).collect()
}

/// What a piece that the library gave of its `owner` points to.
fn pair<T>(_owner: &T, kv: trunkline_kv_t) -> (Cow<'_, str>, &[u8]) {
    let bytes = |ptr, len| match len {
        0 => &[][..],
        // SAFETY: what is not empty is good for so many bytes while its owner lives.
        _ => unsafe { std::slice::from_raw_parts(ptr, len) },
    };
    let name = String::from_utf8_lossy(bytes(kv.key.ptr.cast(), kv.key.len));
    (name, bytes(kv.value.ptr, kv.value.len))
}
