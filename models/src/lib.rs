//! Every interleaving of Trunkline's small protocols, by loom.
//!
//! The files under test are core's own, included by path. They name their lock and shared pointer
//! through `crate::sync`, which here is loom's; so no other crate is rebuilt and no global `RUSTFLAGS` are needed.
//!
//! ```text
//! cargo test -p trunkline-models
//! ```
#![cfg(test)]

#[path = "../../core/src/budget.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of what core offers")]
mod budget;
mod checkout;
mod pipe;
mod pool;
mod sync;

mod budget_models;
mod flight_models;
mod handoff_models;
mod table_models;

/// Runs `model` in every interleaving with at most `preemptions` switches away from a thread that could go on.
///
/// Nearly every known error of such protocols shows with two; the space without a bound takes hours.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
