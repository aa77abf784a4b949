//! Renders the C header from ffi/ into OUT_DIR. The committed one is compared with it in tests/header.rs.

use cbindgen::{
    Config, DocumentationLength, DocumentationStyle, ExportConfig, Language, ParseConfig, Style,
};
use std::{env, error::Error, path::PathBuf};

const FRONT_PAGE: &str = include_str!("ffi/header/front.h");
const AFTER_INCLUDES: &str = include_str!("ffi/header/macros.h");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=ffi/src");
    println!("cargo::rerun-if-changed=ffi/header");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("trunkline.h");
    cbindgen::generate_with_config("ffi", config())?.write_to_file(&out);
    println!("cargo::rustc-env=TRUNKLINE_RENDERED_HEADER={}", out.display());
    Ok(())
}

fn config() -> Config {
    // Written by hand in macros.h: literals of 64 bits, and what a Rust constant cannot say.
    let by_hand = ["TRUNKLINE_DEADLINE_NONE", "TRUNKLINE_DEADLINE_DEFAULT", "TRUNKLINE_NEVER"];
    Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Both,
        header: Some(FRONT_PAGE.trim_end().to_owned()),
        include_guard: Some("TRUNKLINE_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        after_includes: Some(format!("\n{}", AFTER_INCLUDES.trim_end())),
        usize_is_size_t: true,
        documentation: true,
        documentation_length: DocumentationLength::Full,
        documentation_style: DocumentationStyle::Doxy,
        line_length: 110,
        export: ExportConfig {
            exclude: by_hand.iter().map(ToString::to_string).collect(),
            ..Default::default()
        },
        parse: ParseConfig { parse_deps: false, ..Default::default() },
        ..Default::default()
    }
}
