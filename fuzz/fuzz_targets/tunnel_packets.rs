//! No bytes make the reader of a tunnel's packets panic, how they were cut changes nothing, and what was read is written
//! so that it is read alike.
//!
//! The first two bytes of an input say where it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::tunnel::fuzzing;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first_chunk::<2>() else { return };
    fuzzing::packets(bytes, usize::from(u16::from_be_bytes(*cut)));
});
