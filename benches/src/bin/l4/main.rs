//! The TCP manager's relay beside HAProxy, nginx and a plain copier.
//!
//! ```text
//!   core 0   relay, a process of its own: ours, haproxy, nginx or a loop that copies; one thread
//!   core 1   clients ──▶ relay ──▶ backend, both in this process
//! ```
//!
//! With `relay`, `copier` or `wait` as its first argument the program is one of the relays.

mod bulk;
mod churn;
mod idle;
mod pace;
mod relay;
mod sides;

use std::{env, process::ExitCode};
use trunkline_benches::Bench;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [role, backend] = arguments.as_slice()
        && let Some(role) = relay::role(role)
    {
        return relay::run(role, backend);
    }
    let mut bench = match Bench::from_args("l4") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    bench.toolchain(&["haproxy", "-v"]);
    bench.toolchain(&["sh", "-c", "nginx -v 2>&1"]);
    bench.note(
        "Every relay is one process with one thread on the first core; clients and backend share the second, send from \
         memory that is not copied and drop what they get unread, so that the relay is what is measured. HAProxy splices \
         (`option splice-request`, `splice-response`), nginx is its stream module.",
    );
    bulk::compare(&mut bench);
    churn::compare(&mut bench);
    pace::compare(&mut bench);
    idle::compare(&mut bench);
    bench.finish()
}
