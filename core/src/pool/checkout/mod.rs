//! A pool that lends each connection to one caller at a time, in order.
//!
//! ```text
//!   CheckoutPool ── Acquire ──▶ Lease          what users hold                   pool.rs, acquire.rs, lease.rs
//!        │                        │             or know by number                 entrust.rs
//!        ▼                        ▼
//!      Shared ───── lock ─────▶ State          decides; answers with actions     shared.rs │ state.rs
//!        │ actions                ├── Slots        where each connection stands  slots.rs
//!        ▼                        ├── Line         who waits, in order           line.rs
//!      tasks ──▶ Connector        ├── Endpoints    where to connect, and when    endpoints.rs
//!   connect, check, close, keep   └── Terms        on which terms it is lent     terms.rs
//! ```
//!
//! Absences: no thread, no spinning, no lock across an await, nothing of the user's under a lock.

mod acquire;
mod callbacks;
mod connector;
mod endpoints;
mod entrust;
mod exhaustion;
mod holder;
mod lease;
mod line;
mod meter;
mod pool;
mod shared;
mod slots;
mod state;
mod stats;
mod tasks;
mod terms;
mod tuning;
mod waits;

pub use acquire::{Acquire, Patience};
pub use connector::Connector;
pub use entrust::{Acquired, Entrusted, StaleLease, Teller, WaitTicket};
pub use exhaustion::Exhaustion;
pub use holder::Holder;
pub use lease::{Lease, LeaseId};
pub use pool::{CheckoutPool, HeldLease};
pub use stats::CheckoutPoolStats;
pub use terms::Abilities;
pub use tuning::PoolAdvice;

#[cfg(test)]
mod tests;
