//! Watches the frames of HTTP/2 as their bytes pass: what the library below does not tell.
//!
//! When the first SETTINGS have come, which streams a GOAWAY leaves out and why it was sent, and how many
//! calls the peer takes at once. Only headers and the payloads of SETTINGS and GOAWAY are looked at.

use super::frame_reader::{ACK, FrameReader, GOAWAY, Head, Piece, SETTINGS};

/// Payload that is kept of one frame, in bytes; the rest is passed over. Enough for every setting there is,
/// and for the reason that a peer gives in a GOAWAY.
const KEPT: usize = 256;

const MAX_CONCURRENT_STREAMS: u16 = 0x3;

/// What passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// SETTINGS; `max_streams` where it says how many streams may be open.
    Settings { max_streams: Option<u32> },
    /// The peer takes no streams above `last_stream`.
    GoAway(GoAway),
}

/// Why, and from where on, a peer takes no more streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoAway {
    pub(super) last_stream: u32,
    pub(super) code: u32,
    /// At most 248 bytes of the peer's explanation.
    pub(super) reason: Box<[u8]>,
}

/// Looks at the frames of a server.
#[derive(Debug)]
pub(super) struct FrameWatch {
    reader: FrameReader,
    /// Of the payload that passes, where it matters.
    kept: Vec<u8>,
}

impl FrameWatch {
    /// Watches what a server sends.
    pub(super) fn of_server() -> Self {
        Self { reader: FrameReader::behind(0), kept: Vec::new() }
    }

    /// These bytes passed.
    pub(super) fn on_bytes(&mut self, bytes: &[u8], seen: &mut impl FnMut(Seen)) {
        let Self { reader, kept } = self;
        reader.on_bytes(bytes, |piece| match piece {
            Piece::Head(Head { kind: SETTINGS | GOAWAY, length, .. }) => {
                *kept = Vec::with_capacity(length.min(KEPT));
            }
            Piece::Payload(part) => {
                let room = kept.capacity() - kept.len();
                kept.extend_from_slice(&part[..part.len().min(room)]);
            }
            Piece::End(head) => {
                if let Some(told) = told(head, &std::mem::take(kept)) {
                    seen(told);
                }
            }
            Piece::Head(_) => {}
        });
    }
}

/// What a frame says, if it is one that is looked at.
fn told(head: Head, payload: &[u8]) -> Option<Seen> {
    match head.kind {
        SETTINGS if head.flags & ACK == 0 => {
            Some(Seen::Settings { max_streams: max_streams(payload) })
        }
        GOAWAY => goaway(payload).map(Seen::GoAway),
        _ => None,
    }
}

/// The last value that counts, if a peer says it twice.
fn max_streams(payload: &[u8]) -> Option<u32> {
    let settings = payload.as_chunks::<6>().0;
    let is_limit =
        |setting: &&[u8; 6]| u16::from_be_bytes([setting[0], setting[1]]) == MAX_CONCURRENT_STREAMS;
    let setting = settings.iter().rev().find(is_limit)?;
    Some(u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]))
}

fn goaway(payload: &[u8]) -> Option<GoAway> {
    let (last_stream, rest) = payload.split_first_chunk::<4>()?;
    let (code, reason) = rest.split_first_chunk::<4>()?;
    Some(GoAway {
        last_stream: u32::from_be_bytes(*last_stream) & (u32::MAX >> 1),
        code: u32::from_be_bytes(*code),
        reason: reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn seen_in<'a>(watch: &mut FrameWatch, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let mut seen = Vec::new();
        for part in parts {
            watch.on_bytes(part, &mut |one| seen.push(one));
        }
        seen
    }

    fn conversation() -> (Vec<u8>, Vec<Seen>) {
        let mut bytes = frame(SETTINGS, 0, &[0, 4, 0, 0, 1, 0, 0, 3, 0, 0, 0, 7]);
        bytes.extend(frame(SETTINGS, ACK, &[]));
        bytes.extend(frame(0, 0, &[7; 1000]));
        bytes.extend(frame(0x6, 0, &[1; 8]));
        bytes.extend(frame(0x6, ACK, &[1; 8]));
        bytes.extend(frame(SETTINGS, 0, &[]));
        let mut goaway = vec![0x80, 0, 0, 9, 0, 0, 0, 11];
        goaway.extend(b"too_many_pings");
        bytes.extend(frame(GOAWAY, 0, &goaway));
        let expected = vec![
            Seen::Settings { max_streams: Some(7) },
            Seen::Settings { max_streams: None },
            Seen::GoAway(GoAway { last_stream: 9, code: 11, reason: (*b"too_many_pings").into() }),
        ];
        (bytes, expected)
    }

    #[test]
    fn a_goaway_that_is_too_short_is_no_goaway_and_a_long_one_is_cut() {
        let mut watch = FrameWatch::of_server();
        assert_eq!(seen_in(&mut watch, [&frame(GOAWAY, 0, &[0; 7])[..]]), []);
        let seen = seen_in(&mut watch, [&frame(GOAWAY, 0, &[1; 5000])[..]]);
        assert!(matches!(&seen[..], [Seen::GoAway(goaway)] if goaway.reason.len() == 248));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0usize..1200, 0..40)) {
            let (bytes, expected) = conversation();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(seen_in(&mut FrameWatch::of_server(), parts), expected);
        }

        #[test]
        fn arbitrary_bytes_are_harmless(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40)) {
            let slices: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            let mut whole = FrameWatch::of_server();
            let in_parts = seen_in(&mut FrameWatch::of_server(), slices.iter().copied());
            prop_assert_eq!(in_parts, seen_in(&mut whole, [&parts.concat()[..]]));
        }
    }
}
