//! Cuts the bytes of an HTTP/2 connection into frames as they pass; no frame is kept whole. RFC 9113, 4.1.

const HEAD: usize = 9;

/// What a client sends before its first frame, in bytes.
pub(super) const PREFACE: usize = 24;

/// Types of frames.
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;

/// A flag of SETTINGS and PING: it answers one.
pub(super) const ACK: u8 = 0x1;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Bytes of its payload.
    pub(super) length: usize,
}

/// A part of a frame. Each frame has a head, the parts of its payload, and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Head(Head),
    Payload(&'a [u8]),
    End(Head),
}

/// Where in the stream of frames the next byte belongs.
#[derive(Debug)]
pub(super) struct FrameReader {
    head: [u8; HEAD],
    have: usize,
    /// The frame whose payload passes; `None` before the first.
    current: Option<Head>,
    /// Bytes until the next head.
    left: usize,
}

impl FrameReader {
    /// The first frame comes behind so many bytes.
    pub(super) fn behind(left: usize) -> Self {
        Self { head: [0; HEAD], have: 0, current: None, left }
    }

    /// Whether the next byte begins a frame.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// These bytes passed.
    pub(super) fn on_bytes(&mut self, mut bytes: &[u8], mut found: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let wanted = if self.left > 0 { self.left } else { HEAD - self.have };
            let (passed, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.left -= passed.len();
                if self.current.is_some() {
                    found(Piece::Payload(passed));
                }
            } else {
                self.head[self.have..self.have + passed.len()].copy_from_slice(passed);
                self.have += passed.len();
                if self.have < HEAD {
                    return;
                }
                found(Piece::Head(self.begin()));
            }
            if self.left == 0
                && let Some(head) = self.current.take()
            {
                found(Piece::End(head));
            }
        }
    }

    fn begin(&mut self) -> Head {
        let [a, b, c, kind, flags, s, t, u, v] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes([s, t, u, v]) & (u32::MAX >> 1);
        let head = Head { kind, flags, stream, length };
        (self.have, self.left, self.current) = (0, length, Some(head));
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_found_however_bytes_are_cut(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0u32..1 << 31, 0usize..40), 0..8),
            cuts in prop::collection::vec(0usize..400, 0..10),
        ) {
            let mut bytes = vec![9; PREFACE];
            let mut expected = Vec::new();
            for (kind, flags, stream, length) in &frames {
                bytes.extend([0, 0, *length as u8, *kind, *flags]);
                bytes.extend(stream.to_be_bytes());
                bytes.extend(vec![7; *length]);
                let head = Head { kind: *kind, flags: *flags, stream: *stream, length: *length };
                expected.push((head, vec![7; *length]));
            }
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut reader, mut begun, mut found) = (FrameReader::behind(PREFACE), None, Vec::new());
            for ends in cuts.windows(2) {
                reader.on_bytes(&bytes[ends[0]..ends[1]], |piece| match piece {
                    Piece::Head(head) => begun = Some((head, Vec::new())),
                    Piece::Payload(part) => begun.as_mut().unwrap().1.extend_from_slice(part),
                    Piece::End(head) => {
                        let whole = begun.take().unwrap();
                        assert_eq!(whole.0, head);
                        found.push(whole);
                    }
                });
            }
            prop_assert_eq!(found, expected);
            prop_assert!(reader.is_between());
        }
    }
}
