//! Claims about streams.

use super::samples::*;
use crate::probe::{PostgresRequest, TcpProbedProtocol, TlsHello, Verdict};
use proptest::prelude::*;

fn probe(bytes: &[u8]) -> Verdict<TcpProbedProtocol> {
    TcpProbedProtocol::probe(bytes)
}

fn tls(bytes: &[u8]) -> Option<TlsHello> {
    match probe(bytes) {
        Verdict::Is(TcpProbedProtocol::Tls(hello)) => Some(hello),
        _ => None,
    }
}

/// The verdict of the shortest beginning that has one, after checking that each longer one has it too.
fn settled(bytes: &[u8]) -> Result<Verdict<TcpProbedProtocol>, String> {
    let mut decided = Verdict::NeedMore;
    for length in 0..=bytes.len() {
        let verdict = probe(&bytes[..length]);
        if decided != Verdict::NeedMore && decided != verdict {
            return Err(format!("at {length}: first {decided:?}, then {verdict:?}"));
        }
        decided = verdict;
    }
    Ok(decided)
}

#[test]
fn a_stream_cut_at_every_byte_is_told_with_its_last_byte_and_stays_told() {
    for (bytes, expected) in streams() {
        for length in 0..bytes.len() {
            assert_eq!(probe(&bytes[..length]), Verdict::NeedMore, "{expected:?} at {length}");
        }
        let with_more = [&bytes[..], &[0, 255, b'\n', 22]].concat();
        assert_eq!(probe(&bytes), Verdict::Is(expected.clone()));
        assert_eq!(probe(&with_more), Verdict::Is(expected));
    }
}

#[test]
fn each_protocol_has_its_name() {
    for (_, protocol) in streams() {
        assert!(TcpProbedProtocol::NAMES.contains(&protocol.name()));
        let json = serde_json::to_value(Verdict::Is(protocol.clone())).unwrap();
        assert_eq!(json["verdict"], "is");
        assert_eq!(json["protocol"], protocol.name());
    }
}

#[test]
fn a_hello_means_the_same_in_records_of_any_length() {
    let handshake = full_hello(1700);
    let whole = tls(&records(&handshake, 1 << 14)).unwrap();
    assert_eq!(whole.server_name.as_deref(), Some("www.example.com"));
    for length in 1..handshake.len() {
        assert_eq!(tls(&records(&handshake, length)).as_ref(), Some(&whole), "{length}");
    }
}

#[test]
fn a_hello_with_early_data_behind_it_is_still_one() {
    let mut bytes = records(&full_hello(32), 1 << 14);
    bytes.extend_from_slice(&[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 9, 9]);
    assert!(tls(&bytes).is_some());
}

#[test]
fn a_hello_longer_than_a_record_is_told() {
    let handshake = hello(&[extension(51, &vec![1; 30_000]), server_name(b"a.example")]);
    let hello = tls(&records(&handshake, 1 << 14)).unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("a.example"));
}

#[test]
fn the_outer_name_of_an_encrypted_hello_is_told_as_such() {
    let handshake = hello(&[server_name(b"public.example"), extension(0xfe0d, &[0; 200])]);
    let hello = tls(&records(&handshake, 100)).unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("public.example"));
    assert!(hello.ech);
}

#[test]
fn a_name_that_is_no_host_name_counts_as_none() {
    for name in [&b"127.0.0.1"[..], b"::1", b"a b", b"a\0.example", b"\xff.example"] {
        let hello = tls(&records(&hello(&[server_name(name)]), 1 << 14)).unwrap();
        assert_eq!(hello.server_name, None, "{name:?}");
    }
}

#[test]
fn what_is_not_printable_in_alpn_is_escaped_and_the_list_is_bounded() {
    let many = vec![&b"x"[..]; 200];
    let hello = |names: &[&[u8]]| tls(&records(&hello(&[alpn(names)]), 1 << 14)).unwrap();
    assert_eq!(hello(&[b"\x0a\x0a", b"h2"]).alpn, ["\\n\\n".into(), "h2".into()]);
    assert_eq!(hello(&many).alpn.len(), 32);
}

#[test]
fn a_hello_with_a_mistake_is_unknown() {
    let two_names = hello(&[server_name(b"a.example"), server_name(b"b.example")]);
    let no_protocol = hello(&[extension(16, &[0, 0])]);
    let empty_name = hello(&[server_name(b"")]);
    let mut server_hello = hello(&[]);
    server_hello[0] = 2;
    for handshake in [two_names, no_protocol, empty_name, server_hello] {
        assert_eq!(probe(&records(&handshake, 1 << 14)), Verdict::Unknown);
    }
    assert_eq!(probe(&[22, 3, 1, 0, 0]), Verdict::Unknown);
    assert_eq!(probe(&[22, 3, 1, 0x40, 1]), Verdict::Unknown);
    assert_eq!(probe(&[22, 3, 1, 0, 4, 1, 1, 0, 1]), Verdict::Unknown);
}

#[test]
fn what_is_nearly_a_protocol_is_unknown() {
    for bytes in [
        &b"get / HTTP/1.1\r\n"[..],
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/2.0\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n",
        b"GET / HTTP/1.1\r\nA: b\nHost: c\r\n",
        b"EHLO mail.example\r\n",
        b"AVERYLONGMETHODTHATNOBODYKNOWS ",
        b"*0\r\n",
        b"*01\r\n",
        b"*1\r\n+OK\r\n",
        b"*12345678",
        &[5, 0],
        &[5, 1, 10],
        &[5, 2, 1, 1],
        &[0x10, 0xff, 0xff, 0xff, 0xff],
        &[0x10, 10, 0, 4, b'M', b'Q', b'X'],
        &[0x10, 10, 0, 4, b'M', b'Q', b'T', b'T', 6],
        &postgres(2 << 16, b"user\0a\0\0"),
        &postgres(3 << 16, b"user\0a\0\0behind"),
        &postgres(3 << 16, b"user\0a"),
        &[0, 0, 0, 7],
        &[0, 0, 0x27, 0x11],
        &[0xff; 8],
        b"\r\n",
    ] {
        assert_eq!(probe(bytes), Verdict::Unknown, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn a_name_in_a_startup_that_is_no_text_is_left_out() {
    let bytes = postgres(3 << 16, b"database\0\xff\0user\0bob\0\0");
    let expected = PostgresRequest::Startup { user: Some("bob".into()), database: None };
    assert_eq!(probe(&bytes), Verdict::Is(TcpProbedProtocol::PostgreSql(expected)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_change_its_mind(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(settled(&bytes).is_ok());
    }

    #[test]
    fn no_change_to_a_message_makes_it_panic_or_change_its_mind(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let samples = streams();
        let mut bytes = samples[which.index(samples.len())].0.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.remove(cut.index(bytes.len()));
        let settled = settled(&bytes);
        prop_assert!(settled.is_ok(), "{:?}", settled);
    }
}
