//! A global allocator that counts, for rows about memory.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed},
};

/// The system's allocator, counting while [`held_by`] asks it to. A bench that needs it says:
///
/// ```text
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting;
/// ```
///
/// While nobody asks, it costs one load of a value that does not change.
#[derive(Debug)]
pub struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

/// What `make` returned, and by how many bytes the heap had grown meanwhile, over all threads.
///
/// Counts what was asked for, not what the allocator rounds it up to. For one caller at a time.
pub fn held_by<T>(make: impl FnOnce() -> T) -> (T, isize) {
    BYTES.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    let made = make();
    COUNTS.store(false, Relaxed);
    (made, BYTES.load(Relaxed))
}

fn count(change: isize) {
    if COUNTS.load(Relaxed) {
        BYTES.fetch_add(change, Relaxed);
    }
}

// SAFETY: every call goes to `System` as it came, and counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn what_is_kept_is_counted_and_what_is_freed_is_not() {
        let (kept, bytes) = held_by(|| {
            drop(vec![0u8; 5 << 20]);
            vec![0u8; 3 << 20]
        });
        // Tests beside this one allocate too, but not megabytes.
        assert_eq!(bytes >> 20, 3, "{bytes}");
        drop(kept);
    }
}
