//! First messages as clients send them.

use crate::probe::{PostgresRequest, TcpProbedProtocol, TlsHello};

/// An extension of a hello.
pub(super) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(content)].concat()
}

pub(super) fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &long(&[&[0][..], &long(name)].concat()))
}

pub(super) fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| short(name)).collect();
    extension(16, &long(&list))
}

/// A whole handshake message with these extensions.
pub(super) fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &short(&[9; 32]),
        &long(&[0x13, 1, 0x13, 2]),
        &short(&[0]),
        &long(&extensions.concat()),
    ]
    .concat();
    [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat()
}

/// A hello with a name, two protocols, a key of `key` bytes and what is said to confuse middleboxes.
pub(super) fn full_hello(key: usize) -> Vec<u8> {
    let grease = extension(0x0a0a, &[0]);
    let keys = extension(51, &vec![5; key]);
    hello(&[grease, server_name(b"WWW.example.com"), alpn(&[b"h2", b"http/1.1"]), keys])
}

pub(super) fn records(handshake: &[u8], length: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| [&[22, 3, 1][..], &long(fragment)].concat();
    handshake.chunks(length).flat_map(record).collect()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8][..], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

pub(super) fn postgres(code: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 8;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

/// One of each, with its verdict.
pub(super) fn streams() -> Vec<(Vec<u8>, TcpProbedProtocol)> {
    use TcpProbedProtocol::*;
    let http = |text: &str, host: Option<&str>| {
        (text.as_bytes().to_vec(), Http1 { host: host.map(Into::into) })
    };
    let named = TlsHello {
        server_name: Some("www.example.com".into()),
        alpn: vec!["h2".into(), "http/1.1".into()],
        ech: false,
    };
    let startup =
        PostgresRequest::Startup { user: Some("alice".into()), database: Some("shop".into()) };
    vec![
        (records(&full_hello(1200), 1 << 14), Tls(named.clone())),
        (records(&full_hello(40), 11), Tls(named)),
        (records(&hello(&[]), 1 << 14), Tls(TlsHello::default())),
        http(
            "GET / HTTP/1.1\r\nUser-Agent: x\r\nHost: Shop.Example:8080\r\n",
            Some("shop.example"),
        ),
        http("GET / HTTP/1.0\r\n\r\n", None),
        http("CONNECT db.example:5432 HTTP/1.1\r\n", Some("db.example")),
        http("OPTIONS http://a.example/x HTTP/1.1\r\n", Some("a.example")),
        http("M-SEARCH * HTTP/1.1\r\nhost:[::1]:1900\r\n", Some("::1")),
        http("POST /a://b HTTP/1.1\r\nHost: a_b\r\n", Some("a_b")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Http2),
        (b"SSH-".to_vec(), Ssh),
        (vec![5, 3, 0, 1, 2], Socks5),
        (postgres(3 << 16, b"user\0alice\0database\0shop\0\0"), PostgreSql(startup)),
        (postgres(80_877_103, b""), PostgreSql(PostgresRequest::Ssl)),
        (postgres(80_877_104, b""), PostgreSql(PostgresRequest::Gss)),
        (postgres(80_877_102, &[1; 8]), PostgreSql(PostgresRequest::Cancel)),
        (b"*1\r\n$4\r\n".to_vec(), Redis),
        (b"*12\r\n$3\r\n".to_vec(), Redis),
        (vec![0x10, 0x90, 0x01, 0, 4, b'M', b'Q', b'T', b'T', 5], Mqtt { level: 5 }),
        (vec![0x10, 20, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3], Mqtt { level: 3 }),
    ]
}
