//! loom's locks, atomics, cells and shared pointer under the names that core's `sync` gives to the real ones.

mod dash_map;

pub(crate) use dash_map::{DashMap, Entry};
use loom::sync::MutexGuard;
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// loom's mutex with the signatures of parking_lot's.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("loom ends a model at its first panic")
    }
}
