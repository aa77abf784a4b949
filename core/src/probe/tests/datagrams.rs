//! Claims about datagrams.

use super::samples::{full_hello, hello, server_name};
use crate::probe::{
    DnsQuery, UdpProbedProtocol, Verdict,
    quic::testing::{datagram, datagram_to},
};
use proptest::prelude::*;

const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;

fn probe(datagrams: &[Vec<u8>]) -> Verdict<UdpProbedProtocol> {
    UdpProbedProtocol::probe(datagrams)
}

fn one(datagram: &[u8]) -> Verdict<UdpProbedProtocol> {
    UdpProbedProtocol::probe(&[datagram])
}

/// The version and the server name, where it is QUIC.
fn quic(datagrams: &[Vec<u8>]) -> Option<(u32, Option<String>)> {
    match probe(datagrams) {
        Verdict::Is(UdpProbedProtocol::Quic { version, hello }) => {
            Some((version, hello.server_name.map(Into::into)))
        }
        _ => None,
    }
}

fn www(version: u32) -> Option<(u32, Option<String>)> {
    Some((version, Some("www.example.com".to_owned())))
}

/// A query for `name`, with `additional` records behind it.
fn dns(name: &str, query_type: u16, additional: u8) -> Vec<u8> {
    let label = |label: &str| [&[label.len() as u8][..], label.as_bytes()].concat();
    let name: Vec<u8> = name.split('.').filter(|part| !part.is_empty()).flat_map(label).collect();
    let options = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0].repeat(additional.into());
    let head = [0xab, 0xcd, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, additional];
    [&head[..], &name, &[0], &query_type.to_be_bytes(), &[0, 1], &options].concat()
}

#[test]
fn a_hello_in_one_datagram_is_told_in_both_versions() {
    let handshake = full_hello(100);
    for version in [V1, V2] {
        assert_eq!(quic(&[datagram(version, 0, 0, &handshake)]), www(version));
    }
}

#[test]
fn a_hello_over_several_datagrams_is_told_in_any_order_with_repetitions() {
    let handshake = full_hello(1700);
    for version in [V1, V2] {
        let parts: Vec<_> = handshake
            .chunks(700)
            .enumerate()
            .map(|(number, part)| datagram(version, number as u8, number * 700, part))
            .collect();
        let [a, b, c] = parts.as_slice() else { panic!("{}", parts.len()) };
        for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            let order: Vec<_> = order.into_iter().cloned().collect();
            assert_eq!(probe(&order[..2]), Verdict::NeedMore);
            assert_eq!(quic(&order), www(version));
        }
        let repeated = [b, b, a, b, a, c].map(Clone::clone);
        assert_eq!(probe(&repeated[..5]), Verdict::NeedMore);
        assert_eq!(quic(&repeated), www(version));
    }
}

#[test]
fn packets_that_share_a_datagram_are_all_looked_at() {
    let handshake = full_hello(1000);
    let (first, second) = handshake.split_at(600);
    let pair = [datagram(V1, 0, 0, first), datagram(V1, 1, 600, second)].concat();
    assert_eq!(quic(&[pair]), www(V1));
    let behind_it = [datagram(V1, 0, 0, &full_hello(10)), vec![0x45; 80]].concat();
    assert_eq!(quic(&[behind_it]), www(V1));
}

#[test]
fn early_data_that_overtakes_the_hello_is_waited_past() {
    let mut early = datagram(V1, 0, 0, b"x");
    early[0] |= 0x10;
    assert_eq!(probe(std::slice::from_ref(&early)), Verdict::NeedMore);
    assert_eq!(quic(&[early, datagram(V1, 0, 0, &full_hello(10))]), www(V1));
}

#[test]
fn a_hello_that_starts_anew_after_a_retry_is_told() {
    let handshake = full_hello(1500);
    let (first, second) = handshake.split_at(900);
    let flight = [
        datagram(V1, 0, 0, first),
        datagram_to(b"anew-anew", V1, 1, 0, first),
        datagram_to(b"anew-anew", V1, 2, 900, second),
    ];
    assert_eq!(quic(&flight), www(V1));
}

#[test]
fn a_first_datagram_that_does_not_open_is_unknown_and_later_ones_do_no_harm() {
    let handshake = full_hello(1700);
    let (first, second) = handshake.split_at(1000);
    let first = datagram(V1, 0, 0, first);
    let mut forged = first.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(one(&forged), Verdict::Unknown);
    let flight = [first, forged, vec![7; 40], datagram(V1, 2, 1000, second)];
    assert_eq!(quic(&flight), www(V1));
}

