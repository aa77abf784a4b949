//! A text that is never shown: private keys and tokens.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use zeroize::Zeroizing;

/// What stands in the place of a secret wherever one would be shown.
const REDACTED: &str = "[redacted]";

/// A text that `Debug`, JSON and logs show as `[redacted]`, and that is overwritten when it is dropped.
///
/// JSON that was written from one cannot be read back: `[redacted]` is refused, so that a document without its
/// secret is an error and not another secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self::from(text.into())
    }

    /// Whether `given` is this secret, in a time that depends on the lengths alone.
    pub fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        // Kept from the optimiser, which might stop at the first difference otherwise.
        std::hint::black_box(differences) == 0 && own.len() == given.len()
    }

    /// The text itself. Where it is copied to, nothing overwrites it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == REDACTED {
            return Err(D::Error::custom("the secret was left out when this document was written"));
        }
        Ok(Self::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere_and_known_to_who_asks() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
    }

    #[test]
    fn what_was_redacted_is_no_secret() {
        assert!(serde_json::from_str::<Secret>("\"[redacted]\"").is_err());
    }

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        let secret = Secret::new("hunter2");
        assert!(secret.is(b"hunter2"));
        for other in ["", "hunter", "hunter22", "Hunter2", "xunter2"] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
    }
}
