//! Version 2: a signature, a command, a family, a length, the addresses, and TLVs.

use super::{Decoded, ProxyAddresses, ProxyHeader, ProxyTlv, checksum::crc32c};
use crate::reader::Reader;
use std::net::{IpAddr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED: usize = 16;
/// Of addresses and TLVs.
const LONGEST: usize = 4096;
const MOST_TLVS: usize = 64;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const CHECKSUM: u8 = 0x03;
const PADDING: u8 = 0x04;

pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let mut reader = Reader::new(bytes);
    let fixed = (|| {
        let _signature = reader.take(SIGNATURE.len())?;
        Some((reader.u8()?, reader.u8()?, usize::from(reader.u16()?)))
    })();
    let Some((command, family, length)) = fixed else { return Decoded::NeedMore };
    if !matches!(command, LOCAL | PROXY) {
        return Decoded::Malformed("version 2 with an unknown command");
    }
    if length > LONGEST {
        return Decoded::Malformed("version 2 with more than 4 KiB after its first 16 bytes");
    }
    let Some(body) = reader.take(length) else { return Decoded::NeedMore };
    let end = FIXED + length;
    match whole(command, family, body, &bytes[..end]) {
        Ok(header) => Decoded::Header(header, end),
        Err(reason) => Decoded::Malformed(reason),
    }
}

fn whole(command: u8, family: u8, body: &[u8], header: &[u8]) -> Result<ProxyHeader, &'static str> {
    let mut reader = Reader::new(body);
    let addresses = match family {
        0x00 => None,
        0x11 | 0x12 => Some(ends::<4>(&mut reader).ok_or(SHORT)?),
        0x21 | 0x22 => Some(ends::<16>(&mut reader).ok_or(SHORT)?),
        // Paths of Unix sockets: they say nothing about a host.
        0x31 | 0x32 => {
            reader.take(216).ok_or(SHORT)?;
            None
        }
        // A proxy that speaks for itself may say what it likes here.
        _ if command == LOCAL => return Ok(ProxyHeader::default()),
        _ => return Err("version 2 with an unknown family"),
    };
    let tlvs = tlvs(reader, header)?;
    let addresses = addresses.filter(|_| command == PROXY).map(|(source, destination)| {
        ProxyAddresses { source, destination, is_datagram: family & 0xf == 2 }
    });
    Ok(ProxyHeader { addresses, tlvs })
}

const SHORT: &str = "version 2 without room for its addresses";

fn ends<const N: usize>(reader: &mut Reader<'_>) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let ip = |bytes: &[u8]| <[u8; N]>::try_from(bytes).ok().map(IpAddr::from);
    let (source, destination) = (ip(reader.take(N)?)?, ip(reader.take(N)?)?);
    let (from, to) = (reader.u16()?, reader.u16()?);
    Some((SocketAddr::new(source, from), SocketAddr::new(destination, to)))
}

fn tlvs(mut reader: Reader<'_>, header: &[u8]) -> Result<Vec<ProxyTlv>, &'static str> {
    let mut tlvs = Vec::new();
    let mut count = 0;
    while !reader.is_empty() {
        let kind = reader.u8().unwrap_or_default();
        let value = reader.long().ok_or("version 2 with a TLV that does not fit")?;
        count += 1;
        if count > MOST_TLVS {
            return Err("version 2 with more than 64 TLVs");
        }
        match kind {
            CHECKSUM => check(value, header.len() - reader.rest().len() - value.len(), header)?,
            PADDING => {}
            _ => tlvs.push(ProxyTlv { kind, value: value.into() }),
        }
    }
    Ok(tlvs)
}

/// Verifies the checksum in `header` at `at`: it is over the whole header, with zeroes in its own place.
fn check(told: &[u8], at: usize, header: &[u8]) -> Result<(), &'static str> {
    let told: [u8; 4] = told.try_into().map_err(|_| "version 2 with a checksum of no 4 bytes")?;
    let parts = [&header[..at], &[0; 4], &header[at + 4..]];
    if crc32c(parts) == u32::from_be_bytes(told) {
        Ok(())
    } else {
        Err("version 2 with a wrong checksum")
    }
}

pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let mut body = Vec::new();
    let family = match header.addresses {
        Some(addresses) => put(&mut body, addresses),
        None => 0,
    };
    let checksum_length = 3 + 4;
    for tlv in &header.tlvs {
        let length = 3 + tlv.value.len();
        if body.len() + length + checksum_length > LONGEST {
            break;
        }
        body.push(tlv.kind);
        body.extend_from_slice(&(tlv.value.len() as u16).to_be_bytes());
        body.extend_from_slice(&tlv.value);
    }
    body.extend_from_slice(&[CHECKSUM, 0, 4, 0, 0, 0, 0]);

    let length = (body.len() as u16).to_be_bytes();
    let mut whole = [SIGNATURE, &[PROXY, family], &length, &body].concat();
    let crc = crc32c([&whole[..]]).to_be_bytes();
    let at = whole.len() - crc.len();
    whole[at..].copy_from_slice(&crc);
    whole
}

/// Writes the addresses and says which family they are of; none for ends of two families.
fn put(body: &mut Vec<u8>, addresses: ProxyAddresses) -> u8 {
    let ProxyAddresses { source, destination, is_datagram } = addresses;
    let transport = if is_datagram { 2 } else { 1 };
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body.extend_from_slice(&source.octets());
            body.extend_from_slice(&destination.octets());
            0x10
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            body.extend_from_slice(&source.octets());
            body.extend_from_slice(&destination.octets());
            0x20
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return 0,
    };
    body.extend_from_slice(&source.port().to_be_bytes());
    body.extend_from_slice(&destination.port().to_be_bytes());
    family | transport
}
