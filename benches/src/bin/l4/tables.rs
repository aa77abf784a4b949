//! What a datagram costs with few and with a million sessions in the tables that its own is looked up in.
//!
//! They are of synthetic sources that have come and wait for their destination: every table has them, and none of them costs
//! a descriptor, of which no process has a million.

use crate::{
    asking::{Socket, client, echo},
    datagrams::asked,
    relay::{tell, until_input_ends_by_thread},
    sides::{Kind, Relay},
};
use std::time::Duration;
use tokio::{runtime::Builder, task::yield_now};
use trunkline_benches::{Bench, Goal, Must, pinned};
use trunkline_core::{
    Address, Network, UdpConnectionManager, UdpManagerConfig,
    config::TimeLimit,
    manager::{ConnectionManager, UdpRelayOptions},
};

const FEW: u32 = 1_000;
/// As many as there may be, and room for those that are measured.
const MANY: u32 = 999_000;
const MOST: u32 = 1_000_000;
const CLIENTS: u32 = 100;
const LENGTH: Duration = Duration::from_secs(2);

const DATAGRAM: &str = "a datagram there and back, 1,000,000 sessions in the tables";
const PEER: &str = "1,000 in the tables";

pub(crate) fn compare(bench: &mut Bench) {
    let goal = |measure| [Goal { measure, unit: "µs CPU", must: Must::AtMost(1.3) }];
    if bench.is_selected(DATAGRAM) || bench.is_selected(PEER) {
        let backend = pinned(1, echo);
        let with = |entries| {
            let mut relay = None;
            move || {
                let relay =
                    relay.get_or_insert_with(|| Relay::start(Kind::UdpTable(entries), backend));
                [(DATAGRAM, asked(relay, CLIENTS, 64, LENGTH).1)]
            }
        };
        bench.compare(PEER, &goal(DATAGRAM), &mut with(MANY), &mut with(FEW));
    }
}

/// Relays datagrams to `backend`, with so many sessions of other sources that wait for a destination whose look-up is
/// never done.
pub(crate) fn udp(entries: u32, backend: &str) {
    // The one thread that could look a name up.
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (release, held) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    let config = UdpManagerConfig {
        max_sessions: MOST,
        max_unverified: MOST,
        unverified_timeout: TimeLimit::Never,
        connect_timeout: Duration::from_secs(365 * 24 * 3600),
        ..UdpManagerConfig::default()
    };
    let network = Network::new(runtime.handle().clone());
    let manager = UdpConnectionManager::new(network, config).expect("a sound configuration");
    runtime.block_on(async {
        let here: Address = "udp://127.0.0.1:0".parse().expect("an address");
        let options = UdpRelayOptions::default();
        let nowhere = "udp://backend.invalid:9".parse().expect("an address");
        let filled = manager.relay(&here, nowhere, options).await.expect("a free port");
        let to = filled.socket_addr().expect("an address of UDP");
        let socket = Socket::new();
        for number in 0..entries {
            // Beside those that are measured.
            socket.send(client(MOST + number), to, &[7]);
            while manager.connection_count() <= number as usize {
                yield_now().await;
            }
        }
        let backend = format!("udp://{backend}").parse().expect("an address");
        let bound = manager.relay(&here, backend, options).await.expect("a free port");
        tell(&bound.to_string().replace("udp://", ""));
        until_input_ends_by_thread().await;
    });
    drop(release);
}
