//! HTTP/1 requests up to the host that they ask for, and the preface of HTTP/2.

use super::{Looked, TcpProbedProtocol, Verdict, host, settled};

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than any registered method.
const LONGEST_METHOD: usize = 24;

pub(super) fn probe(bytes: &[u8]) -> Verdict<TcpProbedProtocol> {
    if bytes.starts_with(PREFACE) {
        return Verdict::Is(TcpProbedProtocol::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return Verdict::NeedMore;
    }
    settled(request(bytes)).map(|host| TcpProbedProtocol::Http1 { host })
}

type Host = Option<Box<str>>;

/// The host that a request asks for: of its target where that names one, else of its Host field.
fn request(bytes: &[u8]) -> Looked<Host, Host> {
    check_method(bytes)?;
    let (first, mut rest) = line(bytes)?;
    let target = target(first).ok_or(Verdict::Unknown)?;
    if let Some(authority) = authority(first, target) {
        return Ok(host::of_authority(authority));
    }
    loop {
        let (field, after) = line(rest)?;
        if field.is_empty() {
            return Ok(None);
        }
        let (name, value) = split_at_colon(field).ok_or(Verdict::Unknown)?;
        if name.eq_ignore_ascii_case(b"host") {
            return Ok(host::of_authority(value.trim_ascii()));
        }
        rest = after;
    }
}

/// A method and a space, as far as they are there. Methods could be any token, but none is in lower case.
fn check_method(bytes: &[u8]) -> Looked<(), Host> {
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    let length = bytes.iter().take_while(|byte| is_letter(byte)).count();
    if length > LONGEST_METHOD {
        return Err(Verdict::Unknown);
    }
    match bytes.get(length) {
        None => Err(Verdict::NeedMore),
        Some(b' ') if length > 0 => Ok(()),
        Some(_) => Err(Verdict::Unknown),
    }
}

/// The next line without its end, and what follows it. A line feed alone ends none, and no line holds any
/// other control character but a tab.
fn line(bytes: &[u8]) -> Looked<(&[u8], &[u8]), Host> {
    let ends = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    let end = bytes.iter().position(ends).ok_or(Verdict::NeedMore)?;
    let (line, rest) = bytes.split_at(end);
    if rest[0] != b'\r' {
        return Err(Verdict::Unknown);
    }
    match rest.get(1) {
        None => Err(Verdict::NeedMore),
        Some(b'\n') => Ok((line, &rest[2..])),
        Some(_) => Err(Verdict::Unknown),
    }
}

/// The target of a request line of HTTP/1.
fn target(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (_method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let is_http1 = matches!(version, b"HTTP/1.0" | b"HTTP/1.1");
    (is_http1 && !target.is_empty() && parts.next().is_none()).then_some(target)
}

/// The authority in a target of the absolute form or, after CONNECT, of the authority form.
fn authority<'a>(line: &[u8], target: &'a [u8]) -> Option<&'a [u8]> {
    if line.starts_with(b"CONNECT ") {
        return Some(target);
    }
    let scheme = target.windows(3).position(|window| window == b"://")?;
    if target[..scheme].iter().any(|byte| !byte.is_ascii_alphanumeric()) {
        return None;
    }
    let after = &target[scheme + 3..];
    let end = after.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(&after[..end.unwrap_or(after.len())])
}

fn split_at_colon(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&field[..colon], &field[colon + 1..]);
    let is_name = |byte: &u8| byte.is_ascii_graphic();
    (!name.is_empty() && name.iter().all(is_name)).then_some((name, value))
}
