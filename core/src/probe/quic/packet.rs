//! Long headers of QUIC: which packets of a datagram are Initial ones, and where their parts are.

use crate::reader::Reader;

/// A version whose Initial packets can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

impl Version {
    pub(super) const ALL: [Self; 2] = [Self::V1, Self::V2];

    pub(super) fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 0x6b33_43cf,
        }
    }

    fn kind(self, first_byte: u8) -> Kind {
        match (self, first_byte >> 4 & 3) {
            (Self::V1, 0) | (Self::V2, 1) => Kind::Initial,
            (Self::V1, 1) | (Self::V2, 2) => Kind::ZeroRtt,
            _ => Kind::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial,
    /// May overtake the Initial packet that it follows.
    ZeroRtt,
    Other,
}

/// An Initial packet, still closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) version: Version,
    /// Its destination's connection id.
    pub(super) destination: &'a [u8],
    /// From its first byte to its last.
    pub(super) bytes: &'a [u8],
    /// Bytes before the packet number.
    pub(super) number_at: usize,
}

/// The shortest id that a client may choose for a server (RFC 9000, section 7.2).
const SHORTEST_DESTINATION: usize = 8;
const LONGEST_ID: usize = 20;

/// Says whether a client may start with this datagram.
pub(super) fn first(datagram: &[u8]) -> Option<()> {
    let (kind, _) = header(datagram)?;
    matches!(kind, Kind::Initial | Kind::ZeroRtt).then_some(())
}

/// The Initial packets at the front of a datagram; what follows them is of other keys.
pub(super) fn initials(datagram: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (kind, packet) = header(rest)?;
        rest = &rest[packet.bytes.len()..];
        (kind == Kind::Initial).then_some(packet)
    })
}

fn header(bytes: &[u8]) -> Option<(Kind, Packet<'_>)> {
    let mut reader = Reader::new(bytes);
    let first_byte = reader.u8()?;
    let number = reader.u32()?;
    let version = Version::ALL.into_iter().find(|version| version.number() == number)?;
    // A long header, and the bit that is always set.
    if first_byte >> 6 != 3 {
        return None;
    }
    let kind = version.kind(first_byte);
    let (destination, source) = (reader.short()?, reader.short()?);
    if !(SHORTEST_DESTINATION..=LONGEST_ID).contains(&destination.len())
        || source.len() > LONGEST_ID
    {
        return None;
    }
    match kind {
        Kind::Initial => {
            let token = reader.varint()?;
            reader.take(usize::try_from(token).ok()?)?;
        }
        Kind::ZeroRtt => {}
        Kind::Other => return None,
    }
    let length = usize::try_from(reader.varint()?).ok()?;
    let number_at = bytes.len() - reader.rest().len();
    reader.take(length)?;
    let end = bytes.len() - reader.rest().len();
    Some((kind, Packet { version, destination, bytes: &bytes[..end], number_at }))
}
