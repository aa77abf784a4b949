//! The locks, atomics, cells and the shared pointer of the protocols that `models/` checks; there they are loom's.

pub(crate) use dashmap::{DashMap, Entry};
#[cfg(not(test))]
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

#[cfg(test)]
pub(crate) use testing::Mutex;

/// The standard cell with the face of loom's: a pointer is good while the closure runs.
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// For looking at the value.
    #[inline]
    pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    /// For changing the value.
    #[inline]
    pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}

/// The lock as tests have it: one of them lets others run before it is taken.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    thread_local! {
        static BEFORE_LOCK: Cell<fn()> = const { Cell::new(nothing) };
    }

    fn nothing() {}

    /// Calls `hook` in this thread before each lock, until what is returned is dropped.
    pub(crate) fn let_others_run_before_each_lock(hook: fn()) -> impl Drop {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                BEFORE_LOCK.set(nothing);
            }
        }
        BEFORE_LOCK.set(hook);
        Reset
    }

    /// As parking_lot's.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
            // A thread that ends has no hook any more.
            BEFORE_LOCK.try_with(Cell::get).unwrap_or(nothing)();
            self.0.lock()
        }

        pub(crate) fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
            self.0.try_lock()
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut()
        }
    }
}
