//! The little of protobuf's encoding that is needed here: the fields of a message, one after the other.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    /// A text, bytes, or a message of its own.
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Bytes that are no message. The groups of old count as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no message of protobuf")]
pub(super) struct Malformed;

/// Reads the fields of a message, each with its number. Ends after the first that is malformed.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(*self.array()?)),
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.array::<1>()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Appends a field that is a number.
pub(super) fn put_varint(to: &mut Vec<u8>, number: u32, value: u64) {
    varint(to, u64::from(number) << 3);
    varint(to, value);
}

/// Appends a field that is a text, bytes, or a message of its own.
pub(super) fn put_bytes(to: &mut Vec<u8>, number: u32, value: &[u8]) {
    varint(to, u64::from(number) << 3 | 2);
    varint(to, value.len() as u64);
    to.extend(value);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_of_field_is_read() {
        let message = [
            &[0x08, 0xac, 0x02][..],
            &[0x11, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0x1a, 2, b'h', b'i'],
            &[0x25, 2, 0, 0, 0],
        ];
        let message = message.concat();
        let fields: Result<Vec<_>, _> = Fields::new(&message).collect();
        let expected = [
            (1, Value::Varint(300)),
            (2, Value::Fixed64(1)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(2)),
        ];
        assert_eq!(fields.unwrap(), expected);
    }

    #[test]
    fn what_is_cut_or_no_field_is_malformed_and_ends_the_reading() {
        for message in [
            &[0x08][..],
            &[0x0a, 5, b'x'],
            &[0x0b],
            &[0x00, 0x00],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            let fields: Vec<_> = Fields::new(message).collect();
            assert_eq!(fields, [Err(Malformed)], "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Fields::new(&message).count();
        }

        #[test]
        fn what_is_written_is_read(number in 1u32..536_870_911, value: u64, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut message = Vec::new();
            put_varint(&mut message, number, value);
            put_bytes(&mut message, number, &bytes);
            let fields: Result<Vec<_>, _> = Fields::new(&message).collect();
            prop_assert_eq!(fields.unwrap(), [(number, Value::Varint(value)), (number, Value::Bytes(&bytes))]);
        }
    }
}
