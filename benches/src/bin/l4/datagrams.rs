//! Questions and answers by datagrams per second, of a hundred clients at one time.

use crate::{
    asking::{ask, echo},
    sides::{Kind, Relay},
};
use std::{net::SocketAddr, time::Duration};
use trunkline_benches::{Bench, Goal, Must, pinned};

const CLIENTS: u32 = 100;
const LENGTH: Duration = Duration::from_secs(2);

/// Names of the rate and of the cost, for datagrams of so many bytes.
type Names = [&'static str; 2];

const SMALL: Names = ["UDP questions and answers, 64 B", "CPU of the relay, 64 B there and back"];
const LARGE: Names =
    ["UDP questions and answers, 1200 B", "CPU of the relay, 1200 B there and back"];

pub(crate) fn compare(bench: &mut Bench) {
    let backend = pinned(1, echo);
    for (names, size) in [(SMALL, 64), (LARGE, 1200)] {
        let goals = [
            Goal { measure: names[0], unit: "1/s", must: Must::AtLeast(1.5) },
            Goal { measure: names[1], unit: "µs", must: Must::Tell },
        ];
        let against = |kind| move || measure(names, kind, backend, size);
        let (mut ours, mut theirs) = (against(Kind::OurUdp), against(Kind::NginxUdp));
        bench.compare("nginx stream, UDP", &goals, &mut ours, &mut theirs);
    }
}

fn measure(names: Names, kind: Kind, backend: SocketAddr, size: usize) -> [(&'static str, f64); 2] {
    let relay = Relay::start(kind, backend);
    let (rate, cost) = asked(&relay, CLIENTS, size, LENGTH);
    [(names[0], rate), (names[1], cost)]
}

/// Answers per second through a relay, and microseconds that each costs it.
pub(crate) fn asked(relay: &Relay, clients: u32, size: usize, length: Duration) -> (f64, f64) {
    let address = relay.address;
    let (cpu, started) = (relay.cpu(), trunkline_benches::now());
    let rate = pinned(1, || ask(address, clients, size, length));
    let busy = (relay.cpu() - cpu) / started.elapsed().as_secs_f64();
    (rate, busy / rate * 1e6)
}
