//! Turns `trunkline_loom` on for this package alone: the files it shares with core leave their own tests out.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cfg=trunkline_loom");
}
