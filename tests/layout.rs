//! Every public struct has the same size and the same offsets in C as in Rust.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod built;

use built::{compiler, header, succeed, without_comments, workshop};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    mem::offset_of,
    process::Command,
    sync::OnceLock,
};
use trunkline::*;

/// "struct" or "struct.field", with its size or its offset.
type Layout = BTreeMap<String, usize>;

macro_rules! layout {
    ($($type:ident { $($field:ident),* $(,)? })*) => {{
        let mut layout = Layout::new();
        $(
            layout.insert(stringify!($type).to_owned(), size_of::<$type>());
            $(
                let name = concat!(stringify!($type), ".", stringify!($field)).replace("r#", "");
                layout.insert(name, offset_of!($type, $field));
            )*
        )*
        layout
    }};
}

fn in_rust() -> Layout {
    layout! {
        trunkline_runtime_t { h }
        trunkline_cq_t { h }
        trunkline_op_t { h }
        trunkline_stream_t { h }
        trunkline_listener_t { h }
        trunkline_tcp_manager_t { h }
        trunkline_agent_t { h }
        trunkline_hub_t { h }
        trunkline_memory_proxy_t { h }
        trunkline_memory_proxy_stats_t {
            size, active, limit, opened, closed, requests, denied, upgraded, handshakes_failed, hooks_failed, bytes_received, bytes_sent,
        }
        trunkline_keyed_pool_t { h }
        trunkline_pool_t { h }
        trunkline_lease_t { h }
        trunkline_leased_t { lease, value }
        trunkline_pool_stats_t {
            size, max_size, min_idle, idle, used, validating, connecting, closing, waiting, created, create_failed, closed, acquired, hits, handed_over, timeouts, cancelled, refused, invalid, relieved, leaks, epoch, peak_used, use_time_ns, wait_time_ns, closed_idle_timeout, closed_lifetime, closed_discarded, closed_cleared, closed_pool_closed, closed_broken, closed_invalid, closed_shrunk, closed_detached, closed_endpoint_removed,
        }
        trunkline_job_t { h }
        trunkline_tls_t { h }
        trunkline_channel_t { h }
        trunkline_call_t { h }
        trunkline_kv_t { key, value }
        trunkline_call_request_t { method, message, options, tag }
        trunkline_call_options_t {
            size, deadline_ns, metadata, metadata_len, flags, max_reply, credentials, credentials_len,
        }
        trunkline_interceptor_t { size, begin, end, user_data, release }
        trunkline_ending_t { size, method, message, took_ns, rpc_code }
        trunkline_job_host_t { queue, tag, r#fn, user_data, release }
        trunkline_bytes_t { ptr, len }
        trunkline_str_t { ptr, len }
        trunkline_runtime_options_t { size, worker_threads, max_handles, thread_name }
        trunkline_listen_options_t { size, backlog, reserved0, tls }
        trunkline_connect_options_t { size, tls }
        trunkline_pipe_options_t { size, capacity }
        trunkline_event_t { tag, op, status, kind, handle, value, object, error, about }
        trunkline_completion_t { queue, tag, r#fn, user_data }
        trunkline_stream_stats_t {
            size, id, bytes_received, bytes_sent, age_ns, protocol, close_reason,
        }
        trunkline_tcp_manager_stats_t {
            size, active, limit, opened, closed, accepted, dialled, bytes_received, bytes_sent,
            accept_pauses, closed_finished, closed_local, closed_reset, closed_idle_timeout,
            closed_half_close_timeout, closed_connect_failed, closed_drained, closed_cancelled,
            closed_evicted, closed_refused, bytes_spliced, closed_killed,
            closed_max_duration, waiting, closed_source_limit, closed_backend_full, closed_queue_timeout,
        }
        trunkline_datagram_t { h }
        trunkline_udp_manager_t { h }
        trunkline_socket_address_t { ip, scope, port, family, reserved0 }
        trunkline_room_t { ptr, len }
        trunkline_received_t { len, whole_len, source, to }
        trunkline_datagram_stats_t { size, datagrams_received, datagrams_sent, truncated }
        trunkline_udp_relay_options_t { size, idle_timeout_ns }
        trunkline_udp_manager_stats_t {
            size, active, verified, unverified, limit, opened, closed, datagrams_received,
            datagrams_sent, bytes_received, bytes_sent, refused, receive_pauses, dropped,
            dropped_truncated, dropped_too_long, dropped_buffer_full, dropped_session_table_full,
            dropped_early_queue_full, dropped_amplification, dropped_connect_failed,
            dropped_session_closed, dropped_draining, dropped_send_failed, closed_local,
            closed_idle_timeout, closed_connect_failed, closed_drained, closed_cancelled,
            closed_evicted, closed_killed,
        }
        trunkline_agent_stats_t {
            size, links, links_opened, links_failed, replaced, active, limit, opened, closed, refused,
            bytes_received, bytes_sent,
        }
        trunkline_memory_comm_stats_t {
            size, memory_share, memory_active, memory_opened, memory_closed, memory_fallbacks,
            memory_failed, memory_bytes_received, memory_bytes_sent, socket_active, socket_opened,
            socket_closed, socket_fallbacks, socket_failed, socket_bytes_received, socket_bytes_sent,
        }
        trunkline_hub_stats_t {
            size, clusters, links, links_opened, links_refused, replaced, active, limit, opened, closed,
            refused, bytes_received, bytes_sent,
        }
        trunkline_keyed_pool_stats_t {
            size, entries, max_entries, hits, misses, inserted, taken, expired, evicted, closed,
            average_age_ns, utilization, expiration_ratio,
        }
        trunkline_pool_closer_t { queue, tag, r#fn, user_data, release }
        trunkline_metric_t { name, labels, kind, reserved0, value, count }
        trunkline_log_record_t { size, level, line, unix_ns, target, message, file, fields }
        trunkline_debug_counts_t {
            size, runtimes, queues, operations, streams, listeners, keyed_pools, tcp_managers,
            jobs, pools, datagrams, udp_managers, tls, channels, calls, agents, hubs, memory_proxies,
        }
    }
}

/// What the committed header says, as a C compiler understands it.
fn in_c() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(compile_and_print)
}

fn compile_and_print() -> Layout {
    let mut program = "#include \"trunkline.h\"\n#include <stdio.h>\nint main(void) {\n".to_owned();
    for (name, fields) in structs() {
        writeln!(program, "  printf(\"{name} %zu\\n\", sizeof({name}));").unwrap();
        for field in fields {
            writeln!(program, "  printf(\"{name}.{field} %zu\\n\", offsetof({name}, {field}));")
                .unwrap();
        }
    }
    program.push_str("  return 0;\n}\n");
    let (source, binary) = (workshop("layout").join("layout.c"), workshop("layout").join("layout"));
    fs::write(&source, program).unwrap();
    succeed(compiler(false, "c99").arg(&source).arg("-o").arg(&binary), "compiling the layout");
    let printed = succeed(&mut Command::new(&binary), "printing the layout");
    let line = |line: &str| {
        let (name, number) = line.split_once(' ').unwrap();
        (name.to_owned(), number.parse().unwrap())
    };
    printed.lines().map(line).collect()
}

/// The structs of the header that are not opaque, with their fields.
fn structs() -> Vec<(String, Vec<String>)> {
    let code = without_comments(&header());
    let definition = |text: &str| {
        let (name, rest) = text.split_once('{')?;
        let (body, _) = rest.split_once('}')?;
        let is_definition = name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let fields = body.split(';').filter_map(|field| {
            let name = field.trim().rsplit([' ', '*']).next()?.split('[').next()?;
            (!name.is_empty()).then(|| name.to_owned())
        });
        is_definition.then(|| (name.trim().to_owned(), fields.collect()))
    };
    code.split("typedef struct ").skip(1).filter_map(definition).collect()
}

#[test]
fn every_struct_of_the_header_lies_in_memory_as_in_rust() {
    let (in_c, in_rust) = (in_c(), in_rust());
    let names = in_c.keys().chain(in_rust.keys());
    let differs = |name: &&String| in_c.get(*name) != in_rust.get(*name);
    let differences: BTreeSet<_> = names.filter(differs).collect();
    assert!(differences.is_empty(), "not the same, or not listed in this file: {differences:?}");
}

#[test]
fn what_is_frozen_has_not_moved() {
    let layout = in_c();
    assert_eq!(layout["trunkline_event_t"], 64);
    for handle in layout.keys().filter_map(|name| name.strip_suffix(".h")) {
        assert_eq!(layout[handle], 8, "{handle} is one number");
    }
    for (name, offset) in layout.iter().filter(|(name, _)| name.ends_with(".size")) {
        assert_eq!(*offset, 0, "{name} comes first");
    }
}
