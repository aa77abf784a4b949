//! Headers as proxies send them, cut, changed and invented.

use super::*;
use proptest::prelude::*;

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn between(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::new(Some(ProxyAddresses::of_connection(end(source), end(destination))))
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    [v2::SIGNATURE, &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 9, 0xc8, 0x22, 1, 0xbb];

fn malformed(bytes: &[u8]) -> bool {
    matches!(ProxyHeader::decode(bytes), Decoded::Malformed(_))
}

fn any_header() -> impl Strategy<Value = ProxyHeader> {
    let ends = (any::<SocketAddr>(), any::<SocketAddr>(), any::<bool>());
    let tlv = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_filter("written and dropped by the codec itself", |(kind, _)| !matches!(kind, 3 | 4))
        .prop_map(|(kind, value)| ProxyTlv { kind, value: value.into() });
    let addresses = prop::option::of(ends).prop_map(|ends| {
        ends.map(|(source, destination, is_datagram)| ProxyAddresses {
            is_datagram,
            ..ProxyAddresses::of_connection(source, destination)
        })
    });
    (addresses, prop::collection::vec(tlv, 0..6))
        .prop_map(|(addresses, tlvs)| ProxyHeader { addresses, tlvs })
}

#[test]
fn a_line_of_version_1_is_read_and_written() {
    for (line, header) in [
        (
            "PROXY TCP4 192.0.2.1 192.0.2.9 51234 443\r\n",
            between("192.0.2.1:51234", "192.0.2.9:443"),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", between("[2001:db8::1]:1", "[::1]:65535")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::default()),
    ] {
        let bytes = [line.as_bytes(), b"GET /"].concat();
        assert_eq!(ProxyHeader::decode(&bytes), Decoded::Header(header.clone(), line.len()));
        assert_eq!(header.encode(ProxyVersion::V1), line.as_bytes());
    }
    let line = b"PROXY UNKNOWN ffff::1 whatever\r\n";
    assert_eq!(ProxyHeader::decode(line), Decoded::Header(ProxyHeader::default(), line.len()));
}

#[test]
fn a_line_of_version_1_with_a_mistake_is_malformed() {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.9 51234\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 51234 443 1\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.9 51234 443\r\n",
        "PROXY TCP4 192.0.2.1 ::1 51234 443\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.9 51234 443\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.9 51234 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 01 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.9 65536 443\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.9 1 443\r\n",
        "PROXY \r\n",
    ] {
        assert!(malformed(line.as_bytes()), "{line}");
    }
    assert!(malformed(&[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat()));
    assert_eq!(
        ProxyHeader::decode(&[b"PROXY UNKNOWN ", &[b'x'; 92][..]].concat()),
        Decoded::NeedMore
    );
}

#[test]
fn version_2_tells_addresses_families_and_tlvs() {
    let body = [&V4[..], &[2, 0, 9], b"a.example", &[4, 0, 2, 0, 0], &[5, 0, 0]].concat();
    let mut header = between("192.0.2.1:51234", "192.0.2.9:443");
    header.tlvs = vec![
        ProxyTlv { kind: 2, value: b"a.example"[..].into() },
        ProxyTlv { kind: 5, value: [].into() },
    ];
    let bytes = v2(0x21, 0x11, &body);
    assert_eq!(ProxyHeader::decode(&bytes), Decoded::Header(header, bytes.len()));

    let datagram = v2(0x21, 0x12, &V4);
    let Decoded::Header(told, _) = ProxyHeader::decode(&datagram) else { panic!() };
    assert!(told.addresses.unwrap().is_datagram);
}

#[test]
fn a_proxy_that_speaks_for_itself_or_of_no_host_announces_nobody() {
    for bytes in [
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &V4),
        v2(0x20, 0x77, b"whatever"),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x31, &[7; 216]),
    ] {
        let nobody = Decoded::Header(ProxyHeader::default(), bytes.len());
        assert_eq!(ProxyHeader::decode(&bytes), nobody);
    }
}

