//! Measures Trunkline beside its peers, in one run, and writes down what came out.
//!
//! ```text
//!   round 1   ours   peer   peer again      Comparison ─▶ Row ─▶ printed table
//!   round 2   peer   peer again   ours                       ├─▶ benches/results/<name>.json
//!   ...       (each round begins elsewhere)                  └─▶ a section of benches/RESULTS.md
//! ```
//!
//! A row's ratio is the median of the rounds' ratios, ours to the peer's. The peer's second run against its
//! first is the noise of that row, and a target counts as met when the ratio reaches it within the noise.
//! Whatever a bench asks of the machine (cores, sizes, runtime) is the same for every side.

pub mod alloc;
mod backend;
mod bench;
mod machine;
mod process;
mod report;
mod row;
mod side;
mod times;

pub use backend::{Manner, serve};
pub use bench::Bench;
pub use machine::{now, pinned};
pub use process::{Folder, Process, free_address};
pub use row::{Goal, Must, Row};
pub use side::{Program, Sample, Side, Source};
pub use times::percentile;
