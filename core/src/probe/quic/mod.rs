//! The ClientHello of QUIC: gathered from Initial packets, which anyone on the way may read.

mod crypto;
mod frames;
mod packet;

use super::{UdpProbedProtocol, Verdict, hello};
use crypto::Opener;
use frames::Handshake;
use packet::{Packet, Version};

/// A first flight is one to three datagrams long; lost ones come again.
const MOST_DATAGRAMS: usize = 16;
/// What a client pads a datagram with an Initial packet to (RFC 9000, section 14.1); a server must drop
/// shorter ones.
const SHORTEST_DATAGRAM: usize = 1200;

/// Whether a flow that starts with this datagram may be QUIC of a version that can be read.
pub(super) fn is_first(datagram: &[u8]) -> bool {
    datagram.len() >= SHORTEST_DATAGRAM && packet::first(datagram).is_some()
}

pub(super) fn probe<D: AsRef<[u8]>>(datagrams: &[D]) -> Verdict<UdpProbedProtocol> {
    let mut flight = None;
    for datagram in datagrams.iter().take(MOST_DATAGRAMS).map(AsRef::as_ref) {
        if datagram.len() < SHORTEST_DATAGRAM {
            continue;
        }
        for packet in packet::initials(datagram) {
            let flight = flight.get_or_insert_with(|| Flight::of(&packet));
            match flight.look(&packet) {
                Verdict::NeedMore => {}
                decided => return decided,
            }
        }
    }
    if datagrams.len() < MOST_DATAGRAMS { Verdict::NeedMore } else { Verdict::Unknown }
}

/// The Initial packets of one client, so far.
struct Flight<'a> {
    version: Version,
    /// Opens with the keys of the first packet.
    opener: Opener,
    first_destination: &'a [u8],
    handshake: Handshake,
    has_opened: bool,
}

impl<'a> Flight<'a> {
    fn of(first: &Packet<'a>) -> Self {
        Self {
            version: first.version,
            opener: Opener::new(first.version, first.destination),
            first_destination: first.destination,
            handshake: Handshake::default(),
            has_opened: false,
        }
    }

    fn look(&mut self, packet: &Packet<'a>) -> Verdict<UdpProbedProtocol> {
        let Some(payload) = self.open(packet) else {
            // Later ones may be of other keys; the first says what this is.
            return if self.has_opened { Verdict::NeedMore } else { Verdict::Unknown };
        };
        self.has_opened = true;
        if self.handshake.add(&payload).is_none() {
            return Verdict::Unknown;
        }
        let version = self.version.number();
        hello::probe(&self.handshake.beginning())
            .map(|hello| UdpProbedProtocol::Quic { version, hello })
    }

    /// A client goes on with the keys of its first destination, except that it starts anew after a Retry.
    fn open(&self, packet: &Packet<'a>) -> Option<Vec<u8>> {
        if packet.version != self.version {
            return None;
        }
        self.opener.open(packet).or_else(|| {
            let is_other = packet.destination != self.first_destination;
            is_other.then(|| Opener::new(self.version, packet.destination).open(packet)).flatten()
        })
    }
}

#[cfg(test)]
pub(super) mod testing;
