//! DNS queries, in a datagram of their own.

use super::Verdict;
use crate::reader::Reader;
use serde::Serialize;
use std::fmt::Write;

/// A question to a DNS server.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsQuery {
    /// The name that is asked for, in lower case, without its final dot; `.` for the root. Bytes that are no
    /// letter, digit, `-` or `_` are escaped as in `\x00`.
    pub name: Box<str>,
    /// The type of the records that are asked for, such as 1 for A and 28 for AAAA.
    pub query_type: u16,
}

/// The classes that are asked for: Internet, Chaos, any.
const CLASSES: [u16; 3] = [1, 3, 255];
/// An additional record: a root name, type, class, TTL and length of the data.
const SHORTEST_RECORD: usize = 11;
const LONGEST_NAME: usize = 255;

pub(super) fn probe(datagram: &[u8]) -> Verdict<DnsQuery> {
    query(datagram).map_or(Verdict::Unknown, Verdict::Is)
}

fn query(datagram: &[u8]) -> Option<DnsQuery> {
    let mut reader = Reader::new(datagram);
    let _id = reader.u16()?;
    let flags = reader.u16()?;
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    let (authorities, additional) = (reader.u16()?, usize::from(reader.u16()?));
    // A standard query: no response, operation 0, the reserved bit 0, no code. Of the other bits some mean something.
    let is_query = flags & 0b1111_1000_0100_1111 == 0 && questions == 1;
    if !is_query || answers != 0 || authorities != 0 {
        return None;
    }
    let name = name(&mut reader)?;
    let (query_type, class) = (reader.u16()?, reader.u16()?);
    let rest = reader.rest().len();
    let fits = if additional == 0 { rest == 0 } else { rest >= additional * SHORTEST_RECORD };
    (CLASSES.contains(&class) && fits).then_some(DnsQuery { name, query_type })
}

fn name(reader: &mut Reader<'_>) -> Option<Box<str>> {
    let mut text = String::new();
    let mut length = 1;
    loop {
        let label = reader.short()?;
        length += label.len() + 1;
        // A longer one is a pointer, which a first name has nowhere to point to.
        if label.len() > 63 || length > LONGEST_NAME {
            return None;
        }
        if label.is_empty() {
            break;
        }
        if !text.is_empty() {
            text.push('.');
        }
        label.iter().for_each(|byte| push(&mut text, *byte));
    }
    Some(if text.is_empty() { ".".into() } else { text.into() })
}

fn push(text: &mut String, byte: u8) {
    match byte {
        b'-' | b'_' => text.push(char::from(byte)),
        _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte.to_ascii_lowercase())),
        _ => write!(text, "\\x{byte:02x}").expect("a String takes all that is written"),
    }
}
