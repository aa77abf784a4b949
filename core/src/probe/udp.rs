//! What a flow of datagrams speaks, told by its first ones.

use super::{
    Verdict,
    dns::{self, DnsQuery},
    hello::TlsHello,
    quic, stun, wireguard,
};
use serde::Serialize;

/// A protocol over datagrams, with what its first ones say of it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum UdpProbedProtocol {
    /// QUIC, versions 1 and 2, from the whole ClientHello in its Initial packets.
    #[non_exhaustive]
    Quic {
        /// The number of the version.
        version: u32,
        /// What the client says of itself.
        #[serde(flatten)]
        hello: TlsHello,
    },
    /// A DNS query.
    Dns(DnsQuery),
    /// STUN.
    Stun,
    /// The first datagram of a WireGuard handshake.
    #[serde(rename = "wireguard")]
    WireGuard,
}

impl UdpProbedProtocol {
    /// The names of all of them, as in JSON.
    pub const NAMES: [&'static str; 4] = ["quic", "dns", "stun", "wireguard"];

    /// Looks at all datagrams of a flow so far, in the order in which they came.
    ///
    /// All but QUIC are told by the first one. A hello of QUIC may need several; of those that follow the
    /// first, what is not part of it is passed over. At most 16 are looked at.
    pub fn probe<D: AsRef<[u8]>>(datagrams: &[D]) -> Verdict<Self> {
        let Some(first) = datagrams.first().map(AsRef::as_ref) else { return Verdict::NeedMore };
        if wireguard::is_initiation(first) {
            return Verdict::Is(Self::WireGuard);
        }
        if stun::is_message(first) {
            return Verdict::Is(Self::Stun);
        }
        if quic::is_first(first) {
            return quic::probe(datagrams);
        }
        dns::probe(first).map(Self::Dns)
    }

    /// Lower-case name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quic { .. } => "quic",
            Self::Dns(_) => "dns",
            Self::Stun => "stun",
            Self::WireGuard => "wireguard",
        }
    }

    /// The host that the client asks for, in lower case: the server name of QUIC.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Quic { hello, .. } => hello.server_name.as_deref(),
            Self::Dns(_) | Self::Stun | Self::WireGuard => None,
        }
    }

    /// The protocols that a client of QUIC offers to speak inside; empty for all others.
    pub fn alpn(&self) -> &[Box<str>] {
        match self {
            Self::Quic { hello, .. } => &hello.alpn,
            Self::Dns(_) | Self::Stun | Self::WireGuard => &[],
        }
    }
}
