//! A number of bytes that something takes, or that is never reached.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A number of bytes after which something begins, or never.
///
/// `After(0)` and `Never` are two values, and neither means "not set": a field that is not set holds its documented
/// default. In JSON it is a number of bytes, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteLimit {
    /// The limit is reached once there were more bytes than this.
    After(u64),
    /// The limit is never reached.
    Never,
}

impl ByteLimit {
    /// The bytes that do not reach it yet, if anything does.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::After(bytes) => Some(bytes),
            Self::Never => None,
        }
    }
}

impl From<u64> for ByteLimit {
    fn from(bytes: u64) -> Self {
        Self::After(bytes)
    }
}

impl fmt::Display for ByteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(bytes) => bytes.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Serialize for ByteLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::After(bytes) => serializer.serialize_u64(*bytes),
            Self::Never => serializer.serialize_str("never"),
        }
    }
}

impl<'de> Deserialize<'de> for ByteLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = ByteLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or \"never\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteLimit, E> {
        Ok(ByteLimit::After(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteLimit, E> {
        let found = de::Unexpected::Signed(bytes);
        let bytes = u64::try_from(bytes).map_err(|_| E::invalid_value(found, &self))?;
        Ok(ByteLimit::After(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteLimit, E> {
        match text {
            "never" => Ok(ByteLimit::Never),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_never_are_two_values_and_nothing_else_is_read() {
        for (text, limit) in [
            ("0", ByteLimit::After(0)),
            ("1048576", ByteLimit::After(1 << 20)),
            ("\"never\"", ByteLimit::Never),
        ] {
            assert_eq!(serde_json::from_str::<ByteLimit>(text).unwrap(), limit);
            assert_eq!(serde_json::to_string(&limit).unwrap(), text);
        }
        for text in ["-1", "1.5", "\"0\"", "\"soon\"", "null", "[]"] {
            assert!(serde_json::from_str::<ByteLimit>(text).is_err(), "{text}");
        }
    }
}
