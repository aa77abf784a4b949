//! The ClientHello of TLS: whom the client asks for, and what it wants to speak.

use super::{Looked, Verdict, host, settled};
use crate::reader::Reader;
use serde::Serialize;

/// What a client says of itself before anything is encrypted.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsHello {
    /// The name in its server name indication, in lower case; `None` without one, and for one that is no
    /// host name, such as an IP address. With [`ech`](Self::ech) it is the outer, public name.
    pub server_name: Option<Box<str>>,
    /// The protocols that it offers (ALPN), best first, at most 32; bytes that are not printable ASCII are
    /// escaped as in `\x00`.
    pub alpn: Vec<Box<str>>,
    /// Whether it hides its real hello in this one (ECH, RFC 9849). Clients also pretend to.
    pub ech: bool,
}

/// The type of a handshake message.
const CLIENT_HELLO: u8 = 1;
/// The longest hello that is looked at; post-quantum ones are near 2 KiB.
const LONGEST: usize = 64 << 10;
const MOST_ALPN: usize = 32;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Looks at the beginning of a handshake.
pub(super) fn probe(handshake: &[u8]) -> Verdict<TlsHello> {
    settled(look(handshake))
}

fn look(handshake: &[u8]) -> Looked<TlsHello, TlsHello> {
    let mut reader = Reader::new(handshake);
    if reader.u8().ok_or(Verdict::NeedMore)? != CLIENT_HELLO {
        return Err(Verdict::Unknown);
    }
    let length = reader.u24().ok_or(Verdict::NeedMore)?;
    if length > LONGEST {
        return Err(Verdict::Unknown);
    }
    let body = reader.take(length).ok_or(Verdict::NeedMore)?;
    whole(body).ok_or(Verdict::Unknown)
}

/// Reads a whole hello; `None` for one with a mistake in it.
fn whole(body: &[u8]) -> Option<TlsHello> {
    let mut reader = Reader::new(body);
    let version = reader.u16()?;
    let _random = reader.take(32)?;
    let session = reader.short()?;
    let suites = reader.long()?;
    let compressions = reader.short()?;
    let is_sound = version >> 8 == 3
        && session.len() <= 32
        && !suites.is_empty()
        && suites.len().is_multiple_of(2)
        && !compressions.is_empty();
    if !is_sound {
        return None;
    }
    if reader.is_empty() {
        // Before TLS 1.2 a hello could end here.
        return Some(TlsHello::default());
    }
    let mut extensions = Reader::new(reader.long()?);
    if !reader.is_empty() {
        return None;
    }
    let mut hello = TlsHello::default();
    let mut names = 0;
    while !extensions.is_empty() {
        let (kind, content) = (extensions.u16()?, extensions.long()?);
        match kind {
            SERVER_NAME => {
                hello.server_name = server_name(content)?;
                names += 1;
            }
            ALPN => hello.alpn = alpn(content)?,
            ENCRYPTED_CLIENT_HELLO => hello.ech = true,
            _ => {}
        }
    }
    // Two names are two answers to the question where this belongs.
    (names <= 1).then_some(hello)
}

fn server_name(content: &[u8]) -> Option<Option<Box<str>>> {
    let mut reader = Reader::new(content);
    let mut list = Reader::new(reader.long()?);
    let (kind, name) = (list.u8()?, list.long()?);
    // One name of the only kind that there is: a host's.
    let is_sound = reader.is_empty() && list.is_empty() && kind == 0 && !name.is_empty();
    is_sound.then(|| host::name(name))
}

fn alpn(content: &[u8]) -> Option<Vec<Box<str>>> {
    let mut reader = Reader::new(content);
    let mut list = Reader::new(reader.long()?);
    if !reader.is_empty() || list.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    while !list.is_empty() {
        let name = list.short().filter(|name| !name.is_empty())?;
        if names.len() < MOST_ALPN {
            names.push(name.escape_ascii().to_string().into());
        }
    }
    Some(names)
}
