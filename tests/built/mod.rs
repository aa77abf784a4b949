//! What cargo built and what compilers make of it, for the tests that look at Trunkline from C.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shared library. `cargo test` leaves it beside the test binaries, under its plain name only.
pub(crate) fn library() -> PathBuf {
    let built = env::current_exe().unwrap().with_file_name("libtrunkline.so");
    assert!(built.exists(), "{} is not there: build trunkline-ffi", built.display());
    built
}

/// A folder for the files of one test binary.
pub(crate) fn workshop(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A compiler that takes every warning for an error and finds the headers.
pub(crate) fn compiler(is_cpp: bool, standard: &str) -> Command {
    const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror"];
    const STRICT_C: [&str; 2] = ["-Wstrict-prototypes", "-Wc++-compat"];
    let (variable, usual) = if is_cpp { ("CXX", "c++") } else { ("CC", "cc") };
    let mut command = Command::new(env::var(variable).unwrap_or_else(|_| usual.to_owned()));
    command.arg(format!("-std={standard}")).args(STRICT);
    if !is_cpp {
        command.args(STRICT_C);
    }
    command.arg("-I").arg(root().join("include"));
    command
}

/// Runs a command that must succeed and gives what it printed.
pub(crate) fn succeed(command: &mut Command, what: &str) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{what}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// The committed C header.
pub(crate) fn header() -> String {
    fs::read_to_string(root().join("include/trunkline.h")).unwrap()
}

/// C text with each comment replaced by a space.
pub(crate) fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        code.push(' ');
        rest = rest[start..].split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    code.lines().map(line).collect()
}
