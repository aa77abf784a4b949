//! core
pub mod address;
pub mod backoff;
pub mod budget;
pub mod completion;
pub mod config;
pub mod context;
pub mod duration;
pub mod error;
pub mod events;
pub mod fork;
pub mod metrics;
mod sync;
pub mod transport;
