//! The greeting of a SOCKS5 client (RFC 1928): the ways to authenticate that it offers.

use super::{Looked, TcpProbedProtocol, Verdict, settled};
use crate::reader::Reader;

/// The first byte of a greeting.
pub(super) const VERSION: u8 = 5;

pub(super) fn probe(bytes: &[u8]) -> Verdict<TcpProbedProtocol> {
    settled(look(bytes))
}

fn look(bytes: &[u8]) -> Looked<TcpProbedProtocol, TcpProbedProtocol> {
    let mut reader = Reader::new(bytes);
    let _version = reader.u8().ok_or(Verdict::NeedMore)?;
    let count = usize::from(reader.u8().ok_or(Verdict::NeedMore)?);
    let offered = &reader.rest()[..count.min(reader.rest().len())];
    // 0 to 9 are assigned, 128 to 254 are private; a method is offered once.
    let is_method = |method: &u8| matches!(method, 0..=9 | 128..=254);
    let is_new = |(place, method): (usize, &u8)| !offered[..place].contains(method);
    if count == 0 || !offered.iter().all(is_method) || !offered.iter().enumerate().all(is_new) {
        return Err(Verdict::Unknown);
    }
    if offered.len() < count { Err(Verdict::NeedMore) } else { Ok(TcpProbedProtocol::Socks5) }
}
