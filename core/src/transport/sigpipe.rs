//! Keeps SIGPIPE from the host: to write to a peer that has gone raises it, and `splice` takes no flag against it.
#![allow(unsafe_code, reason = "the signals of a thread are named by pointer")]

use std::{cell::Cell, io, marker::PhantomData, mem::MaybeUninit, ptr};

thread_local! {
    static IS_BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Blocks SIGPIPE on the calling thread for good, which spares two system calls for each chunk that is spliced there.
///
/// For the worker threads of a runtime that runs no code of others. On any other thread it is blocked for the length of
/// such a call, and what the call raised is taken back before.
pub fn block_sigpipe() {
    if change(libc::SIG_BLOCK, &sigpipe()).is_some() {
        IS_BLOCKED.set(true);
    }
}

/// Runs a call that raises SIGPIPE with its `EPIPE`, and lets no one hear of it.
#[cfg(target_os = "linux")]
pub(super) fn without_sigpipe<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let blocked = if IS_BLOCKED.get() { None } else { Blocked::new() };
    let answer = call();
    if answer.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPIPE)) {
        take_back();
    }
    drop(blocked);
    answer
}

/// SIGPIPE is blocked on this thread, as long as this is held there.
#[cfg(target_os = "linux")]
struct Blocked {
    before: libc::sigset_t,
    _of_this_thread: PhantomData<*const ()>,
}

#[cfg(target_os = "linux")]
impl Blocked {
    fn new() -> Option<Self> {
        let before = change(libc::SIG_BLOCK, &sigpipe())?;
        Some(Self { before, _of_this_thread: PhantomData })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Blocked {
    fn drop(&mut self) {
        change(libc::SIG_SETMASK, &self.before);
    }
}

/// The set of signals that is SIGPIPE alone.
fn sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the whole of what its pointer names, and both it and `sigaddset` get a good one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

/// Changes which signals are blocked on this thread; the ones that were before.
fn change(how: libc::c_int, set: &libc::sigset_t) -> Option<libc::sigset_t> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both pointers are good for the length of the call, which fills `before` when it answers 0.
    unsafe {
        (libc::pthread_sigmask(how, set, before.as_mut_ptr()) == 0).then(|| before.assume_init())
    }
}

/// Takes a SIGPIPE back that waits for this thread, which is blocked: the kernel raises it for the thread that wrote.
#[cfg(target_os = "linux")]
fn take_back() {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let set = sigpipe();
    // SAFETY: `set` and `now` are good for the length of the call, and no details are asked for.
    unsafe {
        libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const now);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use rustix::pipe::{SpliceFlags, splice};
    use std::os::{fd::AsFd, unix::net::UnixStream};

    thread_local! {
        static HEARD: Cell<u32> = const { Cell::new(0) };
    }

    extern "C" fn hear(_: libc::c_int) {
        HEARD.set(HEARD.get() + 1);
    }

    /// Lets each thread of this process hear its own SIGPIPE. Nobody else of these tests raises one.
    fn listen() {
        // SAFETY: the handler does no more than count in a constant-initialised cell of its thread.
        unsafe {
            libc::signal(libc::SIGPIPE, hear as *const () as libc::sighandler_t);
        }
    }

    /// Splices to a peer that has gone.
    fn splice_to_nobody() -> io::Result<usize> {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"lost").unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        Ok(splice(reader.as_fd(), None, near.as_fd(), None, 4, SpliceFlags::empty())?)
    }

    fn is_waiting() -> bool {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigpending` fills what its pointer names, and `sigismember` reads it.
        unsafe {
            libc::sigpending(set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), libc::SIGPIPE) == 1
        }
    }

    #[test]
    fn a_splice_to_a_peer_that_has_gone_is_heard_by_nobody() {
        listen();
        let on_a_thread = |is_worker: bool| {
            std::thread::spawn(move || {
                splice_to_nobody().unwrap_err();
                assert_eq!(HEARD.get(), 1, "unguarded it is heard");
                if is_worker {
                    block_sigpipe();
                }
                for _ in 0..3 {
                    let error = without_sigpipe(splice_to_nobody).unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
                    assert!(!is_waiting(), "it would come with the next change of the mask");
                }
                if is_worker {
                    change(libc::SIG_UNBLOCK, &sigpipe());
                }
                assert_eq!(HEARD.get(), 1);
                splice_to_nobody().unwrap_err();
                assert_eq!(HEARD.get(), 2, "the mask is as it was");
            })
        };
        on_a_thread(false).join().unwrap();
        on_a_thread(true).join().unwrap();
    }
}