#[test]
fn version_2_with_a_mistake_is_malformed() {
    for bytes in [
        v2(0x22, 0x11, &V4),
        v2(0x11, 0x11, &V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x21, &V4),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x13, &V4),
        v2(0x21, 0x00, &[5, 0]),
        v2(0x21, 0x00, &[5, 0, 3, 1, 2]),
        v2(0x21, 0x00, &[3, 0, 3, 1, 2, 3]),
        v2(0x21, 0x00, &[9, 0, 0].repeat(65)),
    ] {
        assert!(malformed(&bytes), "{bytes:?}");
    }
    // Told by its first 16 bytes: nobody collects what is too long.
    assert!(malformed(&v2(0x21, 0x00, &[4; 4097])[..16]));
}

#[test]
fn a_checksum_is_verified_and_every_changed_byte_shows() {
    let mut header = between("192.0.2.1:51234", "[2001:db8::9]:443");
    header.tlvs = vec![ProxyTlv { kind: 1, value: b"h2"[..].into() }];
    let bytes = header.encode(ProxyVersion::V2);
    assert_eq!(ProxyHeader::decode(&bytes), Decoded::Header(header, bytes.len()));
    for place in 12..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 0x40;
        let is_whole = matches!(ProxyHeader::decode(&changed), Decoded::Header(..));
        // The type of the checksum itself makes it a TLV that nobody knows.
        assert_eq!(is_whole, place == bytes.len() - 7, "{place}");
    }
}

#[test]
fn ends_of_two_families_are_both_told_as_ipv6_and_mapped_ones_as_ipv4() {
    let mixed = ProxyAddresses::of_connection(end("192.0.2.1:1"), end("[2001:db8::9]:2"));
    assert_eq!(mixed.source, end("[::ffff:192.0.2.1]:1"));
    let mapped = ProxyAddresses::of_connection(end("[::ffff:192.0.2.1]:1"), end("192.0.2.9:2"));
    assert_eq!(mapped.source, end("192.0.2.1:1"));
}

#[test]
fn what_is_no_header_is_told_with_its_first_other_byte() {
    for bytes in [&b"GET /"[..], b"PROXX", b"\r\n\r\nx", b"\r\n\r\n\0\r\nQUIT\r", b"\x16\x03\x01"] {
        assert_eq!(ProxyHeader::decode(bytes), Decoded::Absent);
    }
    for bytes in [&b""[..], b"PRO", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00"] {
        assert_eq!(ProxyHeader::decode(bytes), Decoded::NeedMore);
    }
}

#[test]
fn tlvs_that_do_not_fit_are_left_out() {
    let large = |kind| ProxyTlv { kind, value: vec![7; 2000].into() };
    let header = ProxyHeader { addresses: None, tlvs: vec![large(1), large(2), large(5)] };
    let bytes = header.encode(ProxyVersion::V2);
    let Decoded::Header(told, length) = ProxyHeader::decode(&bytes) else { panic!() };
    assert_eq!((told.tlvs.len(), length), (2, bytes.len()));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_however_it_is_cut(header in any_header(), more in any::<[u8; 3]>()) {
        let bytes = header.encode(ProxyVersion::V2);
        for length in 0..bytes.len() {
            prop_assert_eq!(ProxyHeader::decode(&bytes[..length]), Decoded::NeedMore);
        }
        let whole = [&bytes[..], &more].concat();
        prop_assert_eq!(ProxyHeader::decode(&whole), Decoded::Header(header, bytes.len()));
    }

    #[test]
    fn no_bytes_make_it_panic_or_change_its_mind(
        start in prop::sample::select(vec![&b""[..], v1::SIGNATURE, v2::SIGNATURE, b"PROXY TCP4 "]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, &rest].concat();
        let mut decided = Decoded::NeedMore;
        for length in 0..=bytes.len() {
            let decoded = ProxyHeader::decode(&bytes[..length]);
            prop_assert!(decided == Decoded::NeedMore || decided == decoded);
            decided = decoded;
        }
    }
}
