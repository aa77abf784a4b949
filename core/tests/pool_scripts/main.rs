//! Plays the scripts of tests/pool; its README says what they mean. The same are played in the other languages.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads the clock, and stops at the first surprise"
)]

mod connector;
mod player;
mod script;

use player::Player;
use script::Script;
use std::{fs, path::Path};

/// Plays one file, on a runtime of its own.
fn play(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pool").join(file);
    let text = fs::read_to_string(path).unwrap();
    let script: Script = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut player = Player::new(&script);
        for (place, step) in script.steps.iter().enumerate() {
            if let Err(surprise) = player.step(step).await {
                panic!("{file}: {}: step {}: {step:?}: {surprise}", script.name, place + 1);
            }
        }
        if let Err(surprise) = player.finish().await {
            panic!("{file}: {}: at the end: {surprise}", script.name);
        }
    });
}

/// A test for each file, and one that no file is forgotten.
macro_rules! scripts {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                play($file);
            }
        )*

        #[test]
        fn every_script_is_played() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pool");
            let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
            let scripts = names.filter_map(|name| name.into_string().ok());
            let mut found: Vec<_> = scripts.filter(|name| name.ends_with(".yaml")).collect();
            found.sort();
            assert_eq!(found, [$($file),*]);
        }
    };
}

scripts! {
    broken: "broken.yaml",
    cancel_while_connecting: "cancel-while-connecting.yaml",
    cancel: "cancel.yaml",
    checks: "checks.yaml",
    circuit: "circuit.yaml",
    clear_serves_those_in_line: "clear-serves-those-in-line.yaml",
    clear: "clear.yaml",
    close_while_connecting: "close-while-connecting.yaml",
    close: "close.yaml",
    connect_failure: "connect-failure.yaml",
    detach: "detach.yaml",
    discard: "discard.yaml",
    drain: "drain.yaml",
    expired_in_line: "expired-in-line.yaml",
    fifo: "fifo.yaml",
    max_waiters: "max-waiters.yaml",
    min_idle: "min-idle.yaml",
    resize_while_connecting: "resize-while-connecting.yaml",
    resize: "resize.yaml",
    stale_lease: "stale-lease.yaml",
    timeout: "timeout.yaml",
}
