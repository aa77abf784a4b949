//! The first words of a tunnel: who the agent is and what proves it, and what the hub says to that. No I/O.
//!
//! ```text
//! hello    "TLTN"  version  0     length (2)  fields: tag  length (2)  value …
//! answer   "TLTN"  version  code  length (2)  text
//! ```
//!
//! Tags from 128 on may be skipped by who does not know them; others may not. What follows on the connection
//! belongs to the carrier.

use crate::{address::is_cluster_name, secret::Secret};
use std::fmt;

/// The version that this library speaks, and the only one.
pub(super) const VERSION: u8 = 1;
/// What both ends agree on where TLS carries the tunnel.
pub(super) const ALPN: &str = "trunkline-tunnel/1";
/// Length of the head of a hello and of an answer.
pub(super) const HEAD: usize = 8;
/// No hello and no answer is longer than this after its head.
pub(super) const BODY_MAX: usize = 4096;

const MAGIC: &[u8; 4] = b"TLTN";
const CLUSTER: u8 = 1;
const TOKEN: u8 = 2;
const INSTANCE: u8 = 3;
const FIRST_OPTIONAL: u8 = 128;

/// One run of an agent: its links carry the same, another run of it another.
pub(super) type Instance = [u8; 16];

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster: Box<str>,
    pub(super) token: Option<Secret>,
    pub(super) instance: Instance,
}

/// What a hub says to a hello. The numbers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Welcome = 0,
    NotProved = 1,
    OtherVersion = 2,
    Malformed = 3,
    Full = 4,
    Draining = 5,
}

/// Why bytes are no hello or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The peer speaks something else.
    Magic,
    /// The peer speaks TLS, and this end does not.
    Tls,
    /// The peer speaks this version.
    Version(u8),
    TooLong(usize),
    Field,
    Unknown(u8),
    Name,
    Missing,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("it does not begin as a tunnel does"),
            Self::Tls => f.write_str("it speaks TLS, for which a tls:// address is needed"),
            Self::Version(theirs) => write!(f, "it speaks version {theirs}, this end {VERSION}"),
            Self::TooLong(length) => {
                write!(f, "it announces {length} bytes, of {BODY_MAX} at most")
            }
            Self::Field => f.write_str("a field is cut off or given twice"),
            Self::Unknown(tag) => write!(f, "field {tag} is unknown and may not be skipped"),
            Self::Name => f.write_str("the cluster's name is none"),
            Self::Missing => f.write_str("the cluster's name or the instance is missing"),
        }
    }
}

/// The head of a hello or of an answer, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    code: u8,
    /// Bytes that follow.
    pub(super) length: usize,
}

/// Whether these are the first bytes of somebody who speaks TLS: a record, of which an alert may be all there is.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, ..])
}

impl Head {
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Result<Self, Malformed> {
        let [magic @ .., version, code, high, low] = bytes;
        if is_tls(bytes) {
            return Err(Malformed::Tls);
        }
        if magic != MAGIC {
            return Err(Malformed::Magic);
        }
        if *version != VERSION {
            return Err(Malformed::Version(*version));
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > BODY_MAX {
            return Err(Malformed::TooLong(length));
        }
        Ok(Self { code: *code, length })
    }

    fn write(code: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, code]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }
}

impl Hello {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut field = |tag: u8, value: &[u8]| {
            body.push(tag);
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(value);
        };
        field(CLUSTER, self.cluster.as_bytes());
        if let Some(token) = &self.token {
            field(TOKEN, token.expose().as_bytes());
        }
        field(INSTANCE, &self.instance);
        Head::write(0, &body)
    }

    /// Reads what follows the head of a hello.
    pub(super) fn parse(mut body: &[u8]) -> Result<Self, Malformed> {
        let (mut cluster, mut token, mut instance) = (None, None, None);
        while let Some((&tag, rest)) = body.split_first() {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed::Field)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (value, rest) = rest.split_at_checked(length).ok_or(Malformed::Field)?;
            let first = match tag {
                CLUSTER => cluster.replace(name(value)?).is_none(),
                TOKEN => token.replace(secret(value)?).is_none(),
                INSTANCE => {
                    let value = Instance::try_from(value).map_err(|_| Malformed::Field)?;
                    instance.replace(value).is_none()
                }
                FIRST_OPTIONAL.. => true,
                unknown => return Err(Malformed::Unknown(unknown)),
            };
            if !first {
                return Err(Malformed::Field);
            }
            body = rest;
        }
        let (Some(cluster), Some(instance)) = (cluster, instance) else {
            return Err(Malformed::Missing);
        };
        Ok(Self { cluster, token, instance })
    }
}

