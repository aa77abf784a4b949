//! The layers of core as a table: a module names modules of lower rows only. Anything else fails here.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The lowest row first. Each may use the rows before it, never its own.
const ROWS: &[&[&str]] = &[
    &["address", "duration", "reader", "secret", "status", "sync", "volume"],
    &["error", "context", "fork", "backoff", "budget", "give_way"],
    &["config", "metrics", "events", "completion"],
    &["identity"],
    &["transport"],
    &["relay", "probe", "proxy_protocol", "endpoint"],
    &["pool"],
    &["manager", "channel"],
    &["tunnel"],
];

/// The only files of core that may hold `unsafe`.
const UNSAFE_FILES: &[&str] =
    &["fork.rs", "transport/pipe/ring.rs", "transport/pipe/waiter.rs", "transport/sigpipe.rs"];

/// The only file of core that may read the environment.
const ENVIRONMENT_FILE: &str = "config/connection.rs";

#[test]
fn a_module_names_only_modules_of_lower_rows() {
    let mut wrong = Vec::new();
    for file in files() {
        let [module, ..] = file.modules.as_slice() else { continue };
        let Some(row) = row_of(module) else {
            wrong.push(format!("{}: module {module} is not in the table", file.name));
            continue;
        };
        for named in modules_named(&file.tokens, file.modules.len()) {
            if named != *module && row_of(&named).is_none_or(|below| below >= row) {
                wrong.push(format!("{}: {module} may not name crate::{named}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_allowed_only_where_the_architecture_says() {
    let allows =
        |file: &File| has(&file.tokens, "(unsafe_code") || has(&file.tokens, ",unsafe_code");
    let found: Vec<_> = files().filter(allows).map(|file| file.name).collect();
    assert!(found.iter().all(|name| UNSAFE_FILES.contains(&name.as_str())), "{found:?}");
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let reads = |file: &File| has(&file.tokens, "env::var") || has(&file.tokens, "env::vars");
    let found: Vec<_> = files().filter(reads).map(|file| file.name).collect();
    assert_eq!(found, [ENVIRONMENT_FILE]);
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// A source file of core.
struct File {
    /// Its path under `core/src`.
    name: String,
    /// The modules that it lies in, outermost first; none for `lib.rs`, which is above every row.
    modules: Vec<String>,
    tokens: Vec<String>,
}

fn files() -> impl Iterator<Item = File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(!paths.is_empty(), "nothing under {}", root.display());
    paths.into_iter().map(move |path| {
        let inner = path.strip_prefix(&root).unwrap();
        let mut modules: Vec<_> =
            inner.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        modules.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
        let tokens = tokens(&fs::read_to_string(&path).unwrap());
        File { name: inner.to_str().unwrap().to_owned(), modules, tokens }
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    paths.sort();
}

/// Which modules of the crate a file names, by `crate::…` or by enough `super::`; `depth` is the
/// number of modules that the file lies in.
fn modules_named(tokens: &[String], depth: usize) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut braces = 0_usize;
    let mut inline_modules = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                inline_modules.push(braces)
            }
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                inline_modules.pop_if(|opened_at| *opened_at == braces);
            }
            "crate" if is_separator(tokens, at + 1) => heads(&tokens[at + 2..], &mut named),
            "super" => {
                let mut supers = 1;
                while is_separator(tokens, at + 1)
                    && tokens.get(at + 2).is_some_and(|token| token == "super")
                {
                    supers += 1;
                    at += 2;
                }
                if supers >= depth + inline_modules.len() && is_separator(tokens, at + 1) {
                    heads(&tokens[at + 2..], &mut named);
                }
            }
            _ => {}
        }
        at += 1;
    }
    named
}

fn is_separator(tokens: &[String], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token == "::")
}

/// The first names of a path or of a group of paths.
fn heads(tokens: &[String], named: &mut BTreeSet<String>) {
    let Some(first) = tokens.first() else { return };
    if first != "{" {
        named.insert(first.clone());
        return;
    }
    let mut depth = 0;
    let mut starts = false;
    for token in tokens {
        match token.as_str() {
            "{" => {
                depth += 1;
                starts = depth == 1;
            }
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," => starts = depth == 1,
            head if starts => {
                named.insert(head.to_owned());
                starts = false;
            }
            _ => {}
        }
    }
}

/// Whether the file holds these tokens in a row.
fn has(tokens: &[String], wanted: &str) -> bool {
    let wanted = self::tokens(wanted);
    tokens.windows(wanted.len()).any(|window| window == wanted)
}

/// Names, `::` and single signs of a Rust source, without comments. A text is left out unless it is a
/// path, as in `#[serde(with = "crate::…")]`.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some((text, length)) = text(rest) {
            if text.starts_with("crate::") {
                tokens.extend(self::tokens(text));
            }
            length
        } else if next == '\'' {
            character_or_lifetime(rest)
        } else if next.is_alphanumeric() || next == '_' {
            let length =
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !next.is_whitespace() {
                tokens.push(next.to_string());
            }
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment that `rest` starts with; comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The text literal that `rest` starts with, plain or raw, of any prefix: its inside and its length.
fn text(rest: &str) -> Option<(&str, usize)> {
    let (prefix, is_raw) = ["br", "cr", "r", "b", "c", ""]
        .into_iter()
        .filter_map(|prefix| Some((prefix, rest.strip_prefix(prefix)?)))
        .find(|(prefix, after)| {
            let after = if prefix.ends_with('r') { after.trim_start_matches('#') } else { after };
            after.starts_with('"')
        })
        .map(|(prefix, _)| (prefix, prefix.ends_with('r')))?;
    let hashes = rest[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
    let inside = &rest[prefix.len() + hashes + 1..];
    let end = if is_raw {
        inside.find(&format!("\"{}", "#".repeat(hashes)))
    } else {
        let mut escaped = false;
        inside.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })
    };
    let end = end.unwrap_or(inside.len());
    let length = prefix.len() + hashes + 1 + end + 1 + hashes;
    Some((&inside[..end], length.min(rest.len())))
}

