//! The messages of SOCKS5 (RFC 1928) and of its passwords (RFC 1929), as a server reads and writes them. No I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::Zeroizing;

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;

/// Nobody says who it is.
pub(super) const NO_AUTHENTICATION: u8 = 0;
/// A name and a password.
pub(super) const PASSWORD: u8 = 2;
/// None of the ways that were offered.
pub(super) const NO_METHOD: u8 = 0xff;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    NeedMore,
    /// A whole message of so many bytes.
    Is(T, usize),
    Malformed,
    /// Well-formed, and of a kind that is not served: what is answered to that.
    Unserved(Reply),
}

/// Where a user wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// What a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    Refused = 5,
    Expired = 6,
    NoSuchCommand = 7,
    NoSuchAddress = 8,
}

impl Reply {
    /// The message. The address that it is from is nobody's to know.
    pub(super) fn bytes(self) -> [u8; 10] {
        [VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Who a user says that it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) name: Vec<u8>,
    pub(super) password: Zeroizing<Vec<u8>>,
}

/// The ways that a user offers to say who it is.
pub(super) fn greeting(bytes: &[u8]) -> Read<Vec<u8>> {
    match bytes {
        [] | [VERSION] => Read::NeedMore,
        [VERSION, 0, ..] => Read::Malformed,
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some(methods) => Read::Is(methods.to_vec(), 2 + methods.len()),
            None => Read::NeedMore,
        },
        [_, ..] => Read::Malformed,
    }
}

/// A name and a password.
pub(super) fn credentials(bytes: &[u8]) -> Read<Credentials> {
    if bytes.first().is_some_and(|version| *version != PASSWORD_VERSION) {
        return Read::Malformed;
    }
    let text = |at: usize| {
        let length = usize::from(*bytes.get(at)?);
        bytes.get(at + 1..at + 1 + length)
    };
    let Some(name) = text(1) else { return Read::NeedMore };
    let Some(password) = text(2 + name.len()) else { return Read::NeedMore };
    let length = 3 + name.len() + password.len();
    let (name, password) = (name.to_vec(), Zeroizing::new(password.to_vec()));
    Read::Is(Credentials { name, password }, length)
}

pub(super) fn request(bytes: &[u8]) -> Read<Request> {
    let (command, kind, rest) = match bytes {
        [VERSION, command, 0, kind, rest @ ..] => (*command, *kind, rest),
        [] | [VERSION] | [VERSION, _] | [VERSION, _, 0] => return Read::NeedMore,
        _ => return Read::Malformed,
    };
    if command != CONNECT {
        return Read::Unserved(Reply::NoSuchCommand);
    }
    let (host, length) = match (kind, rest) {
        (1, [a, b, c, d, ..]) => (Host::Ip(Ipv4Addr::new(*a, *b, *c, *d).into()), 4),
        (3, [0, ..]) => return Read::Malformed,
        (3, [count, rest @ ..]) => match rest.get(..usize::from(*count)) {
            Some(name) => match host_name(name) {
                Some(name) => (Host::Name(name), 1 + usize::from(*count)),
                None => return Read::Malformed,
            },
            None => return Read::NeedMore,
        },
        (4, rest) => match rest.first_chunk::<16>() {
            Some(ip) => (Host::Ip(Ipv6Addr::from(*ip).into()), 16),
            None => return Read::NeedMore,
        },
        (1 | 3, _) => return Read::NeedMore,
        _ => return Read::Unserved(Reply::NoSuchAddress),
    };
    match rest.get(length..length + 2) {
        Some(&[high, low]) => {
            let port = u16::from_be_bytes([high, low]);
            Read::Is(Request { host, port }, 4 + length + 2)
        }
        _ => Read::NeedMore,
    }
}

/// A host's name in lower case, without the dot of the root.
fn host_name(name: &[u8]) -> Option<String> {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    if !name.iter().all(is_plain) {
        return None;
    }
    let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_whole = !name.is_empty() && name.split('.').all(|label| !label.is_empty());
    is_whole.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> Vec<u8> {
        let mut bytes = vec![5, 1, 0, 3, name.len() as u8];
        bytes.extend(name.bytes());
        bytes.extend([0x1f, 0x90]);
        bytes
    }

    #[test]
    fn requests_name_hosts_and_addresses_and_nothing_else() {
        let to = |host| Request { host, port: 8080 };
        let name = |name: &str| Host::Name(name.into());
        assert_eq!(request(&named("A.Example")), Read::Is(to(name("a.example")), 16));
        assert_eq!(request(&named("a.example.")), Read::Is(to(name("a.example")), 17));
        let v4 = [5, 1, 0, 1, 127, 0, 0, 1, 0x1f, 0x90, 7];
        assert_eq!(request(&v4), Read::Is(to(Host::Ip([127, 0, 0, 1].into())), 10));
        let mut v6 = vec![5, 1, 0, 4];
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0x1f, 0x90]);
        assert_eq!(request(&v6), Read::Is(to(Host::Ip(Ipv6Addr::LOCALHOST.into())), 22));
        for bad in ["", "a b", "a..b", ".", ".a", "a\0", "a/b", "\u{fc}"] {
            assert_eq!(request(&named(bad)), Read::Malformed, "{bad:?}");
        }
        assert_eq!(request(&[5, 2, 0, 1]), Read::Unserved(Reply::NoSuchCommand));
        assert_eq!(request(&[5, 1, 0, 2]), Read::Unserved(Reply::NoSuchAddress));
        for bad in [&[4, 1][..], &[5, 1, 1], &[5, 1, 0, 3, 0]] {
            assert_eq!(request(bad), Read::Malformed, "{bad:?}");
        }
        assert_eq!(greeting(&[5, 2, 0, 2, 9]), Read::Is(vec![0, 2], 4));
        assert_eq!(greeting(&[5, 0]), Read::Malformed);
        assert_eq!(greeting(&[4]), Read::Malformed);
        let of = Credentials { name: b"a".to_vec(), password: b"bc".to_vec().into() };
        assert_eq!(credentials(&[1, 1, b'a', 2, b'b', b'c', 5]), Read::Is(of, 6));
        assert_eq!(credentials(&[5]), Read::Malformed);
    }

    /// Whether a message is told from its beginnings: each needs more, or is what the whole is.
    fn is_same_however_it_comes<T: PartialEq + std::fmt::Debug>(
        bytes: &[u8],
        read: impl Fn(&[u8]) -> Read<T>,
    ) {
        let whole = read(bytes);
        for end in 0..bytes.len() {
            let part = read(&bytes[..end]);
            assert!(part == Read::NeedMore || part == whole, "{part:?} of {whole:?}");
        }
        if let Read::Is(_, length) = whole {
            assert!(length <= bytes.len());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_how_they_were_cut_changes_nothing(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            begins in 0usize..4,
        ) {
            let begins = [&[][..], &[5, 1, 0, 3], &[5, 1, 0, 4], &[1]][begins];
            bytes.splice(0..0, begins.iter().copied());
            is_same_however_it_comes(&bytes, greeting);
            is_same_however_it_comes(&bytes, credentials);
            is_same_however_it_comes(&bytes, request);
        }
    }
}
