//! core
pub mod address;
pub mod context;
pub mod error;
pub mod fork;
