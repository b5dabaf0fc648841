//! Files: how long they are, how they begin, what names things, and what must not stand in them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{read, root, sources, tracked};

const MEDIAN_LINES_MAX: usize = 300;
const LINES_MAX: usize = 800;

/// Words that say nothing: not names of types, modules and files.
const EMPTY_WORDS: [&str; 11] = [
    "manager",
    "service",
    "handler",
    "processor",
    "job",
    "helper",
    "util",
    "data",
    "info",
    "status",
    "common",
];

/// Names that are the standard's and not ours.
const OF_STANDARDS: [&str; 1] = ["ValueInfo"]; // ONNX: `ValueInfoProto`

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, _)> =
        sources().into_iter().map(|(path, text)| (text.lines().count(), path)).collect();
    lengths.sort();
    let too_long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(too_long.is_empty(), "to be split: {too_long:?}");
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median < MEDIAN_LINES_MAX, "the median file has {median} lines");
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    let is_test = |path: &Path| path.file_stem().is_some_and(|stem| stem == "tests");
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| {
            !is_test(path) && !text.starts_with("//!") && !text.starts_with("// @generated")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top: {silent:?}");
}

/// `HttpServer` and `http_server` are the words `http`, `server`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        if letter == '_'
            || letter == '-'
            || letter.is_uppercase() && words.last().is_some_and(|word| !word.is_empty())
        {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(letter.to_lowercase());
        }
    }
    words
}

fn is_empty_word(name: &str) -> bool {
    let plural = |word: &str| EMPTY_WORDS.contains(&word.strip_suffix('s').unwrap_or(word));
    words(name).iter().any(|word| EMPTY_WORDS.contains(&word.as_str()) || plural(word))
}

#[test]
fn names_are_words_that_say_something() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let place = path.display().to_string();
        let parts = path.with_extension("");
        let parts =
            parts.iter().map(|part| part.to_string_lossy().into_owned()).filter(|part| is_empty_word(part));
        found.entry(place.clone()).or_default().extend(parts);
        for line in text.lines() {
            let mut tokens = line.split_whitespace().skip_while(|token| token.starts_with("pub"));
            let (kind, name) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
            if !["struct", "enum", "trait", "type", "mod"].contains(&kind) {
                continue;
            }
            let name: String =
                name.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            if is_empty_word(&name) && !OF_STANDARDS.contains(&name.as_str()) {
                found.entry(place.clone()).or_default().push(name);
            }
        }
    }
    found.retain(|_, names| !names.is_empty());
    assert!(found.is_empty(), "names that say nothing: {found:?}");
}

#[test]
fn empty_words_are_found_in_names() {
    for name in ["RunManager", "info", "run_status", "Utils", "http-handler"] {
        assert!(is_empty_word(name), "{name}");
    }
    for name in ["Metadata", "database", "Datatype", "informed", "Run"] {
        assert!(!is_empty_word(name), "{name}");
    }
}

/// A folder of one machine, or a host that only one network has.
fn machine_bound(line: &str) -> bool {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")];
    let temporary = concat!("/t", "mp/");
    let below = line
        .match_indices(temporary)
        .any(|(at, found)| line[at + found.len()..].starts_with(|letter: char| letter.is_ascii_lowercase()));
    let mirrors = [
        concat!("arti", "factory"),
        concat!("reg", "istry="),
        concat!("index-", "url"),
        concat!("pypi.", "org/simple"),
    ];
    below || folders.iter().chain(&mirrors).any(|word| line.contains(word))
}

#[test]
fn nothing_is_bound_to_one_machine() {
    let mut found = vec![];
    for path in tracked() {
        // Models and archives are not text.
        let Ok(text) = String::from_utf8(std::fs::read(root().join(&path)).expect("a tracked file")) else {
            continue;
        };
        let lines = text.lines().enumerate().filter(|(_, line)| machine_bound(line));
        found.extend(lines.map(|(number, _)| format!("{}:{}", path.display(), number + 1)));
    }
    assert!(found.is_empty(), "machine paths or registry hosts: {found:?}");
    assert!(machine_bound(&format!("cd {}/scratch", concat!("/t", "mp"))));
    assert!(!machine_bound("https://example.org/workflows"));
}

#[test]
fn the_pinned_toolchain_is_the_one_that_the_manifest_asks_for() {
    let pinned = read("rust-toolchain.toml");
    let channel =
        pinned.lines().find_map(|line| line.strip_prefix("channel = \"")).expect("a channel is pinned");
    let asked = read("Cargo.toml");
    let asked = asked
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .expect("a version is asked for");
    let asked = asked.trim_end_matches('"');
    assert!(channel.starts_with(asked), "pinned {channel}, asked for {asked}");
}
