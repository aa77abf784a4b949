//! Throughput of one stream through the tunnel, and what a gigabyte costs.

use crate::sides::{Kind, Tunnel};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};
use trunkline_benches::{Bench, Goal, Manner, Must, now, pinned, serve};

const TOTAL: usize = 256 << 20;
const CHUNK: usize = 64 << 10;

pub(crate) fn compare(bench: &mut Bench) {
    let service = pinned(1, || serve(Manner::Drop));
    for (kind, names, must) in [
        (Kind::Native, ["one stream, native", "CPU of bulk, native"], Must::AtLeast(1.5)),
        (Kind::Packet, ["one stream, packet", "CPU of bulk, packet"], Must::Tell),
    ] {
        let goals = [
            Goal { measure: names[0], unit: "MiB/s", must },
            Goal { measure: names[1], unit: "ms/GiB", must: Must::Tell },
        ];
        let against = |kind| move || measure(names, kind, service);
        bench.compare("ssh -R", &goals, &mut against(kind), &mut against(Kind::OpenSsh));
    }
}

fn measure(names: [&'static str; 2], kind: Kind, service: SocketAddr) -> [(&'static str, f64); 2] {
    let tunnel = Tunnel::start(kind, service);
    let (cpu, started) = (tunnel.cpu(), now());
    pinned(1, || send(tunnel.address));
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), tunnel.cpu() - cpu);
    let mib = (TOTAL >> 20) as f64;
    [(names[0], mib / seconds), (names[1], cpu * 1000.0 * 1024.0 / mib)]
}

/// Sends all, and waits for the answer to the end.
fn send(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("the tunnel listens");
    let chunk = vec![7; CHUNK];
    for _ in 0..TOTAL / CHUNK {
        stream.write_all(&chunk).expect("the tunnel reads");
    }
    stream.shutdown(Shutdown::Write).expect("it stands");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert_eq!(answer, b".", "the service has seen the end");
}
