//! TLS over a stream: the records that carry a ClientHello, which may be cut anywhere.

use super::{
    Looked, Verdict,
    hello::{self, TlsHello},
    settled,
};
use crate::reader::Reader;

/// The first byte of a record that carries a handshake.
pub(super) const HANDSHAKE: u8 = 22;
/// RFC 8446, section 5.1.
const LONGEST_RECORD: usize = 1 << 14;

pub(super) fn probe(bytes: &[u8]) -> Verdict<TlsHello> {
    settled(look(bytes))
}

fn look(bytes: &[u8]) -> Looked<TlsHello, TlsHello> {
    let mut reader = Reader::new(bytes);
    let mut handshake = Vec::new();
    loop {
        let (fragment, is_whole) = record(&mut reader)?;
        handshake.extend_from_slice(fragment);
        match hello::probe(&handshake) {
            Verdict::NeedMore if is_whole => {}
            decided => return decided.found_or_early(),
        }
    }
}

/// What is there of the next record, and whether it is all of it.
fn record<'a>(reader: &mut Reader<'a>) -> Looked<(&'a [u8], bool), TlsHello> {
    let kind = reader.u8().ok_or(Verdict::NeedMore)?;
    check(kind == HANDSHAKE)?;
    // Clients say 3.1 for the sake of old middleboxes, and 3.3 in a second hello; nobody says 3.5.
    check(reader.u8().ok_or(Verdict::NeedMore)? == 3)?;
    check(reader.u8().ok_or(Verdict::NeedMore)? <= 4)?;
    let length = usize::from(reader.u16().ok_or(Verdict::NeedMore)?);
    // An empty one carries nothing, and endless many of them would keep the look busy for nothing.
    check((1..=LONGEST_RECORD).contains(&length))?;
    match reader.take(length) {
        Some(fragment) => Ok((fragment, true)),
        None => Ok((reader.rest(), false)),
    }
}

fn check(is_possible: bool) -> Looked<(), TlsHello> {
    if is_possible { Ok(()) } else { Err(Verdict::Unknown) }
}

impl Verdict<TlsHello> {
    fn found_or_early(self) -> Looked<TlsHello, TlsHello> {
        match self {
            Self::Is(hello) => Ok(hello),
            early => Err(early),
        }
    }
}
