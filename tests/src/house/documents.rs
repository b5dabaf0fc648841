//! What the documents say of the code is there: crates, files, functions, links, numbers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::crates::MAY_KNOW;
use super::{crate_names, read, root, tracked};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const CONTRIBUTING: &str = "CONTRIBUTING.md";
const RECIPE_STEPS_MAX: usize = 6;
/// One page.
const ADR_LINES_MAX: usize = 60;

/// Each text between two backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_architecture_names_every_crate_with_its_invariant_and_no_dead_one() {
    let text = read(ARCHITECTURE);
    let sections: Vec<&str> = text.split("\n### `crates/").skip(1).collect();
    let named: Vec<&str> = sections.iter().filter_map(|section| section.split('`').next()).collect();
    let mut sorted: Vec<&str> = named.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, crate_names(), "the code map has one section for each crate");
    for (name, section) in named.iter().zip(&sections) {
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(section.contains("**Invariant:**"), "crates/{name} has no invariant in the code map");
    }
}

#[test]
fn the_architecture_says_which_crate_may_know_which() {
    let text = read(ARCHITECTURE);
    let mut above: Vec<&str> = vec![];
    for section in text.split("\n### `crates/").skip(1) {
        let name = section.split('`').next().unwrap_or_default();
        let knows = section.split("Knows: ").nth(1).and_then(|rest| rest.split('.').next());
        let said = quoted(knows.unwrap_or_else(|| panic!("crates/{name} does not say what it knows")));
        let (_, allowed) = MAY_KNOW.iter().find(|(of, _)| *of == name).expect("every crate has its row");
        assert_eq!(said, *allowed, "crates/{name}");
        assert!(
            said.iter().all(|other| above.contains(other)),
            "crates/{name} knows a crate that stands below it"
        );
        above.push(name);
    }
}

#[test]
fn a_path_that_a_document_names_exists() {
    let mut dead = vec![];
    for document in documents() {
        let text = read(&document);
        for path in quoted(&text) {
            let is_path =
                ["crates/", "docs/", "deploy/", "tests/", "workflows/", "examples/", "proto/", ".ci/"]
                    .iter()
                    .any(|folder| path.starts_with(folder));
            let is_plain =
                path.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            // `NAME` stands for what the reader will call it.
            if is_path && is_plain && !path.contains("NAME") && !root().join(path).exists() {
                dead.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Where a document says "`name` (`crates/.../file.rs`)".
fn functions(text: &str) -> Vec<(String, String)> {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts: Vec<&str> = flat.split('`').collect();
    let pairs = parts.windows(3).filter(|three| three[1] == " (" && three[2].starts_with("crates/"));
    pairs.map(|three| (three[0].to_owned(), three[2].to_owned())).collect()
}

#[test]
fn the_functions_on_a_runs_way_are_where_the_architecture_says() {
    let named = functions(&read(ARCHITECTURE));
    assert!(named.len() >= 30, "the life of a run names only {}", named.len());
    let mut gone = vec![];
    for (name, path) in named {
        let function = name.rsplit("::").next().unwrap_or(&name).to_owned();
        let there = std::fs::read_to_string(root().join(&path)).is_ok_and(|source| {
            let after =
                |text: &str| text.starts_with(|letter: char| !letter.is_alphanumeric() && letter != '_');
            ["fn", "struct", "enum", "trait", "const"].iter().any(|kind| {
                let item = format!("{kind} {function}");
                source.match_indices(&item).any(|(at, found)| after(&source[at + found.len()..]))
            })
        });
        if !there {
            gone.push(format!("{name} in {path}"));
        }
    }
    assert!(gone.is_empty(), "{gone:#?}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = vec![];
    for document in documents() {
        let text = read(&document);
        let folder = document.parent().unwrap_or(Path::new(""));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') && !root().join(folder).join(path).exists() {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

fn documents() -> Vec<PathBuf> {
    tracked().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn the_numbered_invariants_of_the_code_stand_in_the_architecture() {
    let text = read(ARCHITECTURE);
    let section =
        text.split("\n## Invariants").nth(1).expect("there is a section").split("\n## ").next().unwrap_or("");
    let numbers: Vec<u8> = section.lines().filter_map(|line| line.split_once(". ")?.0.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u8).collect::<Vec<_>>(), "numbered from 1, without gaps");
    // However it is broken into lines.
    let code: String = read("crates/domain/src/invariant.rs").split_whitespace().collect();
    let checked: BTreeSet<u8> = code
        .split("check(&mutbroken,")
        .skip(1)
        .filter_map(|rest| rest.split(',').next()?.parse().ok())
        .collect();
    assert!(checked.len() > 5, "read only {checked:?}");
    let unlisted: Vec<&u8> = checked.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(unlisted.is_empty(), "checked and not listed: {unlisted:?}");
    for number in numbers {
        let line = section.lines().find(|line| line.starts_with(&format!("{number}. "))).unwrap_or_default();
        let says = !line.contains("(by construction)");
        assert_eq!(
            says,
            checked.contains(&number),
            "invariant {number}: the list says whether `invariant.rs` checks it"
        );
    }
}

#[test]
fn decisions_are_numbered_and_have_their_parts_on_a_page_and_are_linked() {
    let architecture = read(ARCHITECTURE);
    let mut records: Vec<PathBuf> =
        documents().into_iter().filter(|path| path.starts_with("docs/adr")).collect();
    records.sort();
    assert!(!records.is_empty());
    for (index, path) in records.iter().enumerate() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} is out of order");
        let text = read(path);
        for part in ["## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        assert!(text.lines().count() <= ADR_LINES_MAX, "{name} is longer than a page");
        assert!(architecture.contains(&format!("docs/adr/{name}")), "ARCHITECTURE.md does not link {name}");
    }
}

#[test]
fn a_recipe_has_at_most_six_steps() {
    let text = read(CONTRIBUTING);
    let recipes: Vec<&str> = text.split("\n### Add ").skip(1).collect();
    assert!(recipes.len() >= 5, "found {} recipes", recipes.len());
    for recipe in recipes {
        let title = recipe.lines().next().unwrap_or_default();
        let recipe = recipe.split("\n#").next().unwrap_or_default();
        let is_step =
            |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        let steps = recipe.lines().filter(is_step).count();
        assert!((1..=RECIPE_STEPS_MAX).contains(&steps), "add {title}: {steps} steps; mend the design");
    }
}
