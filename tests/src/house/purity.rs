//! The pure crates read no clock, no environment, no file and no hash map. Clippy refuses the calls; this refuses
//! the words, so that an `#[expect]` cannot let one in unseen.

use std::path::Path;

use super::sources;

const PURE: [&str; 2] = ["crates/domain/src", "crates/stats/src"];
const IMPURE: [&str; 10] = [
    "HashMap",
    "HashSet",
    "SystemTime",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "thread::",
    "async fn",
];

/// Synchronous and without a clock, but free to use what the core may not.
const CLOCKLESS: [&str; 3] = ["crates/engine/src", "crates/wire/src", "crates/sim/src"];
const TIMES: [&str; 5] = ["SystemTime", "Instant::now", "thread::", "tokio", "async fn"];

/// Not tests: those take a seed from the environment.
fn is_under(path: &Path, folders: &[&str]) -> bool {
    let is_test = path.iter().any(|part| part.to_string_lossy().starts_with("test"));
    !is_test && folders.iter().any(|folder| path.starts_with(folder))
}

fn uses(folders: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for (path, text) in sources().into_iter().filter(|(path, _)| is_under(path, folders)) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words = words.iter().filter(|word| code.contains(**word));
            found.extend(words.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    found
}

#[test]
fn the_core_reads_nothing_but_its_arguments() {
    let found = uses(&PURE, &IMPURE);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_engine_has_no_clock_and_no_threads_of_its_own() {
    let found = uses(&CLOCKLESS, &TIMES);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!uses(&["crates/cli/src"], &TIMES).is_empty(), "the search finds what is there");
}
