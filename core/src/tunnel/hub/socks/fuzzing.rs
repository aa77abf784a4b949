//! What the fuzzer asks of the messages of SOCKS5.

use super::message::{Read, credentials, greeting, request};

/// Gives the beginnings of `bytes` to the readers of messages: each must need more, or be what the whole is.
pub(in crate::tunnel) fn messages(bytes: &[u8]) {
    check(bytes, greeting);
    check(bytes, credentials);
    check(bytes, request);
}

fn check<T: PartialEq>(bytes: &[u8], read: impl Fn(&[u8]) -> Read<T>) {
    let whole = read(bytes);
    for end in 0..bytes.len() {
        let part = read(&bytes[..end]);
        assert!(matches!(part, Read::NeedMore) || part == whole);
    }
    assert!(!matches!(whole, Read::Is(_, length) if length > bytes.len()));
}
