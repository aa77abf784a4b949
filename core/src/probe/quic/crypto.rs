//! Opens Initial packets with the keys that their own header tells.

use super::packet::{Packet, Version};
use rustls::{
    Side,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{DirectionalKeys, Suite, Version as TlsVersion},
};

/// The keys of one client's Initial packets; `None` where the library cannot make them.
pub(super) struct Opener(Option<DirectionalKeys>);

/// The longest packet number.
const NUMBER: usize = 4;

impl Opener {
    /// The keys that follow from the destination of a client's first packet.
    pub(super) fn new(version: Version, destination: &[u8]) -> Self {
        let version = match version {
            Version::V1 => TlsVersion::V1,
            Version::V2 => TlsVersion::V2,
        };
        let keys = |suite: Suite| suite.keys(destination, Side::Server, version).remote;
        Self(suite().map(keys))
    }

    /// What a packet holds; `None` if it was not sealed with these keys.
    pub(super) fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let keys = self.0.as_ref()?;
        let mut bytes = packet.bytes.to_vec();
        let (head, protected) = bytes.split_at_mut_checked(packet.number_at)?;
        let (first, _) = head.split_first_mut()?;
        let (number, after) = protected.split_at_mut_checked(NUMBER)?;
        let sample = after.get(..keys.header.sample_len())?;
        keys.header.decrypt_in_place(sample, first, number).ok()?;
        let number_length = usize::from(*first & 3) + 1;
        let number = number[..number_length]
            .iter()
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));

        let (header, payload) = bytes.split_at_mut_checked(packet.number_at + number_length)?;
        let opened = keys.packet.decrypt_in_place(number, header, payload).ok()?;
        Some(opened.to_vec())
    }
}

/// All Initial packets are sealed with this suite.
pub(super) fn suite() -> Option<Suite> {
    TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
}
