//! The locks and the shared pointer of the protocols that `models/` checks; there they are loom's.

pub(crate) use dashmap::{DashMap, Entry};
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::Arc;
