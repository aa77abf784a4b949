//! The crates that Trunkline stands on have one set of features, whatever is built: what is tested is what
//! is shipped, and cargo builds each crate once for library, wheel, programs and benches.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod built;

use built::{root, succeed};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// For each crate below a package, with its version, the sets of features that it is built with. There may
/// be two: one for what runs, one for build scripts and macros.
type Features = BTreeMap<String, BTreeSet<String>>;

fn features(package: &str, edges: &str) -> Features {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(root()).args(["tree", "--locked", "--prefix", "none"]);
    tree.args(["--package", package, "--edges", edges, "--format", "{p}|{f}|"]);
    let mut features = Features::new();
    for line in succeed(&mut tree, package).lines() {
        let mut parts = line.split('|').map(str::to_owned);
        let (name, set) = (parts.next().unwrap(), parts.next().unwrap());
        features.entry(name).or_default().insert(set);
    }
    features
}

/// Asserts that a package has the crates that it shares with the library with the features of the library.
fn assert_same(package: &str, edges: &str) {
    let library = features("trunkline-ffi", edges);
    let own = features(package, edges);
    assert!(own.keys().any(|name| name.starts_with("tokio v")), "{package} is not looked through");
    let missing = |(name, sets): &(&String, &BTreeSet<String>)| {
        own.get(*name).is_some_and(|own| !own.is_superset(sets))
    };
    let different: Vec<_> = library.iter().filter(missing).collect();
    assert!(different.is_empty(), "{package} has others than the library has: {different:#?}");
}

#[test]
fn tests_see_the_library_as_it_is_shipped() {
    assert_same("trunkline", "normal,dev,no-proc-macro");
}

#[test]
fn wheel_programs_and_benches_share_the_builds_of_the_library() {
    for package in ["trunkline-python", "trunkline-examples", "trunkline-benches"] {
        assert_same(package, "normal,build");
    }
}
