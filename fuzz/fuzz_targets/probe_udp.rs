//! No datagrams make the probe panic, and no further one changes its mind.
//!
//! An input is a list of datagrams, each behind its length of two bytes. A long one is padded to what QUIC
//! asks for, so that the parsers behind the length are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::{UdpProbedProtocol, Verdict};

fuzz_target!(|bytes: &[u8]| {
    let datagrams = datagrams(bytes);
    let mut decided = Verdict::NeedMore;
    for count in 0..=datagrams.len() {
        let verdict = UdpProbedProtocol::probe(&datagrams[..count]);
        assert!(decided == Verdict::NeedMore || decided == verdict);
        decided = verdict;
    }
});

fn datagrams(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)) % 1500;
        let (datagram, after) = after.split_at(length.min(after.len()));
        let mut datagram = datagram.to_vec();
        if length >= 1200 {
            datagram.resize(length, 0);
        }
        datagrams.push(datagram);
        rest = after;
    }
    datagrams
}
