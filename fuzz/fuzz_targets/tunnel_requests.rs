//! No bytes of a user make the hub's reader of HTTP/1 panic, and how they were cut changes nothing.
//!
//! The first byte of an input says in which pieces the others come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::tunnel::fuzzing;

fuzz_target!(|input: &[u8]| {
    let Some((split, bytes)) = input.split_first() else { return };
    fuzzing::requests(bytes, usize::from(*split));
});
