//! Where the requests of one connection begin and end, read more strictly than any parser behind it. No I/O.
//!
//! ```text
//!   Head ── blank line ──┬──▶ Sized(n) ──┬──▶ Head
//!    ▲                   ├──▶ Chunked ───┤
//!    │                   └── no body ────┤
//!    └──── not upgraded ── Held ◀── asks for an upgrade
//! ```
//!
//! What two readers could take in two ways is let through to neither: a length beside `Transfer-Encoding`, two
//! lengths, lines that end in a bare line feed, folded lines, spaces before a colon, and control characters.

use super::fault::Fault;

/// How much a client may say before it has said what it wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Bytes of a head, and of the trailers after a body.
    pub(super) bytes: usize,
    /// Fields of a head.
    pub(super) fields: usize,
}

/// A chunk's size line has at most this many bytes after its size.
const EXTENSION_MAX: usize = 1024;
/// Sixteen hexadecimal digits are all that a number of 64 bits has.
const SIZE_DIGITS_MAX: usize = 16;

/// The place in the stream of requests.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// In a head, of which what was looked at is not let through yet.
    Head(Head),
    /// In a body of known length.
    Sized { left: u64, next: Next },
    /// In a chunked body.
    Chunked { at: Chunk, next: Next },
    /// After a request that asks for another protocol, until it is known who speaks now.
    Held,
}

/// What comes after a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    Held,
}

/// A head that is being looked at.
#[derive(Debug, Default)]
struct Head {
    /// Bytes that were looked at, and where the current line begins.
    seen: usize,
    line: usize,
    request: Option<Request>,
    fields: usize,
    length: Option<u64>,
    is_chunked: bool,
    hosts: u8,
    asks_upgrade: bool,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    is_http_11: bool,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Size {
        size: u64,
        digits: usize,
    },
    Extension {
        size: u64,
        length: usize,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataEnd,
    /// In the trailers: bytes of all, bytes of this line, and whether a return was seen.
    Trailer {
        total: usize,
        line: usize,
        has_returned: bool,
    },
}

impl Framing {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self { limits, phase: Phase::Head(Head::default()) }
    }

    /// Looks at `bytes`, which begin where the last ones that passed have ended, and says how many may go on. None:
    /// more are needed, or nothing may pass now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match &mut self.phase {
            Phase::Head(head) => {
                let Some(length) = head.look_at(bytes, self.limits)? else { return Ok(0) };
                self.phase = head.body()?;
                Ok(length)
            }
            Phase::Sized { left, next } => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                if *left == 0 {
                    self.phase = next.phase();
                }
                Ok(length)
            }
            Phase::Chunked { at, next } => {
                let (length, is_over) = pass_chunks(at, bytes, self.limits.bytes)?;
                if is_over {
                    self.phase = next.phase();
                }
                Ok(length)
            }
            Phase::Held => Ok(0),
        }
    }

    /// How many of the next bytes may pass without a look; they must be told to [`pass`](Self::pass) nevertheless.
    pub(super) fn free(&self) -> u64 {
        match self.phase {
            Phase::Sized { left, .. } | Phase::Chunked { at: Chunk::Data { left }, .. } => left,
            Phase::Head(_) | Phase::Chunked { .. } | Phase::Held => 0,
        }
    }

    /// Whether nothing passes until [`release`](Self::release).
    pub(super) fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held)
    }

    /// Whether it stands between two requests, or in a head.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// The protocol stays: the next request may come.
    pub(super) fn release(&mut self) {
        if self.is_held() {
            self.phase = Next::Head.phase();
        }
    }
}

impl Next {
    fn phase(self) -> Phase {
        match self {
            Self::Head => Phase::Head(Head::default()),
            Self::Held => Phase::Held,
        }
    }
}

impl Head {
    /// The length of the head, once it is all there.
    fn look_at(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, Fault> {
        while self.seen < bytes.len() {
            if self.seen >= limits.bytes {
                return Err(Fault::HeadTooLong);
            }
            let byte = bytes[self.seen];
            let has_returned = self.seen > self.line && bytes[self.seen - 1] == b'\r';
            self.seen += 1;
            match (has_returned, byte) {
                (true, b'\n') => {
                    let line = &bytes[self.line..self.seen - 2];
                    self.line = self.seen;
                    if self.take_line(line, limits)? {
                        return Ok(Some(self.seen));
                    }
                }
                (true, _) => return Err(Fault::BareReturn),
                (false, b'\n') => return Err(Fault::BareLineFeed),
                (false, _) => {}
            }
        }
        Ok(None)
    }

    /// Whether it was the last.
    fn take_line(&mut self, line: &[u8], limits: HeadLimits) -> Result<bool, Fault> {
        let Some(request) = self.request else {
            // Some clients end a body with a line too many.
            if !line.is_empty() {
                self.request = Some(request_line(line)?);
            }
            return Ok(false);
        };
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(Fault::TooManyFields);
        }
        let (name, value) = field(line)?;
        self.take_field(name, value, request)?;
        Ok(false)
    }

