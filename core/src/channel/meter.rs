//! Counts the messages in a body as its bytes pass, and sees one that is too long before it is there.

const PREFIX: usize = 5;

/// Where in the sequence of messages the next byte belongs.
#[derive(Debug)]
pub(super) struct MessageMeter {
    limit: u32,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Prefix { have: usize, bytes: [u8; PREFIX] },
    Message { left: u32 },
}

/// A message that is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    pub(super) length: u32,
    pub(super) limit: u32,
}

impl MessageMeter {
    /// `limit` is the longest message, in bytes as they are sent.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, place: Place::Prefix { have: 0, bytes: [0; PREFIX] } }
    }

    /// These bytes pass. Tells how many messages began.
    ///
    /// # Errors
    ///
    /// [`TooLong`] as soon as the length of a message is there.
    pub(super) fn on_bytes(&mut self, mut bytes: &[u8]) -> Result<u32, TooLong> {
        let mut begun = 0;
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Prefix { have, bytes: prefix } => {
                    let n = bytes.len().min(PREFIX - *have);
                    prefix[*have..*have + n].copy_from_slice(&bytes[..n]);
                    *have += n;
                    bytes = &bytes[n..];
                    if *have == PREFIX {
                        let length =
                            u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
                        if length > self.limit {
                            return Err(TooLong { length, limit: self.limit });
                        }
                        begun += 1;
                        self.skip(length);
                    }
                }
                Place::Message { left } => {
                    let n = bytes.len().min(*left as usize);
                    *left -= n as u32;
                    bytes = &bytes[n..];
                    let left = *left;
                    self.skip(left);
                }
            }
        }
        Ok(begun)
    }

    fn skip(&mut self, left: u32) {
        self.place = match left {
            0 => Place::Prefix { have: 0, bytes: [0; PREFIX] },
            left => Place::Message { left },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend(vec![9; length]);
        bytes
    }

    #[test]
    fn one_byte_too_many_is_told_with_the_prefix_alone() {
        let mut meter = MessageMeter::new(100);
        assert_eq!(meter.on_bytes(&message(100)), Ok(1));
        let expected = TooLong { length: 101, limit: 100 };
        assert_eq!(meter.on_bytes(&message(101)[..PREFIX]), Err(expected));
    }

    proptest! {
        #[test]
        fn how_messages_are_cut_changes_nothing(
            lengths in prop::collection::vec(0usize..50, 0..10),
            cuts in prop::collection::vec(0usize..600, 0..20),
        ) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut meter = MessageMeter::new(49);
            let begun: u32 = cuts.windows(2).map(|ends| meter.on_bytes(&bytes[ends[0]..ends[1]]).unwrap()).sum();
            prop_assert_eq!(begun as usize, lengths.len());
        }

        #[test]
        fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300), limit: u32) {
            let _ = MessageMeter::new(limit).on_bytes(&bytes);
        }
    }
}
