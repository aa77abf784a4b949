//! Round trips through the relay at a fixed rate that none of them finds hard.

use crate::sides::{Kind, Relay};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use trunkline_benches::{Bench, Goal, Manner, Must, now, percentile, pinned, serve};

const SIZE: usize = 64;
const CONNECTIONS: u32 = 8;
const RATE: u32 = 5_000;
const SECONDS: u32 = 2;
const NAMES: [&str; 2] = ["round trip 64 B at 5,000/s, p50", "round trip 64 B at 5,000/s, p99"];

pub(crate) fn compare(bench: &mut Bench) {
    let backend = pinned(1, || serve(Manner::Echo(SIZE)));
    let goals = |must| NAMES.map(|measure| Goal { measure, unit: "µs", must });
    let against = |kind| move || measure(kind, backend);
    let mut ours = against(Kind::Ours);
    let must = goals(Must::AtMost(1.0));
    bench.compare("haproxy", &must, &mut ours, &mut against(Kind::HaProxy));
    bench.compare("nginx stream", &goals(Must::Tell), &mut ours, &mut against(Kind::Nginx));
}

fn measure(kind: Kind, backend: SocketAddr) -> [(&'static str, f64); 2] {
    let relay = Relay::start(kind, backend);
    let address = relay.address;
    let mut times: Vec<_> = pinned(1, || {
        let begin = now() + Duration::from_millis(50);
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|which| thread::spawn(move || keep_pace(address, begin, which)))
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("it is served")).collect()
    });
    [
        (NAMES[0], micros(percentile(&mut times, 0.5))),
        (NAMES[1], micros(percentile(&mut times, 0.99))),
    ]
}

/// One connection's share of the rate. A trip that had to wait for the one before counts from when it was due, so that a
/// stall is not left out.
fn keep_pace(address: SocketAddr, begin: Instant, which: u32) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    stream.set_nodelay(true).expect("it stands");
    let interval = Duration::from_secs(1) * CONNECTIONS / RATE;
    let first = begin + interval * which / CONNECTIONS;
    let mut message = [7; SIZE];
    (0..RATE * SECONDS / CONNECTIONS)
        .map(|turn| {
            let due = first + interval * turn;
            let early = due.saturating_duration_since(now());
            thread::sleep(early);
            let begun = if early.is_zero() { due } else { now() };
            stream.write_all(&message).expect("it stands");
            stream.read_exact(&mut message).expect("an answer");
            begun.elapsed()
        })
        .collect()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
