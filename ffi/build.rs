//! Names the shared library for the loader. The Python module is another library and is not named here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/version.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // Programs keep running with any library of the same ABI major, and find no other one.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtrunkline.so.{}", abi_major());
    // Threads of the library outlive a dlclose: its code has to stay where it is.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}

/// The number that `trunkline_abi()` tells too: it is written once, in src/version.rs.
fn abi_major() -> u32 {
    let source = include_str!("src/version.rs");
    let line =
        source.lines().find_map(|line| line.strip_prefix("pub const TRUNKLINE_ABI_MAJOR: u32 = "));
    line.and_then(|rest| rest.trim_end_matches(';').parse().ok())
        .expect("src/version.rs says `pub const TRUNKLINE_ABI_MAJOR: u32 = …;`")
}
