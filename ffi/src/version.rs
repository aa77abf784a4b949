//! Which library this is, and whether the caller's header fits it.
#![allow(unsafe_code, reason = "exported names are the ABI")]

use crate::status::*;
use std::ffi::c_char;

/// Major part of the ABI: equal numbers fit together. While it is 0.x, any release may move it.
pub const TRUNKLINE_ABI_MAJOR: u32 = 0;
/// Minor part of the ABI: a library fits headers up to its own number.
pub const TRUNKLINE_ABI_MINOR: u32 = 1;
/// The ABI of this header, for trunkline_abi_check: major in the upper 16 bits, minor in the lower.
pub const TRUNKLINE_ABI: u32 = 1;

const _: () = assert!(TRUNKLINE_ABI == TRUNKLINE_ABI_MAJOR << 16 | TRUNKLINE_ABI_MINOR);

/// The ABI of the library that is loaded, in the form of TRUNKLINE_ABI.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_abi() -> u32 {
    TRUNKLINE_ABI
}

/// The version of the library that is loaded, such as "0.1.0".
///
/// Ownership: the text is static. Blocks: no. Threads: any. Errors: none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_version_string() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Whether a program compiled with the header ABI `header_abi` may use this library. Call it with TRUNKLINE_ABI.
///
/// Ownership: none. Blocks: no. Threads: any. Errors: VERSION. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn trunkline_abi_check(header_abi: u32) -> trunkline_status_t {
    let (major, minor) = (header_abi >> 16, header_abi & 0xffff);
    if major == TRUNKLINE_ABI_MAJOR && minor <= TRUNKLINE_ABI_MINOR {
        TRUNKLINE_OK
    } else {
        TRUNKLINE_E_VERSION
    }
}
