//! What the pages of promises point to is there.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{fs, path::Path};

/// Pages whose promises each name the test that shows them, and how many names there are at least.
const PAGES: [(&str, usize); 6] = [
    ("docs/seeds.md", 30),
    ("docs/pools.md", 30),
    ("docs/managers.md", 30),
    ("docs/grpc.md", 30),
    ("docs/tunnel.md", 20),
    ("SECURITY.md", 30),
];

#[test]
fn every_test_that_a_page_names_exists() {
    for (page, least) in PAGES {
        check(page, least);
    }
}

/// Each name in `code` of the form file::test is that of a test in that file.
fn check(page: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join(page)).unwrap();
    // Code in blocks of its own is no name.
    let prose = text.split("```").step_by(2).collect::<String>();
    let named: Vec<_> =
        prose.split('`').skip(1).step_by(2).filter_map(|s| s.split_once("::")).collect();
    assert!(named.len() > least, "{page} names only {} tests", named.len());
    let is_missing = |(file, test): &&(&str, &str)| {
        let source = fs::read_to_string(root.join(file)).unwrap_or_default();
        *file != "file"
            && !["fn ", "def ", "func ", "void "]
                .iter()
                .any(|word| source.contains(&format!("{word}{test}(")))
    };
    let missing: Vec<_> = named.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{page}: {missing:#?}");
}
