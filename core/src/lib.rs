//! core
pub mod address;
pub mod budget;
pub mod completion;
pub mod context;
pub mod error;
pub mod fork;
mod sync;