/// The length of the character literal, or of the quote of the lifetime, that `rest` starts with.
fn character_or_lifetime(rest: &str) -> usize {
    let inside = &rest[1..];
    match inside.chars().next() {
        Some('\\') => inside[2..].find('\'').map_or(rest.len(), |end| end + 4),
        Some(c) if inside[c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
        _ => 1,
    }
}

mod scanner {
    use super::{has, modules_named, tokens};

    fn named(source: &str, depth: usize) -> Vec<String> {
        modules_named(&tokens(source), depth).into_iter().collect()
    }

    #[test]
    fn finds_paths_wherever_they_stand() {
        assert_eq!(named("use crate::pool::Pool;", 1), ["pool"]);
        assert_eq!(
            named("fn f(x: &crate::pool::Pool) -> crate :: relay::R {}", 1),
            ["pool", "relay"]
        );
        assert_eq!(named(r#"#[serde(with = "crate::duration::text")]"#, 1), ["duration"]);
        assert_eq!(named("pub use crate::*;", 1), ["*"]);
        assert_eq!(named("crate::log!(); $crate::pool::x()", 1), ["log", "pool"]);
    }

    #[test]
    fn takes_the_first_name_of_each_path_in_a_group() {
        let source =
            "use crate::{address::{Address, error}, pool as p, relay::{a::{b, c}, d}, budget};";
        assert_eq!(named(source, 1), ["address", "budget", "pool", "relay"]);
    }

    #[test]
    fn leaves_out_comments_texts_and_characters() {
        let source = r##"
            // crate::a
            /* crate::b /* crate::c */ crate::d */
            /// [`crate::e`]
            let x = "see crate::f \" crate::g"; let y = r#"x " crate::h"#; let z = b"\\";
            let quote = '"'; let tick = '\''; fn f<'a>(x: &'a str) {} let colon = ':';
            pub(crate) fn g() { crate::found::h() }
        "##;
        assert_eq!(named(source, 1), ["found"]);
    }

    #[test]
    fn follows_super_as_far_as_it_goes() {
        assert_eq!(named("use super::pool;", 1), ["pool"]);
        assert_eq!(named("use super::{pool::P, relay};", 1), ["pool", "relay"]);
        assert!(named("use super::sibling;", 2).is_empty());
        assert_eq!(named("use super::super::pool;", 2), ["pool"]);
        assert!(named("mod tests { use super::*; }", 1).is_empty());
        assert_eq!(
            named("mod tests { fn f() { super::super::pool::g() } } use super::relay;", 1),
            ["pool", "relay"]
        );
    }

    #[test]
    fn tells_a_call_from_a_longer_name() {
        assert!(has(&tokens("let x = std::env::var(name);"), "env::var"));
        assert!(!has(&tokens("let x = std::env::variable();"), "env::var"));
        assert!(!has(&tokens("// env::var\n\"env::var\""), "env::var"));
    }
}
