//! The handshake initiation of WireGuard, which has one length and one beginning.

/// Type, sender, ephemeral key, encrypted key, encrypted time, two codes.
const LENGTH: usize = 148;
const INITIATION: [u8; 4] = [1, 0, 0, 0];

/// Whether a datagram is the first of a WireGuard handshake.
pub(super) fn is_initiation(datagram: &[u8]) -> bool {
    datagram.len() == LENGTH && datagram.starts_with(&INITIATION)
}
