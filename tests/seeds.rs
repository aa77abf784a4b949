//! What docs/seeds.md, docs/pools.md, docs/grpc.md, docs/managers.md and docs/tunnel.md point to is there.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{fs, path::Path};

#[test]
fn every_test_that_the_seeds_page_names_exists() {
    check("seeds.md");
}

#[test]
fn every_test_that_the_page_on_pools_names_exists() {
    check("pools.md");
}

#[test]
fn every_test_that_the_page_on_channels_names_exists() {
    check("grpc.md");
}

#[test]
fn every_test_that_the_page_on_managers_names_exists() {
    check("managers.md");
}

#[test]
fn every_test_that_the_page_on_tunnels_names_exists() {
    check("tunnel.md");
}

/// Each name in `code` of the form file::test is that of a test in that file.
fn check(page: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs").join(page)).unwrap();
    // Code in blocks of its own is no name.
    let prose = page.split("```").step_by(2).collect::<String>();
    let named: Vec<_> =
        prose.split('`').skip(1).step_by(2).filter_map(|s| s.split_once("::")).collect();
    assert!(named.len() > 20, "the page names only {} tests", named.len());
    let is_missing = |(file, test): &&(&str, &str)| {
        let source = fs::read_to_string(root.join(file)).unwrap_or_default();
        *file != "file"
            && !["fn ", "def ", "func ", "void "]
                .iter()
                .any(|word| source.contains(&format!("{word}{test}(")))
    };
    let missing: Vec<_> = named.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
