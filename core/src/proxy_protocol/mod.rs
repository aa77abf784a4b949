//! The PROXY protocol, versions 1 and 2: a proxy in front says for whom it speaks.
//!
//! Written and read here as bytes; who may be believed, and until when a header must have come, is for
//! whoever reads. A header is looked for in all bytes so far, from the first one, so how they were cut does
//! not matter. No input makes it panic.
//!
//! Of version 2 the checksum is verified where there is one, and always written. What follows the addresses
//! (the TLVs) is bounded, and handed on without being looked into.

mod checksum;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

/// What a proxy says about a connection or a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// For whom it speaks; `None` where it speaks for itself (as in its health checks), or does not know.
    pub addresses: Option<ProxyAddresses>,
    /// What else it says, in its order, without padding and checksum. Version 1 has none.
    pub tlvs: Vec<ProxyTlv>,
}

/// Both ends as the proxy saw them, both of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
    /// Whether it is about a datagram instead of a connection; version 2 only.
    pub is_datagram: bool,
}

/// A value with its type, such as 0x01 for ALPN, 0x02 for the server name, 0x05 for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTlv {
    /// The type.
    pub kind: u8,
    /// The value.
    pub value: Box<[u8]>,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary, with TLVs and a checksum.
    V2,
}

/// What the first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of a header, or no byte at all.
    NeedMore,
    /// A whole header, and how many bytes it takes.
    Header(ProxyHeader, usize),
    /// No header.
    Absent,
    /// A header with a mistake in it.
    Malformed(&'static str),
}

impl ProxyAddresses {
    /// The addresses of a connection. Ends of two families are both told as IPv6; IPv4 in IPv6 is told as
    /// IPv4 where both are.
    pub fn of_connection(source: SocketAddr, destination: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let as_v6 = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
            IpAddr::V6(_) => end,
        };
        let (source, destination) = (canonical(source), canonical(destination));
        let (source, destination) = if source.is_ipv4() == destination.is_ipv4() {
            (source, destination)
        } else {
            (as_v6(source), as_v6(destination))
        };
        Self { source, destination, is_datagram: false }
    }
}

impl ProxyHeader {
    /// A header for these addresses, or for a client without any, such as that of a Unix socket.
    pub fn new(addresses: Option<ProxyAddresses>) -> Self {
        Self { addresses, tlvs: Vec::new() }
    }

    /// Looks for a header at the start of all bytes so far. What follows it is the client's.
    ///
    /// Version 1 takes at most 107 bytes; of version 2 at most 4 KiB may follow the first 16.
    pub fn decode(bytes: &[u8]) -> Decoded {
        if bytes.starts_with(v1::SIGNATURE) {
            return v1::decode(bytes);
        }
        if bytes.starts_with(v2::SIGNATURE) {
            return v2::decode(bytes);
        }
        if v1::SIGNATURE.starts_with(bytes) || v2::SIGNATURE.starts_with(bytes) {
            return Decoded::NeedMore;
        }
        Decoded::Absent
    }

    /// The bytes to send. Version 1 leaves the TLVs out, and says UNKNOWN for datagrams. TLVs that do not fit
    /// into 4 KiB are left out from the first such one on.
    pub fn encode(&self, version: ProxyVersion) -> Vec<u8> {
        match version {
            ProxyVersion::V1 => v1::encode(self),
            ProxyVersion::V2 => v2::encode(self),
        }
    }
}
