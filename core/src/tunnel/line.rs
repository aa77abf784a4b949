//! Bytes in a row that wait: as they came, or gathered where they are small.

use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, io::IoSlice};

/// Pieces below this length are gathered: kept as they came, each would hold on to far more than its bytes.
const SMALL: usize = 4096;

/// A row of bytes. It has no bound of its own: who fills it asks for its length.
#[derive(Debug, Default)]
pub(super) struct Line {
    pieces: VecDeque<Bytes>,
    /// What came after the pieces.
    gathered: BytesMut,
    length: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps a piece, which is copied if it is small.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SMALL {
            return self.gathered.extend_from_slice(&piece);
        }
        if !self.gathered.is_empty() {
            self.pieces.push_back(self.gathered.split().freeze());
        }
        self.pieces.push_back(piece);
    }

    /// Copies the first `count` bytes of `bufs`, or all if there are fewer; says how many.
    pub(super) fn copy(&mut self, bufs: &[IoSlice<'_>], count: usize) -> usize {
        let mut left = count;
        for buf in bufs {
            let some = buf.len().min(left);
            self.gathered.extend_from_slice(&buf[..some]);
            left -= some;
        }
        self.length += count - left;
        count - left
    }

    /// At most `max` bytes from the front, without a copy; none if there are none.
    pub(super) fn pop(&mut self, max: usize) -> Bytes {
        let bytes = match self.pieces.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.pieces.pop_front().unwrap_or_default(),
            None => self.gathered.split_to(max.min(self.gathered.len())).freeze(),
        };
        self.length -= bytes.len();
        bytes
    }

    /// All of it in one piece, `max` bytes at most.
    pub(super) fn pop_whole(&mut self, max: usize) -> Bytes {
        let wanted = max.min(self.length);
        let first = self.pop(wanted);
        if first.len() == wanted {
            return first;
        }
        let mut whole = BytesMut::with_capacity(wanted);
        whole.extend_from_slice(&first);
        while whole.len() < wanted {
            let next = self.pop(wanted - whole.len());
            whole.extend_from_slice(&next);
        }
        whole.freeze()
    }

    /// Throws it all away; says how many bytes it was.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(self).length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Push(usize),
        Copy(usize, usize),
        Pop(usize),
        PopWhole(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        let size = || prop_oneof![0usize..20, 4000usize..9000];
        prop_oneof![
            size().prop_map(Act::Push),
            (size(), size()).prop_map(|(one, two)| Act::Copy(one, two)),
            size().prop_map(Act::Pop),
            size().prop_map(Act::PopWhole),
        ]
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(acts in prop::collection::vec(act(), 0..60)) {
            let (mut line, mut next, mut expected) = (Line::default(), 0_u8, VecDeque::new());
            let mut make = |count: usize, expected: &mut VecDeque<u8>| {
                let made: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                expected.extend(&made);
                made
            };
            for act in acts {
                match act {
                    Act::Push(count) => line.push(make(count, &mut expected).into()),
                    Act::Copy(one, two) => {
                        let made = make(one + two, &mut expected);
                        let bufs = [IoSlice::new(&made[..one]), IoSlice::new(&made[one..])];
                        prop_assert_eq!(line.copy(&bufs, usize::MAX), one + two);
                    }
                    Act::Pop(max) => {
                        let got = line.pop(max);
                        prop_assert!(got.len() <= max && (!got.is_empty() || max == 0 || expected.is_empty()));
                        prop_assert_eq!(expected.drain(..got.len()).collect::<Vec<_>>(), got);
                    }
                    Act::PopWhole(max) => {
                        let got = line.pop_whole(max);
                        prop_assert_eq!(got.len(), max.min(expected.len()));
                        prop_assert_eq!(expected.drain(..got.len()).collect::<Vec<_>>(), got);
                    }
                }
                prop_assert_eq!(line.len(), expected.len());
            }
        }
    }
}
