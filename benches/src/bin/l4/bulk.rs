//! Throughput of one stream and of many, and what a gigabyte costs the relay.

use crate::sides::{Kind, Relay};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create, sendfile};
use std::{
    io::Read,
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
};
use trunkline_benches::{Bench, Goal, Manner, Must, now, pinned, serve};

const TOTAL: u64 = 512 << 20;
/// What is sent at one time, again and again from the same memory.
const CHUNK: usize = 1 << 20;

/// Names of the throughput and of the cost, for so many streams.
type Names = [&'static str; 2];

const ONE: Names = ["one stream", "CPU of the relay, one stream"];
const MANY: Names = ["64 streams", "CPU of the relay, 64 streams"];

pub(crate) fn compare(bench: &mut Bench) {
    let backend = pinned(1, || serve(Manner::Drop));
    for (names, streams) in [(ONE, 1), (MANY, 64)] {
        let goals = |rate, cost| {
            [
                Goal { measure: names[0], unit: "GiB/s", must: rate },
                Goal { measure: names[1], unit: "ms/GiB", must: cost },
            ]
        };
        let against = |kind| move || measure(names, kind, backend, streams);
        let mut ours = against(Kind::Ours);
        let must = goals(Must::AtLeast(1.0), Must::AtMost(1.0));
        bench.compare("haproxy, splicing", &must, &mut ours, &mut against(Kind::HaProxy));
        let must = goals(Must::AtLeast(1.2), Must::Tell);
        bench.compare("nginx stream", &must, &mut ours, &mut against(Kind::Nginx));
        let must = goals(Must::Tell, Must::AtMost(0.3));
        bench.compare("a copying relay", &must, &mut ours, &mut against(Kind::Copier));
    }
}

fn measure(
    names: Names,
    kind: Kind,
    backend: SocketAddr,
    streams: usize,
) -> [(&'static str, f64); 2] {
    let relay = Relay::start(kind, backend);
    let address = relay.address;
    let (cpu, started) = (relay.cpu(), now());
    pinned(1, || {
        let share = TOTAL / streams as u64;
        let clients: Vec<_> =
            (0..streams).map(|_| thread::spawn(move || send(address, share))).collect();
        for client in clients {
            client.join().expect("every client is served");
        }
    });
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), relay.cpu() - cpu);
    let gib = TOTAL as f64 / f64::from(1 << 30);
    [(names[0], gib / seconds), (names[1], cpu * 1000.0 / gib)]
}

/// Sends so many bytes and waits for the answer to their end.
fn send(address: SocketAddr, bytes: u64) {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    let memory = memfd_create("trunkline-bench", MemfdFlags::CLOEXEC).expect("memory");
    ftruncate(&memory, CHUNK as u64).expect("room");
    let mut left = bytes;
    while left > 0 {
        let mut offset = 0;
        let some = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        left -=
            sendfile(&stream, &memory, Some(&mut offset), some).expect("the relay reads") as u64;
    }
    stream.shutdown(Shutdown::Write).expect("it stands");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert_eq!(answer, b".", "the backend has seen the end");
}
