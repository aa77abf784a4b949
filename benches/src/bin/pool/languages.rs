//! The pool as Go and Python see it, beside what their programs use: each side is a program of its own.

use std::path::PathBuf;
use trunkline_benches::{Bench, Goal, Must, Program, Sample, Side, Source, pinned};

const fn rate(measure: &'static str, must: f64) -> Goal {
    Goal { measure, unit: "1/s", must: Must::AtLeast(must) }
}

const fn told(measure: &'static str, unit: &'static str) -> Goal {
    Goal { measure, unit, must: Must::Tell }
}

/// The first row is the promise; the others say how it looks with other crowds, and how long they wait.
const GO: [Goal; 10] = [
    rate("go: 64 goroutines on 10: acquires", 1.0),
    told("go: 64 goroutines on 10: wait p99", "us"),
    told("go: 64 goroutines on 10: wait p99.9", "us"),
    told("go: 64 goroutines on 10, held for no time: acquires", "1/s"),
    told("go: 64 goroutines on 10, held for no time: wait p99", "us"),
    told("go: 64 goroutines on 10, held for no time: wait p99.9", "us"),
    told("go: 1000 goroutines on 50: acquires", "1/s"),
    told("go: 1000 goroutines on 50: wait p99", "us"),
    told("go: 1000 goroutines on 50: wait p99.9", "us"),
    told("go: 1 goroutine on 10: acquires", "1/s"),
];

const PYTHON: [Goal; 3] = [
    rate("python: acquire and release, in a thread", 3.0),
    rate("python: acquire and release, in a task", 3.0),
    rate("python: 64 tasks on 10", 3.0),
];

pub(crate) fn compare(bench: &mut Bench) {
    bench.toolchain(&["go", "version"]);
    bench.toolchain(&[".venv/bin/python", "--version"]);
    let go = |pool: &str| OnTwoCores(Program::new([built("target/benches/pool-go"), pool.into()]));
    bench.compare("puddle", &GO, &mut go("trunkline"), &mut go("puddle"));
    for peer in ["psycopg_pool", "sqlalchemy"] {
        bench.compare(peer, &PYTHON, &mut python("trunkline"), &mut python(peer));
    }
}

fn python(pool: &str) -> OnTwoCores {
    let [interpreter, script] = [".venv/bin/python", "benches/python/pool.py"].map(built);
    OnTwoCores(Program::new([interpreter, "-P".into(), script, pool.into()]))
}

/// Something of this checkout.
fn built(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// A program that has the same cores as the sides of this process.
struct OnTwoCores(Program);

impl Source for OnTwoCores {
    fn measure(&mut self, side: Side) -> Result<Vec<Sample>, String> {
        pinned(2, || self.0.measure(side))
    }
}
