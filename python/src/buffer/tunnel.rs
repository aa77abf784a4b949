//! The calls of agents and hubs that take pointers.

use super::{DEFAULT, Failed, call, connect_options, filled, short_text};
use trunkline::*;

pub(crate) fn agent(json: &str, tls: trunkline_tls_t) -> Result<trunkline_agent_t, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    // SAFETY: pointer and length are those of a live text; the options say how long they are.
    call(trunkline_agent_t { h: 0 }, |out, err| unsafe {
        trunkline_agent_new_with(DEFAULT, text, length, &raw const options, out, err)
    })
}

pub(crate) fn agent_stats(agent: trunkline_agent_t) -> Result<trunkline_agent_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_agent_stats(agent, stats) })
}

pub(crate) fn memory_comm_stats(
    agent: trunkline_agent_t,
) -> Result<trunkline_memory_comm_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_agent_memory_comm_stats(agent, stats) })
}

pub(crate) fn hub(json: &str, tls: trunkline_tls_t) -> Result<trunkline_hub_t, Failed> {
    let (text, length) = (json.as_ptr().cast(), json.len());
    let options = connect_options(tls);
    // SAFETY: pointer and length are those of a live text; the options say how long they are.
    call(trunkline_hub_t { h: 0 }, |out, err| unsafe {
        trunkline_hub_new_with(DEFAULT, text, length, &raw const options, out, err)
    })
}

pub(crate) fn hub_stats(hub: trunkline_hub_t) -> Result<trunkline_hub_stats_t, Failed> {
    // SAFETY: `size` says how long the struct is.
    filled(|stats| unsafe { trunkline_hub_stats(hub, stats) })
}

pub(crate) fn hub_listen(hub: trunkline_hub_t, address: &str) -> Result<String, Failed> {
    let (at, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointers and lengths are those of a live text and of a live buffer.
    short_text(|text, cap, n, err| unsafe {
        trunkline_hub_listen(hub, at, length, text, cap, n, err)
    })
}

pub(crate) fn hub_listen_http(hub: trunkline_hub_t, address: &str) -> Result<String, Failed> {
    let (at, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointers and lengths are those of a live text and of a live buffer.
    short_text(|text, cap, n, err| unsafe {
        trunkline_hub_listen_http(hub, at, length, text, cap, n, err)
    })
}

pub(crate) fn hub_listen_socks(hub: trunkline_hub_t, address: &str) -> Result<String, Failed> {
    let (at, length) = (address.as_ptr().cast(), address.len());
    // SAFETY: pointers and lengths are those of a live text and of a live buffer.
    short_text(|text, cap, n, err| unsafe {
        trunkline_hub_listen_socks(hub, at, length, text, cap, n, err)
    })
}

pub(crate) fn hub_forward(
    hub: trunkline_hub_t,
    listen: &str,
    cluster: &str,
    target: &str,
) -> Result<String, Failed> {
    let (from, from_length) = (listen.as_ptr().cast(), listen.len());
    let (name, name_length) = (cluster.as_ptr().cast(), cluster.len());
    let (to, to_length) = (target.as_ptr().cast(), target.len());
    // SAFETY: pointers and lengths are those of live texts and of a live buffer.
    short_text(|text, cap, n, err| unsafe {
        trunkline_hub_forward(
            hub,
            from,
            from_length,
            name,
            name_length,
            to,
            to_length,
            text,
            cap,
            n,
            err,
        )
    })
}

pub(crate) fn hub_dial(
    hub: trunkline_hub_t,
    cluster: &str,
    target: &str,
    deadline_ns: i64,
    completion: &trunkline_completion_t,
) -> Result<trunkline_op_t, Failed> {
    let (name, name_length) = (cluster.as_ptr().cast(), cluster.len());
    let (to, to_length) = (target.as_ptr().cast(), target.len());
    // SAFETY: pointers and lengths are those of live texts.
    call(trunkline_op_t { h: 0 }, |op, err| unsafe {
        trunkline_hub_dial_async(
            hub,
            name,
            name_length,
            to,
            to_length,
            deadline_ns,
            Some(completion),
            op,
            err,
        )
    })
}
