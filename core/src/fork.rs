//! Knows whether this process is a forked child of the one that made an object.
#![allow(unsafe_code, reason = "pthread_atfork takes a function pointer")]

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTERED: Once = Once::new();

/// How many forks lie between the first process that called this and the one that calls now.
///
/// An object that remembers the number it was made under belongs to this process exactly if the
/// number is still the same: threads, and so runtimes, do not survive a fork. Costs one relaxed
/// load; `getpid` would cost a hundred times that.
pub fn generation() -> u32 {
    REGISTERED.call_once(register);
    GENERATION.load(Ordering::Relaxed)
}

/// Whether this process is a child, by a fork, of the one in which [`generation`] answered `then`.
#[inline]
pub fn is_child_since(then: u32) -> bool {
    GENERATION.load(Ordering::Relaxed) != then
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

fn register() {
    // SAFETY: `in_child` is an `extern "C"` function without arguments that lives as long as the
    // library (which is never unloaded) and does one atomic add, which is async-signal-safe.
    let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    debug_assert_eq!(status, 0, "pthread_atfork fails only without memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_of_a_fork_sees_another_generation() {
        let before = generation();
        // SAFETY: the child makes only async-signal-safe calls: an atomic load and `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(!is_child_since(before));
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `child` is the process just made, `status` outlives the call.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, libc::WEXITSTATUS(status)), (child, 0));
        assert!(!is_child_since(before));
    }
}
