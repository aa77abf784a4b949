//! New connections per second: connect, one byte each way, close.

use crate::sides::{Kind, Relay};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};
use trunkline_benches::{Bench, Goal, Manner, Must, now, pinned, serve};

const CLIENTS: usize = 16;
const EACH: usize = 500;
const NAME: &str = "new connections";

pub(crate) fn compare(bench: &mut Bench) {
    let backend = pinned(1, || serve(Manner::Echo(1)));
    let goal = |must| [Goal { measure: NAME, unit: "1/s", must }];
    let against = |kind| move || measure(kind, backend);
    let mut ours = against(Kind::Ours);
    let must = goal(Must::AtLeast(1.0));
    bench.compare("haproxy", &must, &mut ours, &mut against(Kind::HaProxy));
    bench.compare("nginx stream", &goal(Must::Tell), &mut ours, &mut against(Kind::Nginx));
}

fn measure(kind: Kind, backend: SocketAddr) -> [(&'static str, f64); 1] {
    let relay = Relay::start(kind, backend);
    let started = now();
    let count = visits(relay.address);
    [(NAME, count / started.elapsed().as_secs_f64())]
}

/// Makes many connections, some at a time, and says how many.
fn visits(address: SocketAddr) -> f64 {
    pinned(1, || {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                thread::spawn(move || {
                    for _ in 0..EACH {
                        visit(address);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("every client is served");
        }
    });
    (CLIENTS * EACH) as f64
}

fn visit(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("the relay listens");
    stream.write_all(b"?").expect("it stands");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
}
