//! The first command of a Redis client, which every library sends as an array of bulk strings.

use super::{Looked, TcpProbedProtocol, Verdict, settled};

/// The first byte of an array.
pub(super) const ARRAY: u8 = b'*';
/// A command may have a million arguments.
const MOST_DIGITS: usize = 7;

pub(super) fn probe(bytes: &[u8]) -> Verdict<TcpProbedProtocol> {
    settled(look(bytes))
}

/// An array of at least one, whose first element is a bulk string: `*1\r\n$4\r\n`.
fn look(bytes: &[u8]) -> Looked<TcpProbedProtocol, TcpProbedProtocol> {
    let rest = count(bytes, ARRAY)?;
    count(rest, b'$')?;
    Ok(TcpProbedProtocol::Redis)
}

/// `kind`, a number without a leading zero, and the end of a line; says what follows.
fn count(bytes: &[u8], kind: u8) -> Looked<&[u8], TcpProbedProtocol> {
    let rest = expect(bytes, kind)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > MOST_DIGITS || rest.first() == Some(&b'0') {
        return Err(Verdict::Unknown);
    }
    if digits == 0 && !rest.is_empty() {
        return Err(Verdict::Unknown);
    }
    let rest = expect(&rest[digits..], b'\r')?;
    expect(rest, b'\n')
}

fn expect(bytes: &[u8], wanted: u8) -> Looked<&[u8], TcpProbedProtocol> {
    match bytes.split_first() {
        None => Err(Verdict::NeedMore),
        Some((found, rest)) if *found == wanted => Ok(rest),
        Some(_) => Err(Verdict::Unknown),
    }
}
