//! No bytes make the reader of PROXY headers panic or change its mind, and what was read is written alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::{ProxyHeader, ProxyVersion, proxy_protocol::Decoded};

fuzz_target!(|bytes: &[u8]| {
    let mut decided = Decoded::NeedMore;
    let step = bytes.len() / 256 + 1;
    for length in (0..=bytes.len()).step_by(step).chain([bytes.len()]) {
        let decoded = ProxyHeader::decode(&bytes[..length]);
        assert!(decided == Decoded::NeedMore || decided == decoded);
        decided = decoded;
    }
    if let Decoded::Header(header, _) = decided {
        let again = header.encode(ProxyVersion::V2);
        // A checksum more may not fit beside the longest that are read.
        if header.tlvs.iter().map(|tlv| 3 + tlv.value.len()).sum::<usize>() < 4000 {
            assert_eq!(ProxyHeader::decode(&again), Decoded::Header(header, again.len()));
        }
    }
});
