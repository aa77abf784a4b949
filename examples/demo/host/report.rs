//! One table for all languages, and the comparison of both sides' counts.

use crate::clients::Counted;
use trunkline_core::TcpManagerStats;

const MIB: f64 = 1_048_576.0;

pub(crate) fn table(rows: &[(&str, Counted)]) {
    println!();
    println!(
        "{:<9}{:>6}{:>12}{:>14}{:>13}{:>9}{:>9}  closed",
        "language", "conns", "MiB", "relay MiB/s", "pipe MiB/s", "p50 µs", "p99 µs"
    );
    for (language, counted) in rows {
        let bytes = (counted.bytes_sent + counted.bytes_received) as f64 / MIB;
        let closed: Vec<_> =
            counted.close_reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        println!(
            "{language:<9}{:>6}{bytes:>12.1}{:>14.0}{:>13.0}{:>9.0}{:>9.0}  {}",
            counted.connections,
            2.0 * counted.pipe_bytes as f64 / MIB / counted.relay_seconds,
            counted.pipe_bytes as f64 / MIB / counted.pipe_seconds,
            counted.p50_us,
            counted.p99_us,
            closed.join(", ")
        );
    }
    println!(
        "(MiB: both ways through the relay, hashed after the clock was stopped; µs: 64-byte round trips through the relay)"
    );
}

/// Prints what both sides counted; true if they agree to the last byte.
pub(crate) fn sums(rows: &[(&str, Counted)], manager: &TcpManagerStats) -> bool {
    let sum = |of: fn(&Counted) -> u64| rows.iter().map(|(_, counted)| of(counted)).sum();
    println!();
    println!("{:<28}{:>16}{:>16}", "", "the clients", "the manager");
    let lines = [
        ("connections opened", sum(|c| c.connections), manager.opened),
        ("connections closed", sum(|c| c.close_reasons.values().sum()), manager.closed()),
        ("bytes from the clients", sum(|c| c.bytes_sent), manager.bytes_received),
        ("bytes to the clients", sum(|c| c.bytes_received), manager.bytes_sent),
    ];
    compare(&lines)
}

/// Prints the counts after clients were killed; true if they are exact.
pub(crate) fn after_kills(manager: &TcpManagerStats, sunk: (u64, u64), gauge: i64) -> bool {
    println!("{:<28}{:>16}{:>16}", "", "expected", "found");
    compare(&[
        ("connections closed", manager.opened, manager.closed()),
        ("connections still active", 0, manager.active),
        ("gauge of active streams", 0, gauge.unsigned_abs()),
        ("bytes at the sink", manager.bytes_received, sunk.0),
        ("wrong bytes at the sink", 0, sunk.1),
    ])
}

fn compare(lines: &[(&str, u64, u64)]) -> bool {
    for (name, left, right) in lines {
        let verdict = if left == right { "equal" } else { "DIFFERENT" };
        println!("{name:<28}{left:>16}{right:>16}  {verdict}");
    }
    lines.iter().all(|(_, left, right)| left == right)
}
