//! STUN messages (RFC 8489), told by their magic cookie.

use crate::reader::Reader;

const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Whether a datagram is one STUN message, and nothing else.
pub(super) fn is_message(datagram: &[u8]) -> bool {
    read(datagram).unwrap_or(false)
}

fn read(datagram: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(datagram);
    let kind = reader.u16()?;
    let length = usize::from(reader.u16()?);
    let cookie = reader.u32()?;
    let _transaction = reader.take(12)?;
    let is_whole = length.is_multiple_of(4) && reader.rest().len() == length;
    Some(kind >> 14 == 0 && cookie == MAGIC_COOKIE && is_whole)
}