    fn take_field(&mut self, name: &[u8], value: &[u8], request: Request) -> Result<(), Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("content-length") {
            if self.length.replace(length(value)?).is_some() {
                return Err(Fault::TwoLengths);
            }
        } else if is("transfer-encoding") {
            if self.is_chunked || !request.is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::TransferEncoding);
            }
            self.is_chunked = true;
        } else if is("host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if is("upgrade") {
            self.asks_upgrade = request.is_http_11;
        }
        Ok(())
    }

    /// What follows the head.
    fn body(&self) -> Result<Phase, Fault> {
        match self.request {
            Some(request) if self.hosts == 1 || (self.hosts == 0 && !request.is_http_11) => {}
            _ => return Err(Fault::Host),
        }
        let next = if self.asks_upgrade { Next::Held } else { Next::Head };
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err(Fault::LengthAndEncoding),
            (None, true) => Ok(Phase::Chunked { at: Chunk::Size { size: 0, digits: 0 }, next }),
            (Some(left @ 1..), false) => Ok(Phase::Sized { left, next }),
            (Some(0) | None, false) => Ok(next.phase()),
        }
    }
}

/// A method, one space, a target of visible characters, one space, and a version that is known.
fn request_line(line: &[u8]) -> Result<Request, Fault> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if !is_token(method) || !is_target {
        return Err(Fault::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(Request { is_http_11: true }),
        b"HTTP/1.0" => Ok(Request { is_http_11: false }),
        _ => Err(Fault::Version),
    }
}

/// The name and the value of a field, the space around the value left out.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(Fault::Folded);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Fault::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_of_value = |&byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !is_token(name) || !value.iter().all(is_of_value) {
        return Err(Fault::Field);
    }
    Ok((name, value.trim_ascii()))
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// Digits and nothing else.
fn length(value: &[u8]) -> Result<u64, Fault> {
    let text = str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(Fault::Length)
}

/// How many bytes of a chunked body passed, and whether it is over.
fn pass_chunks(at: &mut Chunk, bytes: &[u8], limit: usize) -> Result<(usize, bool), Fault> {
    let mut passed = 0;
    while passed < bytes.len() {
        if let Chunk::Data { left } = at {
            let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - passed);
            *left -= length as u64;
            passed += length;
            if *left == 0 {
                *at = Chunk::DataReturn;
            }
            continue;
        }
        let byte = bytes[passed];
        passed += 1;
        match step(*at, byte, limit)? {
            Some(next) => *at = next,
            None => return Ok((passed, true)),
        }
    }
    Ok((passed, false))
}