#[test]
fn a_short_initial_and_a_foreign_version_are_unknown() {
    let datagram = datagram(V1, 0, 0, &full_hello(10));
    assert_eq!(one(&datagram[..1199]), Verdict::Unknown);
    let mut draft = datagram;
    draft[4] = 9;
    assert_eq!(one(&draft), Verdict::Unknown);
}

#[test]
fn a_hello_that_never_ends_is_given_up() {
    let part = datagram(V1, 0, 0, &full_hello(1700)[..500]);
    assert_eq!(probe(&vec![part.clone(); 15]), Verdict::NeedMore);
    assert_eq!(probe(&vec![part; 16]), Verdict::Unknown);
}

#[test]
fn a_dns_query_is_told_with_its_name() {
    for (name, expected, additional) in
        [("WWW.Example.com", "www.example.com", 0), ("", ".", 1), ("a b.c", "a\\x20b.c", 1)]
    {
        let query = DnsQuery { name: expected.into(), query_type: 28 };
        let datagram = dns(name, 28, additional);
        assert_eq!(one(&datagram), Verdict::Is(UdpProbedProtocol::Dns(query)));
    }
}

#[test]
fn what_is_nearly_a_dns_query_is_unknown() {
    let whole = dns("a.example", 1, 0);
    for (place, byte) in [(2, 0x81), (2, 0x29), (5, 2), (7, 1), (9, 1), (11, 1), (12, 0xc0)] {
        let mut datagram = whole.clone();
        datagram[place] = byte;
        assert_eq!(one(&datagram), Verdict::Unknown, "{place}");
    }
    assert_eq!(one(&whole[..whole.len() - 1]), Verdict::Unknown);
    assert_eq!(one(&[&whole[..], &[0]].concat()), Verdict::Unknown);
    assert_eq!(one(&dns(&["abcdefg"; 40].join("."), 1, 0)), Verdict::Unknown);
}

#[test]
fn stun_and_wireguard_are_told_by_length_and_beginning() {
    let stun = [&[0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[9; 4]].concat();
    assert_eq!(one(&stun), Verdict::Is(UdpProbedProtocol::Stun));
    assert_eq!(one(&stun[..20]), Verdict::Unknown);
    let wireguard = [&[1, 0, 0, 0][..], &[7; 144]].concat();
    assert_eq!(one(&wireguard), Verdict::Is(UdpProbedProtocol::WireGuard));
    assert_eq!(one(&wireguard[..147]), Verdict::Unknown);
}

#[test]
fn each_protocol_has_its_name() {
    let wireguard = [&[1, 0, 0, 0][..], &[7; 144]].concat();
    for datagram in [wireguard, datagram(V2, 0, 0, &full_hello(9)), dns("a", 1, 0)] {
        let verdict = one(&datagram);
        let json = serde_json::to_value(&verdict).unwrap();
        let protocol = verdict.found().unwrap();
        assert!(UdpProbedProtocol::NAMES.contains(&protocol.name()));
        assert_eq!(json["protocol"], protocol.name());
    }
}

proptest! {
    #[test]
    fn no_datagrams_make_it_panic_or_change_its_mind(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4),
    ) {
        let mut decided = Verdict::NeedMore;
        for count in 0..=datagrams.len() {
            let verdict = probe(&datagrams[..count]);
            prop_assert!(decided == Verdict::NeedMore || decided == verdict);
            decided = verdict;
        }
    }

    /// Sealed by whoever likes to: what is inside an Initial packet is as foreign as what is outside.
    #[test]
    fn no_sealed_payload_makes_it_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..900),
        start in 0usize..16_000,
        version in prop::sample::select(vec![V1, V2]),
    ) {
        let _ = one(&datagram(version, 0, start, &payload));
        let _ = one(&crate::probe::quic::testing::sealed(b"8bytes+1", version, 0, payload));
    }

    #[test]
    fn no_change_to_an_initial_makes_it_panic(
        changes in proptest::collection::vec((0usize..60, any::<u8>()), 0..4),
        cut in 0usize..1300,
    ) {
        let handshake = hello(&[server_name(b"a.example")]);
        let mut datagram = datagram(V1, 0, 0, &handshake);
        for (place, byte) in changes {
            datagram[place] = byte;
        }
        datagram.truncate(cut);
        datagram.resize(1200.max(cut), 0x5a);
        let _ = one(&datagram);
    }
}
