//! Packets out of the bytes of a gRPC stream, however they are cut. No I/O.

use super::message::{PREFIX, Packet};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Why the bytes of a peer are no packets. The stream is of no use after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::tunnel) enum Malformed {
    #[error("a message is compressed, which was not agreed on")]
    Compressed,
    #[error("a message announces {length} bytes, of {limit} at most")]
    TooLong { length: u32, limit: u32 },
    #[error("a message is no packet: {0}")]
    Packet(#[from] prost::DecodeError),
}

/// Bytes of a stream that were not understood yet: less than one message, and what came after it.
#[derive(Debug)]
pub(in crate::tunnel) struct Reader {
    chunks: Chunks,
    /// The length of the message that has begun.
    length: Option<usize>,
    limit: u32,
}

impl Reader {
    /// Refuses messages longer than `limit`.
    pub(in crate::tunnel) fn new(limit: u32) -> Self {
        Self { chunks: Chunks::default(), length: None, limit }
    }

    pub(in crate::tunnel) fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next packet; `None` until more has come.
    pub(in crate::tunnel) fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        let length = match self.length {
            Some(length) => length,
            None if self.chunks.left < PREFIX => return Ok(None),
            None => {
                if self.chunks.get_u8() != 0 {
                    return Err(Malformed::Compressed);
                }
                let length = self.chunks.get_u32();
                if length > self.limit {
                    return Err(Malformed::TooLong { length, limit: self.limit });
                }
                *self.length.insert(length as usize)
            }
        };
        if self.chunks.left < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(Packet::parse((&mut self.chunks).take(length))?))
    }

    /// Whether the stream may end here.
    pub(in crate::tunnel) fn is_between_messages(&self) -> bool {
        self.chunks.left == 0 && self.length.is_none()
    }
}

/// Pieces of bytes in a row. Taking some out of one piece copies nothing.
#[derive(Debug, Default)]
struct Chunks {
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Chunks {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.left += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.left, "advanced past the end");
        self.left -= count;
        while let Some(front) = self.pieces.front_mut().filter(|_| count > 0) {
            let of_front = count.min(front.len());
            front.advance(of_front);
            count -= of_front;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        assert!(count <= self.left, "taken past the end");
        match self.pieces.front_mut() {
            Some(front) if front.len() >= count => {
                let taken = front.split_to(count);
                self.left -= count;
                if front.is_empty() {
                    self.pieces.pop_front();
                }
                taken
            }
            _ => {
                let mut taken = BytesMut::with_capacity(count);
                while taken.len() < count {
                    let piece = self.chunk();
                    let some = piece.len().min(count - taken.len());
                    taken.extend_from_slice(&piece[..some]);
                    self.advance(some);
                }
                taken.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: impl IntoIterator<Item = Bytes>) -> Result<Vec<Packet>, Malformed> {
        let mut reader = Reader::new(1 << 20);
        let mut packets = Vec::new();
        for chunk in chunks {
            reader.push(chunk);
            while let Some(packet) = reader.next()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn what_is_too_long_compressed_or_no_packet_is_refused_before_it_is_held() {
        let mut reader = Reader::new(10);
        reader.push(Bytes::from_static(&[0, 0, 0, 0, 11]));
        assert_eq!(reader.next(), Err(Malformed::TooLong { length: 11, limit: 10 }));
        assert_eq!(read([Bytes::from_static(&[1, 0, 0, 0, 0])]), Err(Malformed::Compressed));
        let no_packet = read([Bytes::from_static(&[0, 0, 0, 0, 1, 0xff])]);
        assert!(matches!(no_packet, Err(Malformed::Packet(_))), "{no_packet:?}");
    }

    #[test]
    fn data_in_one_piece_is_not_copied() {
        let sent = Bytes::from(vec![7; 100_000]);
        let mut head = BytesMut::new();
        let data = Packet::data(3, sent.clone()).write_to(&mut head).unwrap();
        assert_eq!(data.as_ptr(), sent.as_ptr());
        let read = read([head.freeze(), data]).unwrap().remove(0);
        assert_eq!((read.data.as_ptr(), read.data.len()), (sent.as_ptr(), sent.len()));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            packets in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..6000)), 0..6),
            cuts in prop::collection::vec(0usize..30_000, 0..60),
        ) {
            let packets: Vec<_> = packets.into_iter().map(|(id, data)| Packet::data(id, data.into())).collect();
            let all = Bytes::from(packets.iter().cloned().flat_map(Packet::into_message).collect::<Vec<_>>());
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|ends| all.slice(ends[0]..ends[1]));
            prop_assert_eq!(read(chunks), Ok(packets));
        }

        #[test]
        fn arbitrary_bytes_are_harmless(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..40),
        ) {
            let whole = Bytes::from(chunks.concat());
            let in_parts = read(chunks.into_iter().map(Bytes::from));
            prop_assert_eq!(in_parts, read([whole]));
        }
    }
}
