//! The committed header is exactly what the sources say. `make header` writes it anew.

use std::{env, fs, path::Path};

#[test]
fn the_committed_header_is_what_the_sources_render() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/trunkline.h");
    let rendered = fs::read_to_string(env!("TRUNKLINE_RENDERED_HEADER")).unwrap();
    if env::var_os("TRUNKLINE_WRITE_HEADER").is_some() {
        fs::write(&committed, &rendered).unwrap();
    }
    let found = fs::read_to_string(&committed).unwrap_or_default();
    assert!(found == rendered, "include/trunkline.h is out of date: run `make header`");
}