fn name(value: &[u8]) -> Result<Box<str>, Malformed> {
    let name = str::from_utf8(value).ok().filter(|name| is_cluster_name(name));
    name.map(Box::from).ok_or(Malformed::Name)
}

fn secret(value: &[u8]) -> Result<Secret, Malformed> {
    str::from_utf8(value).map(Secret::new).map_err(|_| Malformed::Field)
}

impl Verdict {
    const ALL: [Self; 6] = [
        Self::Welcome,
        Self::NotProved,
        Self::OtherVersion,
        Self::Malformed,
        Self::Full,
        Self::Draining,
    ];

    /// The bytes of an answer; a text that is too long is cut.
    pub(super) fn to_bytes(self, text: &str) -> Vec<u8> {
        let text = &text.as_bytes()[..text.len().min(BODY_MAX)];
        Head::write(self as u8, text)
    }

    /// `None` for a code that this version does not know.
    pub(super) fn of(head: Head) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| *verdict as u8 == head.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Hello, Malformed> {
        let (head, body) = bytes.split_first_chunk().unwrap();
        let head = Head::parse(head)?;
        assert_eq!(head.length, body.len());
        Hello::parse(body)
    }

    fn with_field(tag: u8, value: &[u8]) -> Vec<u8> {
        let hello = Hello { cluster: "c1".into(), token: None, instance: [7; 16] };
        let mut body = hello.to_bytes()[HEAD..].to_vec();
        body.extend([tag, 0, value.len() as u8]);
        body.extend(value);
        Head::write(0, &body)
    }

    #[test]
    fn a_field_that_is_unknown_is_skipped_only_if_it_may_be() {
        assert!(parse(&with_field(200, b"later")).is_ok());
        assert_eq!(parse(&with_field(9, b"later")), Err(Malformed::Unknown(9)));
        assert_eq!(parse(&with_field(CLUSTER, b"c2")), Err(Malformed::Field), "given twice");
    }

    #[test]
    fn what_is_no_hello_is_refused_for_what_is_wrong_with_it() {
        let head = |bytes: &[u8; 8]| Head::parse(bytes).unwrap_err();
        assert_eq!(head(b"GET / HT"), Malformed::Magic);
        assert_eq!(head(b"TLTN\x02\0\0\0"), Malformed::Version(2));
        assert_eq!(head(b"TLTN\x01\0\xff\xff"), Malformed::TooLong(65535));
        assert_eq!(Hello::parse(b""), Err(Malformed::Missing));
        assert_eq!(Hello::parse(b"\x01\0\x02c1"), Err(Malformed::Missing));
        assert_eq!(Hello::parse(b"\x01\0\x04../x"), Err(Malformed::Name));
        assert_eq!(Hello::parse(b"\x01\0\x09c1"), Err(Malformed::Field));
        assert_eq!(Hello::parse(b"\x03\0\x01x"), Err(Malformed::Field));
    }

    #[test]
    fn an_answer_keeps_its_code() {
        for verdict in Verdict::ALL {
            let bytes = verdict.to_bytes("because");
            let head = Head::parse(bytes.first_chunk().unwrap()).unwrap();
            assert_eq!((Verdict::of(head), head.length), (Some(verdict), 7));
        }
        assert_eq!(Verdict::of(Head { code: 99, length: 0 }), None);
        assert_eq!(Verdict::Full.to_bytes(&"x".repeat(9000)).len(), HEAD + BODY_MAX);
    }

    proptest! {
        #[test]
        fn any_hello_survives_the_wire(
            cluster in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,127}", token in prop::option::of(".{0,200}"), instance: Instance,
        ) {
            let hello = Hello { cluster: cluster.into(), token: token.map(Secret::new), instance };
            prop_assert_eq!(parse(&hello.to_bytes()), Ok(hello));
        }

        #[test]
        fn reading_never_panics(head: [u8; HEAD], body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(head) = Head::parse(&head) {
                prop_assert!(head.length <= BODY_MAX);
                let _ = Verdict::of(head);
            }
            let _ = Hello::parse(&body);
        }

        #[test]
        fn a_hello_that_was_changed_anywhere_is_read_or_refused(at in 0usize..40, byte: u8) {
            let mut bytes = with_field(200, b"x");
            let place = at % bytes.len();
            bytes[place] = byte;
            let (head, body) = bytes.split_first_chunk().unwrap();
            if Head::parse(head).is_ok() {
                let _ = Hello::parse(body);
            }
        }
    }
}
