//! Connections kept for use again: by key, shared by all who ask for it; or lent to one caller at a time, which is
//! what `checkout/` does. `tuner.rs` says when those should be more or fewer.
//!
//! ```text
//!   ConnectionPool (trait) ◀── DashMapConnectionPool    clock, close hook, metrics      connection_pool.rs, dash_map.rs
//!                                │            │
//!    get_or_create, get_or_turn │            │ everything else           turn.rs, wait.rs
//!                                ▼            ▼
//!                             Flights ──▶   Table       map + books + places            flight.rs, table.rs
//!                                             │
//!                                             ▼
//!                                  PoolEntry, Books     pure: what ends when            entry.rs, books.rs
//! ```
//!
//! Absences: a pool makes nothing by itself, checks no connection, and starts no task but the sweeper it
//! is told to start. No value is closed, dropped or cloned under a lock, and none is cloned but to give
//! it away: values are handles, such as `Arc`.

mod books;
mod checkout;
mod clock;
mod connection_pool;
mod dash_map;
mod entry;
mod flight;
mod meter;
mod moment;
mod reason;
mod stats;
mod sweep;
mod table;
mod tuner;
mod turn;
mod wait;

pub use checkout::{
    Abilities, Acquire, Acquired, CheckoutPool, CheckoutPoolStats, Connector, Entrusted,
    Exhaustion, HeldLease, Holder, Lease, LeaseId, Patience, PoolAdvice, StaleLease, Teller,
    WaitTicket,
};
pub use connection_pool::{ConnectionPool, InsertError, Pruned};
pub use dash_map::DashMapConnectionPool;
pub use entry::PoolEntry;
pub use reason::PoolCloseReason;
pub use stats::PoolStats;
pub use tuner::{Advice, Evidence, SizeChange, Tuner, TunerReason, TunerSample};
pub use turn::{Got, Turn};
