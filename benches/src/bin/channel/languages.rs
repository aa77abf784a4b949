//! Channels as Python and Go programs see them, beside what those use: each side is a program of its own.

use std::{net::SocketAddr, path::PathBuf};
use trunkline_benches::{Bench, Goal, Must, Program, Sample, Side, Source, pinned};

const fn rate(measure: &'static str, must: Must) -> Goal {
    Goal { measure, unit: "1/s", must }
}

const PYTHON: [Goal; 3] = [
    rate("python: unary 64 B, a thread", Must::AtLeast(2.0)),
    rate("python: unary 64 B, 64 tasks", Must::AtLeast(3.0)),
    rate("python: unary 64 B, a task", Must::Tell),
];

const GO: [Goal; 2] = [
    rate("go: unary 64 B, 64 goroutines", Must::AtLeast(1.0)),
    rate("go: unary 64 B, a goroutine", Must::Tell),
];

pub(crate) fn compare(bench: &mut Bench, server: SocketAddr) {
    bench.toolchain(&["go", "version"]);
    bench.toolchain(&[".venv/bin/python", "--version"]);
    let python = |side: &str| {
        let [interpreter, script] = [".venv/bin/python", "benches/python/channel.py"].map(built);
        let command = [interpreter, "-P".into(), script, server.to_string().into(), side.into()];
        OnOneCore(Program::new(command))
    };
    bench.compare("grpcio", &PYTHON, &mut python("trunkline"), &mut python("grpcio"));
    let go = |side: &str| {
        let program = built("target/benches/channel-go");
        OnOneCore(Program::new([program, server.to_string().into(), side.into()]))
    };
    bench.compare("grpc-go", &GO, &mut go("trunkline"), &mut go("grpc-go"));
}

/// Something of this checkout.
fn built(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// A program that has the core of the clients.
struct OnOneCore(Program);

impl Source for OnOneCore {
    fn measure(&mut self, side: Side) -> Result<Vec<Sample>, String> {
        pinned(1, || self.0.measure(side))
    }
}
