//! The frames in Initial packets: pieces of the handshake, in any order, some of them twice.

use crate::reader::Reader;
use std::collections::BTreeMap;

/// Bytes of a handshake that are kept; a hello is shorter.
const LONGEST: usize = 64 << 10;

/// The handshake of a client, as far as its pieces came.
#[derive(Debug, Default)]
pub(super) struct Handshake(BTreeMap<usize, Vec<u8>>);

impl Handshake {
    /// Takes the pieces out of a packet's payload; `None` if it holds what no client sends.
    pub(super) fn add(&mut self, payload: &[u8]) -> Option<()> {
        const PADDING: u64 = 0;
        const PING: u64 = 1;
        const ACK: u64 = 2;
        const ACK_ECN: u64 = 3;
        const CRYPTO: u64 = 6;

        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            match reader.varint()? {
                PADDING | PING => {}
                kind @ (ACK | ACK_ECN) => skip_ack(&mut reader, kind == ACK_ECN)?,
                CRYPTO => self.piece(&mut reader)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn piece(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let start = usize::try_from(reader.varint()?).ok()?;
        let length = usize::try_from(reader.varint()?).ok()?;
        let bytes = reader.take(length)?;
        if start.checked_add(length)? > LONGEST {
            return None;
        }
        let known = self.0.entry(start).or_default();
        if known.len() < bytes.len() {
            *known = bytes.to_vec();
        }
        Some(())
    }

    /// The bytes from the start up to the first that is missing.
    pub(super) fn beginning(&self) -> Vec<u8> {
        let mut whole = Vec::new();
        for (start, bytes) in &self.0 {
            let Some(known) = whole.len().checked_sub(*start) else { break };
            whole.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
        whole
    }
}

fn skip_ack(reader: &mut Reader<'_>, has_counts: bool) -> Option<()> {
    let (_largest, _delay) = (reader.varint()?, reader.varint()?);
    let ranges = reader.varint()?;
    let _first = reader.varint()?;
    // A count that lies ends with the payload.
    for _ in 0..ranges {
        let (_gap, _length) = (reader.varint()?, reader.varint()?);
    }
    if has_counts {
        let _counts = (reader.varint()?, reader.varint()?, reader.varint()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(start: usize, bytes: &[u8]) -> Vec<u8> {
        let two = |number: usize| [(number >> 8) as u8 | 0x40, number as u8];
        [&[6][..], &two(start), &two(bytes.len()), bytes].concat()
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_and_overlap_make_the_same_whole(
            whole in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..40),
            shuffle in any::<u64>(),
        ) {
            let mut pieces = vec![(0, whole.len() / 2), (whole.len() / 2, whole.len())];
            for (a, b) in cuts {
                let (a, b) = (a as usize % whole.len(), b as usize % whole.len());
                pieces.push((a.min(b), a.max(b)));
            }
            pieces.sort_by_key(|(a, b)| (*a as u64 * 31 + *b as u64).wrapping_mul(shuffle | 1));
            let mut handshake = Handshake::default();
            for (start, end) in pieces {
                handshake.add(&piece(start, &whole[start..end])).unwrap();
            }
            prop_assert_eq!(handshake.beginning(), whole);
        }

        #[test]
        fn no_payload_makes_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut handshake = Handshake::default();
            let _ = handshake.add(&payload);
            let _ = handshake.beginning();
        }
    }

    #[test]
    fn acknowledgements_and_padding_are_passed_over() {
        let mut handshake = Handshake::default();
        let payload =
            [&[0, 0, 1, 2, 5, 0, 1, 0, 0, 0][..], &[3, 5, 0, 0, 0, 1, 2, 3], &piece(0, b"ab")];
        handshake.add(&payload.concat()).unwrap();
        assert_eq!(handshake.beginning(), b"ab");
    }

    #[test]
    fn a_piece_beyond_what_a_hello_needs_and_frames_of_no_client_are_refused() {
        let mut handshake = Handshake::default();
        // An offset of 2^30 - 1.
        assert!(handshake.add(&[6, 0xbf, 0xff, 0xff, 0xff, 1, 7]).is_none());
        assert!(handshake.add(&[0x1e]).is_none());
    }
}
