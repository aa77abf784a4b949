//! The file descriptor that is readable while a queue has something to say: an eventfd on Linux, a
//! pipe elsewhere.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::{self, Errno},
};
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
pub(super) use by_pipe::Signal;
#[cfg(target_os = "linux")]
pub(super) use eventfd::Signal;

/// Longest single poll: some systems refuse a timeout above `c_int::MAX` milliseconds (24 days).
const POLL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Blocks until `fd` is readable, `timeout` is over (or a day is) or a signal came in (`EINTR`).
pub(super) fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<(), Errno> {
    let left = timeout.unwrap_or(POLL_MAX).min(POLL_MAX);
    let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&left)).map(drop)
}

#[cfg(target_os = "linux")]
mod eventfd {
    use super::{AsFd, BorrowedFd, Errno, OwnedFd, io};
    use rustix::event::{EventfdFlags, eventfd};

    /// See the file's head.
    #[derive(Debug)]
    pub(in super::super) struct Signal(OwnedFd);

    impl Signal {
        pub(in super::super) fn new() -> Result<Self, Errno> {
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        /// Makes the fd readable. One call per [`clear`](Self::clear).
        pub(in super::super) fn raise(&self) {
            let written = io::retry_on_intr(|| io::write(&self.0, &1u64.to_ne_bytes()));
            debug_assert_eq!(written, Ok(8), "an eventfd takes a one unless it is at its maximum");
        }

        /// Makes the fd unreadable. Finding it so already is no error: the host may have read it.
        pub(in super::super) fn clear(&self) {
            let _ = io::retry_on_intr(|| io::read(&self.0, &mut [0u8; 8]));
        }
    }
}

// Built for tests everywhere, so that it is not first compiled on somebody else's machine.
#[cfg(any(test, not(target_os = "linux")))]
mod by_pipe {
    use super::{AsFd, BorrowedFd, Errno, OwnedFd, io};
    use rustix::{
        fs::{OFlags, fcntl_getfl, fcntl_setfl},
        io::{FdFlags, fcntl_setfd},
        pipe::pipe,
    };

    /// See the file's head.
    #[derive(Debug)]
    pub(in super::super) struct Signal {
        reader: OwnedFd,
        writer: OwnedFd,
    }

    impl Signal {
        pub(in super::super) fn new() -> Result<Self, Errno> {
            let (reader, writer) = pipe()?;
            for end in [&reader, &writer] {
                fcntl_setfd(end, FdFlags::CLOEXEC)?;
                fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
            }
            Ok(Self { reader, writer })
        }

        pub(in super::super) fn fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }

        /// Makes the fd readable. One call per [`clear`](Self::clear).
        pub(in super::super) fn raise(&self) {
            let written = io::retry_on_intr(|| io::write(&self.writer, &[1]));
            debug_assert_eq!(written, Ok(1), "a pipe holds more than the one byte");
        }

        /// Makes the fd unreadable. Finding it so already is no error: the host may have read it.
        pub(in super::super) fn clear(&self) {
            let _ = io::retry_on_intr(|| io::read(&self.reader, &mut [0u8; 8]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(fd: BorrowedFd<'_>) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&now)) == Ok(1)
    }

    macro_rules! a_signal_is_readable_from_raise_to_clear {
        ($($name:ident: $signal:ty),*) => {$(
            #[test]
            fn $name() {
                let signal = <$signal>::new().unwrap();
                for _ in 0..3 {
                    assert!(!readable(signal.fd()));
                    signal.raise();
                    wait_readable(signal.fd(), None).unwrap();
                    assert!(readable(signal.fd()));
                    signal.clear();
                }
                signal.clear();
                assert!(!readable(signal.fd()));
            }
        )*};
    }

    a_signal_is_readable_from_raise_to_clear! {
        the_signal_of_this_system_is_readable_from_raise_to_clear: Signal,
        a_pipe_is_readable_from_raise_to_clear: by_pipe::Signal
    }
}
