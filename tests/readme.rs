//! The programs in the README are those in examples/hello, which `make test-hello` runs.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{fs, path::Path};

#[test]
fn each_program_in_the_readme_is_the_one_that_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for (language, file) in [
        ("rust", "hello.rs"),
        ("c", "hello.c"),
        ("cpp", "hello.cpp"),
        ("python", "hello.py"),
        ("go", "go/main.go"),
    ] {
        let program = fs::read_to_string(root.join("examples/hello").join(file)).unwrap();
        let block = format!("```{language}\n{}\n```", program.trim_end());
        assert!(readme.contains(&block), "{file} is not in the README as it is");
    }
}
