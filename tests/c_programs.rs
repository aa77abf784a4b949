//! Programs in C and C++ against the library that cargo built, under AddressSanitizer, LeakSanitizer and UBSan;
//! with `TRUNKLINE_VALGRIND=1` (`make valgrind`) as they are, under valgrind.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod built;
mod certificates;
mod served;

use built::{compiler, root, succeed};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const SANITIZED: [&str; 3] =
    ["-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"];
/// GCC's AddressSanitizer hangs in a child that was forked while other threads allocate.
const WITHOUT_ADDRESS_SANITIZER: [&str; 1] = ["fork.c"];

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
    callbacks.c, buffers.c, fork.c, unload.c, pipe.c, tcp_manager.c, route_callback.c, check_callback.c, datagrams.c, udp_manager.c, channel.c,
    keyed_pool.c, keyed_make.c, pool.c, config.c, metrics.c, log.c, probe.c, tls.c, tunnel.c, memory_proxy.c, throw.cpp, face.cpp, objects.cpp,
    pool_scripts.cpp, secured.cpp, channels.cpp,
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
const VALGRIND: [&str; 8] = [
    "--quiet",
    "--leak-check=full",
    "--show-leak-kinds=all",
    "--errors-for-leak-kinds=all",
    "--error-exitcode=99",
    "--child-silent-after-fork=yes",
    "--num-callers=40",
    // A thread that waits in a loop would keep the others from running.
    "--fair-sched=try",
];

/// Programs whose bytes are encrypted by assembly that does not show valgrind which of them it has written. All that is
/// not about such values is still looked at.
const ENCRYPTED: [&str; 2] = ["tls.c", "secured.cpp"];

fn is_under_valgrind() -> bool {
    env::var_os("TRUNKLINE_VALGRIND").is_some()
}

fn run(program: &str) {
    let binary = build(program);
    let mut command = Command::new(&binary);
    if is_under_valgrind() {
        command = Command::new("valgrind");
        let suppressions = root().join("tests/c/valgrind.supp");
        command.args(VALGRIND).arg(format!("--suppressions={}", suppressions.display()));
        if ENCRYPTED.contains(&program) {
            command.arg("--undef-value-errors=no");
        }
        command.arg(binary);
    }
    command.arg(library());
    command.env("TRUNKLINE_TEST_CERTIFICATES", certificates_for_programs());
    // cargo's own would lead to the library of an earlier `make library`.
    command.env_remove("LD_LIBRARY_PATH");
    command.env("ASAN_OPTIONS", "detect_leaks=1:handle_abort=1:detect_stack_use_after_return=1");
    command.env("TRUNKLINE_TEST_SERVER", served::target());
    let secured = served::secured_target(certificates_for_programs());
    command.env("TRUNKLINE_TEST_SECURED_SERVER", secured);
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
        if !WITHOUT_ADDRESS_SANITIZER.contains(&program) {
            compile.arg("-fsanitize=address");
        }
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

/// The library under the names that linker and loader look for.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let built = built::library();
        for name in ["libtrunkline.so", "libtrunkline.so.0"] {
            let link = workshop().join(name);
            let _ = fs::remove_file(&link);
            symlink(&built, &link).unwrap();
        }
        workshop().join("libtrunkline.so")
    })
}

/// A folder with ca.pem, chain.pem and key.pem for localhost, and client.pem and client-key.pem for a client.
fn certificates_for_programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = workshop().join("certificates");
        fs::create_dir_all(&folder).unwrap();
        let authority = certificates::Authority::new("C programs");
        let server = authority.issue(&["localhost", "127.0.0.1"]);
        let client = authority.issue_uri(&["client"], "spiffe://example.test/client");
        for (name, pem) in [
            ("ca.pem", &authority.pem()),
            ("chain.pem", &server.chain),
            ("key.pem", &server.key),
            ("client.pem", &client.chain),
            ("client-key.pem", &client.key),
        ] {
            fs::write(folder.join(name), pem).unwrap();
        }
        folder
    })
}

fn workshop() -> PathBuf {
    built::workshop("c_programs")
}
