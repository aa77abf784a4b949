//! How the ends of a pipe leave, and what each then sees; no memory, no waker, no waiting.

use std::{io, task::Poll};

/// What one end has given up, of the direction that it writes and the one that it reads.
///
/// ```text
///                  finish                      the peer reads what is left, then 0
///   here ──────────────────────▶ finished      own writes: EPIPE
///     │            refuse
///     ├────────────────────────▶ refused       the peer's writes: EPIPE
///     │                                        own reads: 0, what was left is gone
///     │            abort
///     └────────────────────────▶ aborted       ECONNRESET for the peer, ENOTCONN for itself
/// ```
///
/// `finished` and `refused` belong to one direction each, so both may hold; `aborted` is above both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left(u8);

impl Left {
    /// Will write no more.
    pub(super) const FINISHED: Self = Self(1);
    /// Will read no more.
    pub(super) const REFUSED: Self = Self(2);
    /// Has broken the pipe off.
    pub(super) const ABORTED: Self = Self(4);

    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }
}

impl std::ops::BitOr for Left {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What stops the writes of an end that has left as `mine` says, to a peer that has left as `theirs` says.
#[inline]
pub(super) fn stops_writing(mine: Left, theirs: Left) -> Option<io::Error> {
    if mine.has(Left::FINISHED | Left::ABORTED) || theirs.has(Left::REFUSED | Left::ABORTED) {
        Some(aborted(mine, theirs).unwrap_or_else(|| io::Error::from_raw_os_error(libc::EPIPE)))
    } else {
        None
    }
}

/// What a read gives that does not get to the bytes, if it does not.
#[inline]
pub(super) fn stops_reading(mine: Left, theirs: Left) -> Option<io::Result<usize>> {
    if mine.has(Left::REFUSED | Left::ABORTED) || theirs.has(Left::ABORTED) {
        Some(aborted(mine, theirs).map_or(Ok(0), Err))
    } else {
        None
    }
}

/// What a read gives that has found no byte, with `theirs` seen before it looked.
pub(super) fn without_bytes(theirs: Left) -> Poll<()> {
    if theirs.has(Left::FINISHED) { Poll::Ready(()) } else { Poll::Pending }
}

/// The error of an abort. An end that has aborted sees its own.
fn aborted(mine: Left, theirs: Left) -> Option<io::Error> {
    let code = match (mine.has(Left::ABORTED), theirs.has(Left::ABORTED)) {
        (true, _) => libc::ENOTCONN,
        (false, true) => libc::ECONNRESET,
        (false, false) => return None,
    };
    Some(io::Error::from_raw_os_error(code))
}

#[cfg(all(test, not(trunkline_loom)))]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn every_end_sees_what_its_state_promises() {
        let (here, finished, refused, aborted) =
            (Left::default(), Left::FINISHED, Left::REFUSED, Left::ABORTED);
        let (broken, reset, gone) = (
            Some(ErrorKind::BrokenPipe),
            Some(ErrorKind::ConnectionReset),
            Some(ErrorKind::NotConnected),
        );
        // How the writer and the reader of one direction have left, and what each sees.
        let cases = [
            (here, here, None, None),
            (finished, here, broken, None),
            (here, refused, broken, Some(Ok(0))),
            (finished, refused, broken, Some(Ok(0))),
            (refused, finished, None, None),
            (aborted, here, gone, Some(Err(ErrorKind::ConnectionReset))),
            (aborted | finished, refused, gone, Some(Err(ErrorKind::ConnectionReset))),
            (here, aborted, reset, Some(Err(ErrorKind::NotConnected))),
            (finished | refused, aborted | refused, reset, Some(Err(ErrorKind::NotConnected))),
            (aborted, aborted, gone, Some(Err(ErrorKind::NotConnected))),
        ];
        for (writer, reader, write, read) in cases {
            let name = format!("{writer:?} to {reader:?}");
            let kind = |error: io::Error| error.kind();
            assert_eq!(stops_writing(writer, reader).map(kind), write, "write, {name}");
            let seen = stops_reading(reader, writer).map(|answer| answer.map_err(kind));
            assert_eq!(seen, read, "read, {name}");
        }
    }

    #[test]
    fn only_a_finished_writer_makes_an_end_of_no_bytes() {
        assert!(without_bytes(Left::default()).is_pending());
        assert!(without_bytes(Left::REFUSED).is_pending());
        assert!(without_bytes(Left::FINISHED | Left::REFUSED).is_ready());
    }
}
