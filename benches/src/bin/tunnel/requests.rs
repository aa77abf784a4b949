//! Requests and answers of 64 bytes on connections that stand.

use crate::sides::{Kind, Tunnel};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};
use trunkline_benches::{Bench, Goal, Manner, Must, now, pinned, serve};

const SIZE: usize = 64;
const CLIENTS: usize = 16;
const EACH: usize = 1_000;

pub(crate) fn compare(bench: &mut Bench) {
    let service = pinned(1, || serve(Manner::Echo(SIZE)));
    for (kind, names, must) in [
        (Kind::Native, ["requests, native", "CPU of a request, native"], Must::AtLeast(2.0)),
        (Kind::Packet, ["requests, packet", "CPU of a request, packet"], Must::Tell),
    ] {
        let goals = [
            Goal { measure: names[0], unit: "1/s", must },
            Goal { measure: names[1], unit: "µs", must: Must::Tell },
        ];
        let against = |kind| move || measure(names, kind, service);
        bench.compare("ssh -R", &goals, &mut against(kind), &mut against(Kind::OpenSsh));
    }
}

fn measure(names: [&'static str; 2], kind: Kind, service: SocketAddr) -> [(&'static str, f64); 2] {
    let tunnel = Tunnel::start(kind, service);
    let address = tunnel.address;
    let (started, cpu) = pinned(1, || {
        let mut standing: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
        let begin = (now(), tunnel.cpu());
        thread::scope(|scope| {
            for stream in &mut standing {
                scope.spawn(|| (0..EACH).for_each(|_| ask(stream)));
            }
        });
        begin
    });
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), tunnel.cpu() - cpu);
    let requests = (CLIENTS * EACH) as f64;
    [(names[0], requests / seconds), (names[1], cpu * 1e6 / requests)]
}

/// A connection that stands up to the service.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the tunnel listens");
    stream.set_nodelay(true).expect("it stands");
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    let mut message = [7; SIZE];
    stream.write_all(&message).expect("it stands");
    stream.read_exact(&mut message).expect("an answer");
}
