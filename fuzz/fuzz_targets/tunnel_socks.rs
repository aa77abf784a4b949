//! No bytes of a user make the hub's reader of SOCKS5 panic, and how they were cut changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_core::tunnel::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::socks(bytes));
