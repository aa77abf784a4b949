//! Programs in C and C++ against the library that cargo built, under AddressSanitizer, LeakSanitizer and UBSan;
//! with `TRUNKLINE_VALGRIND=1` (`make valgrind`) as they are, under valgrind.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror"];
const STRICT_C: [&str; 2] = ["-Wstrict-prototypes", "-Wc++-compat"];
const SANITIZED: [&str; 3] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"];

/// One test per program, so that each is seen to pass by its name.
macro_rules! programs {
    ($($name:ident . $language:ident),* $(,)?) => {
        const PROGRAMS: &[&str] = &[$(concat!(stringify!($name), ".", stringify!($language))),*];
        $(
            #[test]
            fn $name() {
                run(concat!(stringify!($name), ".", stringify!($language)));
            }
        )*
    };
}

programs! {
    version.c, errors.c, handles.c, outputs.c, runtime.c, queue.c, streams.c, readiness.c, cancel.c,
    callbacks.c, buffers.c, fork.c, unload.c, pipe.c, throw.cpp,
}

#[test]
fn every_program_in_the_folder_is_run() {
    let is_program = |name: &String| name.ends_with(".c") || name.ends_with(".cpp");
    let found: BTreeSet<String> = fs::read_dir(root().join("tests/c"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(is_program)
        .collect();
    let listed: BTreeSet<String> = PROGRAMS.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed);
}

#[test]
fn the_headers_compile_alone_and_twice_in_every_language_version() {
    let c = ["c99", "c11", "c17", "c2x"].map(|standard| (false, standard));
    let cpp = ["c++11", "c++14", "c++17", "c++20", "c++23"].map(|standard| (true, standard));
    for (is_cpp, standard) in c.into_iter().chain(cpp) {
        for header in ["trunkline.h", "trunkline.hpp"] {
            if header.ends_with("hpp") && (!is_cpp || !root().join("include").join(header).exists())
            {
                continue;
            }
            for times in [1, 2] {
                includes(header, times, is_cpp, standard);
            }
        }
    }
}

fn includes(header: &str, times: usize, is_cpp: bool, standard: &str) {
    let extension = if is_cpp { "cpp" } else { "c" };
    let source = workshop().join(format!("{header}-{times}-{standard}.{extension}"));
    let unused = if is_cpp { "" } else { "extern int not_empty;\n" };
    fs::write(&source, format!("#include \"{header}\"\n").repeat(times) + unused).unwrap();
    let mut compile = compiler(is_cpp, standard);
    compile.args(["-Wconversion", "-fsyntax-only"]).arg(&source);
    succeed(&mut compile, &format!("{header} included {times} times as {standard}"));
}

/// Every block must be freed or, for what lives as long as the process, named in the suppressions.
const VALGRIND: [&str; 7] = [
    "--quiet",
    "--leak-check=full",
    "--show-leak-kinds=all",
    "--errors-for-leak-kinds=all",
    "--error-exitcode=99",
    "--child-silent-after-fork=yes",
    "--num-callers=40",
];

fn is_under_valgrind() -> bool {
    env::var_os("TRUNKLINE_VALGRIND").is_some()
}

fn run(program: &str) {
    let binary = build(program);
    let mut command = Command::new(&binary);
    if is_under_valgrind() {
        command = Command::new("valgrind");
        let suppressions = root().join("tests/c/valgrind.supp");
        command
            .args(VALGRIND)
            .arg(format!("--suppressions={}", suppressions.display()))
            .arg(binary);
    }
    command.arg(library());
    command.env("ASAN_OPTIONS", "detect_leaks=1:handle_abort=1:detect_stack_use_after_return=1");
    command.env("UBSAN_OPTIONS", "print_stacktrace=1").env("RUST_BACKTRACE", "0");
    succeed(&mut command, program);
}

fn build(program: &str) -> PathBuf {
    let tool = if is_under_valgrind() { "valgrind" } else { "sanitized" };
    let binary = workshop().join(format!("{}-{tool}", program.replace('.', "-")));
    let is_cpp = program.ends_with(".cpp");
    let mut compile = compiler(is_cpp, if is_cpp { "c++11" } else { "c99" });
    compile.args(["-g", "-pthread"]);
    if !is_under_valgrind() {
        compile.args(SANITIZED);
    }
    let version = concat!("-DTRUNKLINE_VERSION_EXPECTED=\"", env!("CARGO_PKG_VERSION"), "\"");
    compile.arg(version);
    compile.arg(root().join("tests/c").join(program)).arg("-o").arg(&binary);
    let folder = library().parent().unwrap();
    compile.arg("-L").arg(folder).arg(format!("-Wl,-rpath,{}", folder.display()));
    compile.args(["-ltrunkline", "-ldl"]);
    succeed(&mut compile, &format!("compiling {program}"));
    binary
}

fn compiler(is_cpp: bool, standard: &str) -> Command {
    let (variable, usual) = if is_cpp { ("CXX", "c++") } else { ("CC", "cc") };
    let mut command = Command::new(env::var(variable).unwrap_or_else(|_| usual.to_owned()));
    command.arg(format!("-std={standard}")).args(STRICT);
    if !is_cpp {
        command.args(STRICT_C);
    }
    command.arg("-I").arg(root().join("include"));
    command
}

fn succeed(command: &mut Command, what: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(
        status.success(),
        "{what}: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of this run's own.
fn workshop() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_programs");
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// The shared library under the names that linker and loader look for. `cargo test` leaves it beside
/// the test binaries, under its plain name only.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let built = env::current_exe().unwrap().with_file_name("libtrunkline.so");
        assert!(built.exists(), "{} is not there: build trunkline-ffi", built.display());
        for name in ["libtrunkline.so", "libtrunkline.so.0"] {
            let link = workshop().join(name);
            let _ = fs::remove_file(&link);
            symlink(&built, &link).unwrap();
        }
        workshop().join("libtrunkline.so")
    })
}
