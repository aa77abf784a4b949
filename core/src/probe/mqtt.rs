//! The CONNECT packet of an MQTT client, up to the version that it speaks.

use super::{Looked, TcpProbedProtocol, Verdict, settled};
use crate::reader::Reader;

/// The first byte of a CONNECT packet.
pub(super) const CONNECT: u8 = 0x10;

pub(super) fn probe(bytes: &[u8]) -> Verdict<TcpProbedProtocol> {
    settled(look(bytes))
}

fn look(bytes: &[u8]) -> Looked<TcpProbedProtocol, TcpProbedProtocol> {
    let mut reader = Reader::new(bytes);
    let _connect = reader.u8().ok_or(Verdict::NeedMore)?;
    skip_remaining_length(&mut reader)?;
    let name = match reader.u16().ok_or(Verdict::NeedMore)? {
        4 => &b"MQTT"[..],
        6 => b"MQIsdp",
        _ => return Err(Verdict::Unknown),
    };
    let there = &reader.rest()[..name.len().min(reader.rest().len())];
    if !name.starts_with(there) {
        return Err(Verdict::Unknown);
    }
    reader.take(name.len()).ok_or(Verdict::NeedMore)?;
    let level = reader.u8().ok_or(Verdict::NeedMore)?;
    match (name.len(), level) {
        (6, 3) | (4, 4 | 5) => Ok(TcpProbedProtocol::Mqtt { level }),
        _ => Err(Verdict::Unknown),
    }
}

/// One to four bytes, of which all but the last have the high bit.
fn skip_remaining_length(reader: &mut Reader<'_>) -> Looked<(), TcpProbedProtocol> {
    for _ in 0..4 {
        if reader.u8().ok_or(Verdict::NeedMore)? & 0x80 == 0 {
            return Ok(());
        }
    }
    Err(Verdict::Unknown)
}
