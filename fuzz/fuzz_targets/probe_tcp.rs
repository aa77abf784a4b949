//! No bytes of a stream make the probe panic, and no further byte changes its mind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::{TcpProbedProtocol, Verdict};

fuzz_target!(|bytes: &[u8]| {
    let mut decided = Verdict::NeedMore;
    // Every cut of short inputs; of long ones as many as keep a run quick.
    let step = bytes.len() / 256 + 1;
    for length in (0..=bytes.len()).step_by(step).chain([bytes.len()]) {
        let verdict = TcpProbedProtocol::probe(&bytes[..length]);
        assert!(decided == Verdict::NeedMore || decided == verdict);
        decided = verdict;
    }
});
