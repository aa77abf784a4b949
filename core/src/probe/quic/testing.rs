//! Makes the Initial packets of a client, for tests.

use super::{crypto::suite, packet::Version};
use rustls::{Side, quic};

/// A datagram with one Initial packet, padded to 1200 bytes, that carries `piece` of a handshake at `start`.
pub(crate) fn datagram(version: u32, number: u8, start: usize, piece: &[u8]) -> Vec<u8> {
    datagram_to(b"8bytes+1", version, number, start, piece)
}

pub(crate) fn datagram_to(
    destination: &[u8],
    version: u32,
    number: u8,
    start: usize,
    piece: &[u8],
) -> Vec<u8> {
    let frames = [&[6][..], &varint(start), &varint(piece.len()), piece].concat();
    sealed(destination, version, number, frames)
}

/// A datagram with one Initial packet of any payload, padded to 1200 bytes.
pub(crate) fn sealed(
    destination: &[u8],
    version: u32,
    number: u8,
    mut payload: Vec<u8>,
) -> Vec<u8> {
    let version = Version::ALL.into_iter().find(|known| known.number() == version).unwrap();
    let head = |length: usize| {
        let first = match version {
            Version::V1 => 0xc0,
            Version::V2 => 0xd0,
        };
        let ids = [&[destination.len() as u8][..], destination, &[0]].concat();
        let version = version.number().to_be_bytes();
        [&[first][..], &version, &ids, &[0], &varint(length), &[number]].concat()
    };
    let tag_length = 16;
    let shortest = super::SHORTEST_DATAGRAM - head(0).len() - tag_length;
    payload.resize(shortest.max(payload.len()), 0);
    let mut packet = head(1 + payload.len() + tag_length);
    let number_at = packet.len() - 1;

    let tls_version = match version {
        Version::V1 => quic::Version::V1,
        Version::V2 => quic::Version::V2,
    };
    let keys = suite().unwrap().keys(destination, Side::Client, tls_version).local;
    let tag = keys.packet.encrypt_in_place(number.into(), &packet, &mut payload).unwrap();
    packet.extend_from_slice(&payload);
    packet.extend_from_slice(tag.as_ref());
    let sample = packet[number_at + 4..number_at + 20].to_vec();
    let (head, rest) = packet.split_at_mut(number_at);
    keys.header.encrypt_in_place(&sample, &mut head[0], &mut rest[..1]).unwrap();
    packet
}

/// Always in two bytes.
fn varint(number: usize) -> [u8; 2] {
    assert!(number < 1 << 14);
    [(number >> 8) as u8 | 0x40, number as u8]
}
