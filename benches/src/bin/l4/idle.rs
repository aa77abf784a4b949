//! Memory of a relayed connection on which nothing happens, from the slope between few and many.

use crate::sides::{Kind, Relay};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use trunkline_benches::{Bench, Goal, Manner, Must, pinned, serve};

const FEW: usize = 500;
/// Clients and backend are in one process, so that a connection costs it two of its descriptors.
const MANY: usize = 4_500;
const NAME: &str = "memory of an idle connection";

pub(crate) fn compare(bench: &mut Bench) {
    let backend = pinned(1, || serve(Manner::Echo(1)));
    let against = |kind| move || measure(kind, backend);
    let mut ours = against(Kind::Ours);
    let goal = |must| [Goal { measure: NAME, unit: "B", must }];
    let must = goal(Must::AtMost(1.0));
    bench.compare("haproxy", &must, &mut ours, &mut against(Kind::HaProxy));
    bench.compare("nginx stream", &goal(Must::Tell), &mut ours, &mut against(Kind::Nginx));
}

fn measure(kind: Kind, backend: SocketAddr) -> [(&'static str, f64); 1] {
    let relay = Relay::start(kind, backend);
    let mut streams = Vec::with_capacity(MANY);
    let mut memory_with = |count: usize| {
        pinned(1, || {
            while streams.len() < count {
                streams.push(used_once(relay.address));
            }
        });
        relay.memory()
    };
    let (few, many) = (memory_with(FEW), memory_with(MANY));
    [(NAME, (many - few) / (MANY - FEW) as f64)]
}

/// A connection that stands up to the backend.
fn used_once(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    stream.write_all(b"?").expect("it stands");
    stream.read_exact(&mut [0]).expect("an answer");
    stream
}
