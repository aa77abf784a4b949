//! The calls of memory proxies that take pointers.

use super::{DEFAULT, Failed, call, connect_options, filled, whole_text};
use std::ptr;
use trunkline::*;

/// Questions to the hooks that are in `hooks` come to the queue, as jobs with the tag.
pub(crate) fn proxy(
    json: &str,
    tls: trunkline_tls_t,
    hooks: u32,
    to: Option<(trunkline_cq_t, u64)>,
) -> Result<trunkline_memory_proxy_t, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    let user_data = ptr::null_mut();
    let host = to.map(|(queue, tag)| trunkline_job_host_t {
        queue,
        tag,
        r#fn: None,
        user_data,
        release: None,
    });
    // SAFETY: pointers and lengths are those of a live text and of live structs; the host has no function.
    call(trunkline_memory_proxy_t { h: 0 }, |out, err| unsafe {
        let options = &raw const options;
        trunkline_memory_proxy_new(DEFAULT, text, length, options, host.as_ref(), hooks, out, err)
    })
}

pub(crate) fn stats(
    proxy: trunkline_memory_proxy_t,
) -> Result<trunkline_memory_proxy_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_memory_proxy_stats(proxy, stats) })
}

/// What is known of what a job is about, as JSON.
pub(crate) fn question(job: trunkline_job_t) -> Result<String, Failed> {
    let known = call(None, |out, err| trunkline_memory_proxy_question(job, out, err))?;
    Ok(whole_text(known.as_deref()))
}

/// Answers a job with JSON.
pub(crate) fn answer(job: trunkline_job_t, json: &str) -> Result<(), Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    // SAFETY: pointer and length are those of a live text.
    call((), |_, err| unsafe { trunkline_memory_proxy_answer(job, text, length, err) })
}
