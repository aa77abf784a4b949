//! Names of hosts as peers write them: checked, in lower case, without a final dot.

use std::net::{IpAddr, Ipv6Addr};

/// The longest name that DNS can hold, without its final dot.
const LONGEST: usize = 253;

/// The name of a host, where `bytes` are one. An IP address is none.
pub(super) fn name(bytes: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if text.len() > LONGEST || !text.split('.').all(is_label) || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    Some(text.to_ascii_lowercase().into())
}

/// The host of `host:port`, `host` or `[v6]:port`: a name, or an IP address without brackets.
pub(super) fn of_authority(bytes: &[u8]) -> Option<Box<str>> {
    if let Some(inside) = bytes.strip_prefix(b"[") {
        let end = inside.iter().position(|byte| *byte == b']')?;
        let (literal, after) = inside.split_at(end);
        is_port(&after[1..]).then_some(())?;
        let literal: Ipv6Addr = std::str::from_utf8(literal).ok()?.parse().ok()?;
        return Some(literal.to_string().into());
    }
    let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
    let (host, after) = bytes.split_at(end);
    is_port(after).then_some(())?;
    name(host).or_else(|| {
        let literal: IpAddr = std::str::from_utf8(host).ok()?.parse().ok()?;
        Some(literal.to_string().into())
    })
}

/// Nothing, or a colon and up to five digits.
fn is_port(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((colon, digits)) => {
            *colon == b':' && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_and_has_no_final_dot() {
        assert_eq!(name(b"WWW.Example.COM.").as_deref(), Some("www.example.com"));
        assert_eq!(name(b"_acme.a-b.example").as_deref(), Some("_acme.a-b.example"));
    }

    #[test]
    fn what_dns_cannot_hold_is_no_name() {
        let long = format!("{}.example", ["a"; 130].join("."));
        for bad in ["", ".", "a..b", "a b", "a\0b", "127.0.0.1", "::1", "ü.example", &long] {
            assert_eq!(name(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(name(&[0xff, b'a']), None);
        assert_eq!(name(&[b'a'; 64]), None);
    }

    #[test]
    fn an_authority_is_a_host_with_or_without_a_port() {
        for (authority, host) in [
            ("Example.com", Some("example.com")),
            ("example.com:8080", Some("example.com")),
            ("example.com:", Some("example.com")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("::1")),
            ("[::0001]", Some("::1")),
            ("[::1", None),
            ("[::1]80", None),
            ("user@example.com", None),
            ("example.com:80a", None),
            ("example.com:123456", None),
            ("", None),
        ] {
            assert_eq!(of_authority(authority.as_bytes()).as_deref(), host, "{authority}");
        }
    }
}