/// Takes one byte that is no data; none after the last.
fn step(at: Chunk, byte: u8, limit: usize) -> Result<Option<Chunk>, Fault> {
    Ok(Some(match (at, byte) {
        (Chunk::Size { size, digits }, _)
            if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX =>
        {
            let digit = char::from(byte).to_digit(16).unwrap_or_default();
            Chunk::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
        }
        (Chunk::Size { size, digits: 1.. }, b'\r') => Chunk::SizeEnd { size },
        (Chunk::Size { size, digits: 1.. }, b';') => Chunk::Extension { size, length: 0 },
        (Chunk::Extension { size, .. }, b'\r') => Chunk::SizeEnd { size },
        (Chunk::Extension { size, length }, b'\t' | b' '..=b'~' | 0x80..)
            if length < EXTENSION_MAX =>
        {
            Chunk::Extension { size, length: length + 1 }
        }
        (Chunk::SizeEnd { size: 0 }, b'\n') => {
            Chunk::Trailer { total: 0, line: 0, has_returned: false }
        }
        (Chunk::SizeEnd { size }, b'\n') => Chunk::Data { left: size },
        (Chunk::DataReturn, b'\r') => Chunk::DataEnd,
        (Chunk::DataEnd, b'\n') => Chunk::Size { size: 0, digits: 0 },
        (Chunk::Trailer { line: 0, has_returned: true, .. }, b'\n') => return Ok(None),
        (Chunk::Trailer { total, has_returned: true, .. }, b'\n') => {
            Chunk::Trailer { total: total + 1, line: 0, has_returned: false }
        }
        (Chunk::Trailer { total, line, has_returned: false }, b'\r') => {
            Chunk::Trailer { total: total + 1, line, has_returned: true }
        }
        (Chunk::Trailer { line: 0, .. }, b'\t' | b' ') => return Err(Fault::Folded),
        (Chunk::Trailer { total, line, has_returned: false }, b'\t' | b' '..=b'~' | 0x80..)
            if total < limit =>
        {
            Chunk::Trailer { total: total + 1, line: line + 1, has_returned: false }
        }
        _ => return Err(Fault::Chunk),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 20 };

    /// What passes of `bytes`, which come `split` at a time, and what stops it.
    fn run(bytes: &[u8], split: usize) -> (Vec<u8>, Option<Fault>) {
        let (mut framing, mut held, mut passed) = (Framing::new(LIMITS), Vec::new(), Vec::new());
        for piece in bytes.chunks(split.max(1)) {
            held.extend_from_slice(piece);
            loop {
                match framing.pass(&held) {
                    Ok(0) => break,
                    Ok(length) => passed.extend(held.drain(..length)),
                    Err(fault) => return (passed, Some(fault)),
                }
            }
        }
        (passed, None)
    }

    fn fault(text: &str) -> Option<Fault> {
        let faults: Vec<_> = (1..=text.len()).map(|split| run(text.as_bytes(), split).1).collect();
        assert!(faults.windows(2).all(|pair| pair[0] == pair[1]), "{text:?}: {faults:?}");
        faults[0]
    }

    fn head(fields: &str) -> String {
        format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
    }

    #[test]
    fn requests_with_every_kind_of_body_pass_to_the_last_byte() {
        let all = [
            head(""),
            head("Content-Length: 5\r\n") + "hello",
            head("Content-Length: 0\r\n"),
            head("Transfer-Encoding: Chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
            head("transfer-encoding: chunked\r\n")
                + "A;x=\"y\"\r\n0123456789\r\n000\r\nTrailer: v\r\nOther: w\r\n\r\n",
            "\r\nGET / HTTP/1.0\r\n\r\n".to_owned(),
            head("X: \u{fc}\t \r\nY:\r\n"),
        ]
        .concat();
        for split in 1..all.len() {
            assert_eq!(run(all.as_bytes(), split), (all.clone().into_bytes(), None), "{split}");
        }
    }

    #[test]
    fn what_two_readers_could_take_in_two_ways_passes_to_neither() {
        let chunked = |body: &str| head("Transfer-Encoding: chunked\r\n") + body;
        for (text, expected) in [
            (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Fault::LengthAndEncoding),
            (head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Fault::LengthAndEncoding),
            (head("Content-Length: 5\r\nContent-Length: 5\r\n"), Fault::TwoLengths),
            (head("Content-Length: 5, 5\r\n"), Fault::Length),
            (head("Content-Length: +5\r\n"), Fault::Length),
            (head("Content-Length: 0x5\r\n"), Fault::Length),
            (head("Content-Length: \r\n"), Fault::Length),
            (head("Content-Length: 99999999999999999999\r\n"), Fault::Length),
            (head("Transfer-Encoding: gzip, chunked\r\n"), Fault::TransferEncoding),
            (head("Transfer-Encoding: xchunked\r\n"), Fault::TransferEncoding),
            (
                head("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
                Fault::TransferEncoding,
            ),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                Fault::TransferEncoding,
            ),
            (head("Content-Length : 5\r\n"), Fault::Field),
            (head("Transfer-Encoding\t: chunked\r\n"), Fault::Field),
            (head("X\u{0}: 5\r\n"), Fault::Field),
            (head("X: a\u{0}b\r\n"), Fault::Field),
            (head("X: a\u{7f}b\r\n"), Fault::Field),
            (head("no colon\r\n"), Fault::Field),
            (head(": no name\r\n"), Fault::Field),
            (head("X: a\r\n folded\r\n"), Fault::Folded),
            (head("X: a\r\n\tContent-Length: 5\r\n"), Fault::Folded),
            (head("X: a\nContent-Length: 5\r\n"), Fault::BareLineFeed),
            (head("X: a\rContent-Length: 5\r\n"), Fault::BareReturn),
            ("GET / HTTP/1.1\nHost: x\n\n".into(), Fault::BareLineFeed),
            ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n".into(), Fault::RequestLine),
            ("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n".into(), Fault::RequestLine),
            ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".into(), Fault::RequestLine),
            ("GET /\u{fc} HTTP/1.1\r\nHost: x\r\n\r\n".into(), Fault::RequestLine),
            ("GET /\r\n\r\n".into(), Fault::RequestLine),
            ("GET / HTTP/1.2\r\nHost: x\r\n\r\n".into(), Fault::Version),
            ("GET / http/1.1\r\nHost: x\r\n\r\n".into(), Fault::Version),
            ("GET / HTTP/1.1\r\n\r\n".into(), Fault::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), Fault::Host),
            (chunked("5 \r\nhello\r\n0\r\n\r\n"), Fault::Chunk),
            (chunked("0x5\r\nhello\r\n0\r\n\r\n"), Fault::Chunk),
            (chunked(";x\r\nhello\r\n0\r\n\r\n"), Fault::Chunk),
            (chunked("5\nhello\r\n0\r\n\r\n"), Fault::Chunk),
            (chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), Fault::Chunk),
            (chunked("5\r\nhello0\r\n\r\n"), Fault::Chunk),
            (chunked("5\r\nhello\n0\r\n\r\n"), Fault::Chunk),
            (chunked("11111111111111111\r\n"), Fault::Chunk),
            (chunked("0\r\nX: a\n\r\n"), Fault::Chunk),
            (chunked("0\r\nX: a\r\n folded\r\n\r\n"), Fault::Folded),
        ] {
            assert_eq!(fault(&text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn nothing_of_a_head_passes_before_all_of_it_was_looked_at() {
        let text = head("X: a\r\nContent-Length : 5\r\n");
        assert_eq!(run(text.as_bytes(), 1).0, b"");
        let second = head("") + &text;
        assert_eq!(run(second.as_bytes(), 7).0, head("").as_bytes());
    }

    #[test]
    fn a_head_has_no_more_bytes_and_fields_than_it_may() {
        let long = head(&format!("X: {}\r\n", "a".repeat(LIMITS.bytes)));
        assert_eq!(fault(&long[..LIMITS.bytes + 1]), Some(Fault::HeadTooLong));
        assert_eq!(run(&vec![b'a'; LIMITS.bytes], 1).1, None);
        let many = head(&"X: a\r\n".repeat(LIMITS.fields));
        assert_eq!(fault(&many), Some(Fault::TooManyFields));
        let trailers = format!(
            "{}0\r\nX: {}\r\n\r\n",
            head("Transfer-Encoding: chunked\r\n"),
            "a".repeat(LIMITS.bytes + 1)
        );
        assert_eq!(run(trailers.as_bytes(), 999).1, Some(Fault::Chunk));
    }

    #[test]
    fn after_a_request_for_another_protocol_nothing_passes_until_it_is_decided() {
        let mut framing = Framing::new(LIMITS);
        let asks =
            head("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n") + "ab";
        let early = "early bytes";
        let all = asks + early;
        let length = framing.pass(all.as_bytes()).unwrap();
        assert_eq!(framing.pass(&all.as_bytes()[length..]), Ok(2));
        assert!(framing.is_held());
        assert_eq!(framing.pass(early.as_bytes()), Ok(0));
        framing.release();
        assert_eq!(framing.pass(head("").as_bytes()), Ok(head("").len()));
        assert!(framing.is_in_head());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_how_they_were_cut_changes_nothing(
            begins: bool, bytes in prop::collection::vec(any::<u8>(), 0..400), split in 1usize..50,
        ) {
            let mut all = Vec::new();
            if begins {
                all.extend(head("Transfer-Encoding: chunked\r\n").bytes());
            }
            all.extend(bytes);
            let whole = run(&all, all.len());
            let (passed, fault) = run(&all, split);
            prop_assert!(all.starts_with(&passed));
            prop_assert_eq!(fault, whole.1);
            prop_assert!(fault.is_some() || passed == whole.0);
        }

        #[test]
        fn bodies_of_any_length_end_where_they_say(
            lengths in prop::collection::vec(0usize..300, 1..6), chunked: bool, split in 1usize..70,
        ) {
            let mut all = String::new();
            for length in lengths {
                let body = "x".repeat(length);
                if chunked {
                    all += &head("Transfer-Encoding: chunked\r\n");
                    if length > 0 {
                        all += &format!("{length:x}\r\n{body}\r\n");
                    }
                    all += "0\r\n\r\n";
                } else {
                    all += &head(&format!("Content-Length: {length}\r\n"));
                    all += &body;
                }
            }
            let (passed, fault) = run(all.as_bytes(), split);
            prop_assert_eq!((passed.len(), fault), (all.len(), None));
        }
    }
}
