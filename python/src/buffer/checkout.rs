//! The calls of the checkout pool that take pointers.

use super::{DEFAULT, Event, Failed, call, connect_options, filled};
use std::{mem::MaybeUninit, ptr, slice};
use trunkline::*;

const NO_POOL: trunkline_pool_t = trunkline_pool_t { h: 0 };
const NO_LEASE: trunkline_leased_t =
    trunkline_leased_t { lease: trunkline_lease_t { h: 0 }, value: 0 };

/// A pool of connections that are made by whoever takes the jobs of `queue`.
pub(crate) fn pool_of_jobs(
    json: &str,
    queue: trunkline_cq_t,
    tag: u64,
    abilities: u32,
) -> Result<trunkline_pool_t, Failed> {
    let user_data = ptr::null_mut();
    let host = trunkline_job_host_t { queue, tag, r#fn: None, user_data, release: None };
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call(NO_POOL, |out, err| unsafe {
        trunkline_pool_new(DEFAULT, text, length, Some(&host), abilities, out, err)
    })
}

/// A pool of streams.
pub(crate) fn pool_of_streams(
    json: &str,
    addresses: &[String],
    tls: trunkline_tls_t,
) -> Result<trunkline_pool_t, Failed> {
    let views = views(addresses);
    let (text, length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    let opts = &raw const options;
    // SAFETY: pointers and lengths are those of live texts, and of a live list of them; the options say how
    // long they are.
    call(NO_POOL, |out, err| unsafe {
        trunkline_pool_open_with(DEFAULT, text, length, views.as_ptr(), views.len(), opts, out, err)
    })
}

/// Has the pool connect to these addresses.
pub(crate) fn set_endpoints(pool: trunkline_pool_t, addresses: &[String]) -> Result<(), Failed> {
    let views = views(addresses);
    // SAFETY: the list is live, and so is each text in it.
    call((), |_, err| unsafe {
        trunkline_pool_set_endpoints(pool, views.as_ptr(), views.len(), err)
    })
}

fn views(addresses: &[String]) -> Vec<trunkline_str_t> {
    let view = |text: &String| trunkline_str_t { ptr: text.as_ptr().cast(), len: text.len() };
    addresses.iter().map(view).collect()
}

/// Takes a connection if one is ready; asks for no error object, which the caller seldom wants.
pub(crate) fn try_acquire(
    pool: trunkline_pool_t,
    holder: &str,
) -> Result<trunkline_leased_t, trunkline_status_t> {
    let mut out = MaybeUninit::new(NO_LEASE);
    let (text, length) = (holder.as_ptr().cast(), holder.len());
    // SAFETY: pointer and length are those of a live text.
    let status = unsafe { trunkline_pool_acquire(pool, 0, text, length, Some(&mut out), None) };
    match status {
        // SAFETY: it was initialised above, and the function writes nothing but whole values.
        TRUNKLINE_OK => Ok(unsafe { out.assume_init() }),
        _ => Err(status),
    }
}

/// Takes a connection, or starts to wait for one.
pub(crate) fn acquire(
    pool: trunkline_pool_t,
    deadline_ns: i64,
    holder: &str,
    to: &trunkline_completion_t,
) -> Result<(trunkline_leased_t, trunkline_op_t), Failed> {
    let mut op = MaybeUninit::new(trunkline_op_t { h: 0 });
    let (text, length) = (holder.as_ptr().cast(), holder.len());
    // SAFETY: pointer and length are those of a live text.
    let leased = call(NO_LEASE, |now, err| unsafe {
        let (to, op) = (Some(to), Some(&mut op));
        trunkline_pool_acquire_async(pool, deadline_ns, text, length, to, now, op, err)
    })?;
    // SAFETY: it was initialised above, and the function writes nothing but whole values.
    Ok((leased, unsafe { op.assume_init() }))
}

/// Puts a connection back; if that serves a caller of `queue`, returns what is to be told to it.
pub(crate) fn release(
    pool: trunkline_pool_t,
    lease: trunkline_lease_t,
    flags: u32,
    queue: trunkline_cq_t,
) -> Result<Option<Event>, Failed> {
    let mut handed = MaybeUninit::<trunkline_event_t>::uninit();
    let status = trunkline_pool_release_handing(pool, lease, flags, queue, Some(&mut handed));
    // SAFETY: the function writes it whatever it answers.
    let handed = unsafe { handed.assume_init() };
    super::plain(status)?;
    // SAFETY: the event was just written.
    Ok((handed.kind != TRUNKLINE_EV_NONE).then(|| unsafe { Event::of(handed) }))
}

pub(crate) fn stats(pool: trunkline_pool_t) -> Result<trunkline_pool_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_pool_stats(pool, stats) })
}

pub(crate) fn take_stats(pool: trunkline_pool_t) -> Result<trunkline_pool_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_pool_take_stats(pool, stats) })
}

/// Who holds what, as JSON.
pub(crate) fn leases(pool: trunkline_pool_t) -> Result<String, Failed> {
    call(None, |out, _| trunkline_pool_leases(pool, out)).map(text)
}

/// What the tuner advised lately, as JSON.
pub(crate) fn advice(pool: trunkline_pool_t) -> Result<String, Failed> {
    call(None, |out, _| trunkline_pool_advice(pool, out)).map(text)
}

fn text(buffer: Option<Box<trunkline_buf_t>>) -> String {
    let mut length = 0;
    let bytes = trunkline_buf_data(buffer.as_deref(), Some(&mut length));
    if length == 0 {
        return String::new();
    }
    // SAFETY: not empty, so it points to as many bytes of the buffer, which is held.
    let bytes = unsafe { slice::from_raw_parts(bytes, length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Answers a job with why it failed.
pub(crate) fn job_failed(
    job: trunkline_job_t,
    status: trunkline_status_t,
    message: &str,
) -> Result<(), Failed> {
    let (text, length) = (message.as_ptr().cast(), message.len());
    // SAFETY: pointer and length are those of a live text.
    let error = unsafe { trunkline_error_new(status, text, length, None) };
    super::plain(trunkline_job_done(job, 0, error))
}
