//! What the fuzzer asks of the reader of requests.

use super::{
    fault::Fault,
    framing::{Framing, HeadLimits},
};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 20 };

/// Gives `bytes` to the reader, whole and `split` at a time: it must pass the same and stop at the same, and what has
/// passed must pass again.
pub(in crate::tunnel) fn requests(bytes: &[u8], split: usize) {
    let (passed, fault) = run(bytes, bytes.len());
    assert!(bytes.starts_with(&passed));
    let (pieces, same) = run(bytes, split);
    assert_eq!(same, fault);
    // A body passes as it comes; beside a fault it is open how much of it had.
    assert!(fault.is_some() || pieces == passed);
    assert_eq!(run(&passed, split), (passed, None));
}

/// What passes of `bytes`, and what stops it. Nobody is ever given another protocol.
fn run(bytes: &[u8], split: usize) -> (Vec<u8>, Option<Fault>) {
    let (mut framing, mut held, mut passed) = (Framing::new(LIMITS), Vec::new(), Vec::new());
    for piece in bytes.chunks(split.max(1)) {
        held.extend_from_slice(piece);
        loop {
            match framing.pass(&held) {
                Ok(0) if framing.is_held() && !held.is_empty() => framing.release(),
                Ok(0) => break,
                Ok(length) => passed.extend(held.drain(..length)),
                Err(fault) => return (passed, Some(fault)),
            }
        }
    }
    (passed, None)
}
