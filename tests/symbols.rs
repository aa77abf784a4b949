//! The library exports what the header declares, what tests/symbols.txt lists, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod built;

use built::{header, library, root, succeed, without_comments};
use std::{collections::BTreeSet, fs, process::Command};

type Names = BTreeSet<String>;

/// Every symbol that the loader can find in the library.
fn exported() -> Names {
    let mut nm = Command::new("nm");
    nm.args(["-D", "--defined-only"]).arg(library());
    let found = succeed(&mut nm, "nm");
    found.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

/// A function is a name with a bracket right behind it; pointers to functions and types have none.
fn declared() -> Names {
    let code = without_comments(&header());
    code.match_indices('(').filter_map(|(at, _)| name_before(&code, at)).collect()
}

fn name_before(code: &str, at: usize) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let start = code[..at].rfind(|c| !is_part(c)).map_or(0, |before| before + 1);
    let name = &code[start..at];
    name.starts_with("trunkline_").then(|| name.to_owned())
}

#[test]
fn every_exported_symbol_has_our_prefix() {
    let foreign: Vec<_> =
        exported().into_iter().filter(|name| !name.starts_with("trunkline_")).collect();
    assert_eq!(foreign, Vec::<String>::new());
}

#[test]
fn the_header_declares_exactly_what_the_library_exports() {
    assert_eq!(declared(), exported());
}

#[test]
fn no_symbol_is_lost_and_new_ones_are_written_down() {
    let path = root().join("tests/symbols.txt");
    let listed: Names = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let lost: Vec<_> = listed.difference(&declared()).cloned().collect();
    assert!(
        lost.is_empty(),
        "programs in the world still call {lost:?}: keep them, or move the ABI major"
    );
    let new: Vec<_> = declared().difference(&listed).cloned().collect();
    assert!(new.is_empty(), "append to tests/symbols.txt:\n{}", new.join("\n"));
}

/// Each comment of the header with the declaration that follows it.
fn documented() -> Vec<(String, String)> {
    let header = header();
    let comment = |start: &str| {
        let (words, after) = start.split_once("*/")?;
        let code = after.split("/*").next().unwrap_or_default();
        let name = code.match_indices('(').find_map(|(at, _)| name_before(code, at))?;
        let is_function = !code.trim_start().starts_with("typedef");
        is_function.then(|| {
            (name, words.replace("\n *", "").split_whitespace().collect::<Vec<_>>().join(" "))
        })
    };
    header.split("/**").skip(1).filter_map(comment).collect()
}

#[test]
fn every_function_says_whose_it_is_whether_it_waits_where_it_may_run_and_how_it_fails() {
    let documented = documented();
    let names: Names = documented.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, declared(), "every function has a comment");
    let incomplete: Vec<_> =
        documented.iter().filter(|(_, words)| !has_all_tags(words)).map(|(name, _)| name).collect();
    assert!(incomplete.is_empty(), "not all of {TAGS:?}, in this order: {incomplete:?}");
}

const TAGS: [&str; 5] = ["Ownership: ", "Blocks: ", "Threads: ", "Errors: ", "Since 0."];

fn has_all_tags(words: &str) -> bool {
    let mut rest = words;
    TAGS.iter().all(|tag| match rest.split_once(tag) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
