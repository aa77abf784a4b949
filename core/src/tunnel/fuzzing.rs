//! What the fuzzers call: parsers of this module that no host may use by itself.

use super::{
    http::fuzz_requests,
    hub::fuzz_socks,
    packet::{Packet, Reader},
};
use bytes::Bytes;

/// Gives `bytes` to the reader of packets, whole and in two pieces: what comes out must be the same, and whatever is
/// understood must be written so that it is understood alike.
pub fn packets(bytes: &[u8], cut: usize) {
    let (one, two) = bytes.split_at(cut.min(bytes.len()));
    let whole = read(&[bytes]);
    assert_eq!(read(&[one, two]), whole);
    for packet in whole.0 {
        let again = read(&[&packet.clone().into_message()]);
        assert_eq!(again, (vec![packet], false));
    }
}

/// Gives `bytes` to the reader of users' requests, whole and `split` at a time: it must pass the same and stop at the
/// same, and what has passed must pass again.
pub fn requests(bytes: &[u8], split: usize) {
    fuzz_requests(bytes, split);
}

/// Gives every beginning of `bytes` to the readers of SOCKS5: each must need more, or be what the whole is.
pub fn socks(bytes: &[u8]) {
    fuzz_socks(bytes);
}

/// What was understood, and whether it ended with something that is no packet.
fn read(chunks: &[&[u8]]) -> (Vec<Packet>, bool) {
    let (mut reader, mut packets) = (Reader::new(1 << 20), Vec::new());
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        loop {
            match reader.next() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(_) => return (packets, true),
            }
        }
    }
    (packets, false)
}
