//! Reads fields off the front of bytes; every read says whether there was enough.

/// What is left to read. A read that fails takes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned number of `length` bytes, at most 8, the high byte first.
    fn number(&mut self, length: usize) -> Option<u64> {
        let bytes = self.take(length)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|number| number as u16)
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.number(3).map(|number| number as usize)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.number(4).map(|number| number as u32)
    }

    /// Bytes behind their own length of one byte.
    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        self.behind(Self::u8)
    }

    /// Bytes behind their own length of two bytes.
    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        self.behind(Self::u16)
    }

    fn behind<N: Into<usize>>(
        &mut self,
        length: impl FnOnce(&mut Self) -> Option<N>,
    ) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = length(&mut ahead)?.into();
        let taken = ahead.take(length)?;
        *self = ahead;
        Some(taken)
    }

    /// A number as QUIC writes it: the two high bits say in how many bytes.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let length = 1 << (first >> 6);
        let mask = u64::MAX >> (64 - (8 * length - 2));
        self.number(length).map(|number| number & mask)
    }

    /// Text up to a NUL, which is taken too.
    pub(crate) fn until_nul(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| *byte == 0)?;
        let text = self.take(length)?;
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_varint_has_the_length_that_its_first_bits_say() {
        for (bytes, number) in [
            (&[0x25][..], 37),
            (&[0x40, 0x25], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        ] {
            assert_eq!(Reader::new(bytes).varint(), Some(number));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).varint(), None);
        }
    }

    proptest! {
        #[test]
        fn a_read_that_fails_takes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let whole = Reader::new(&bytes);
            let tries: [fn(&mut Reader<'_>) -> bool; 7] = [
                |reader| reader.u16().is_some(),
                |reader| reader.u24().is_some(),
                |reader| reader.u32().is_some(),
                |reader| reader.short().is_some(),
                |reader| reader.long().is_some(),
                |reader| reader.varint().is_some(),
                |reader| reader.until_nul().is_some(),
            ];
            for attempt in tries {
                let mut reader = whole;
                let went = attempt(&mut reader);
                prop_assert_eq!(went, reader.rest().len() < bytes.len());
            }
        }
    }
}
