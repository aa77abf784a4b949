//! Version 1: a line such as `PROXY TCP4 192.0.2.1 192.0.2.9 51234 443`.

use super::{Decoded, ProxyAddresses, ProxyHeader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// With its end.
const LONGEST: usize = 107;

pub(super) fn decode(bytes: &[u8]) -> Decoded {
    let beginning = &bytes[..bytes.len().min(LONGEST)];
    let Some(end) = beginning.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST {
            Decoded::NeedMore
        } else {
            Decoded::Malformed("the line of version 1 has no end")
        };
    };
    let line = std::str::from_utf8(&bytes[SIGNATURE.len()..end]).ok();
    match line.and_then(read) {
        Some(addresses) => Decoded::Header(ProxyHeader::new(addresses), end + 2),
        None => Decoded::Malformed("the line of version 1 is not as it must be"),
    }
}

/// What is said after the signature.
fn read(line: &str) -> Option<Option<ProxyAddresses>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(None);
    }
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Some(ProxyAddresses {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        is_datagram: false,
    }))
}

/// Digits alone, without a leading zero.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    (is_plain && is_short).then(|| word.parse().ok()).flatten()
}

pub(super) fn encode(header: &ProxyHeader) -> Vec<u8> {
    let line = match header.addresses {
        Some(ProxyAddresses { source, destination, is_datagram: false })
            if source.is_ipv4() == destination.is_ipv4() =>
        {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip())
        }
        Some(_) | None => "PROXY UNKNOWN\r\n".to_owned(),
    };
    line.into_bytes()
}
