//! The names of inputs and events stand in the log for ever. `tests/core-names.txt` lists those of the design, with
//! what is not there yet and what was added; the code must be exactly that.

use std::collections::BTreeSet;

use super::read;

const LIST: &str = "tests/core-names.txt";

/// Section of the list, and the source whose `name()` gives the names.
const SECTIONS: [(&str, &str); 4] = [
    ("run inputs", "crates/domain/src/run/input.rs"),
    ("run events", "crates/domain/src/run/event.rs"),
    ("target inputs", "crates/domain/src/target/input.rs"),
    ("target events", "crates/domain/src/target/event.rs"),
];

#[derive(Default)]
struct Listed {
    there: BTreeSet<String>,
    missing: BTreeSet<String>,
    added: BTreeSet<String>,
}

fn listed(section: &str) -> Listed {
    let text = read(LIST);
    let heading = format!("[{section}]");
    let mut listed = Listed::default();
    let lines =
        text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (names, name) = match (line.strip_prefix("- "), line.strip_prefix("+ ")) {
            (Some(name), _) => (&mut listed.missing, name),
            (_, Some(name)) => (&mut listed.added, name),
            (None, None) => (&mut listed.there, line),
        };
        assert!(names.insert(name.to_owned()), "{name} stands twice under {heading}");
    }
    listed
}

/// The names that `name()` can answer: each variant has its arm, or it would not compile.
fn in_code(source: &str) -> BTreeSet<String> {
    let text = read(source);
    let body = text.split("pub fn name(&self)").nth(1).unwrap_or_else(|| panic!("{source} has no `name`"));
    let arms = body.lines().take_while(|line| !line.starts_with("    }"));
    arms.filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn the_names_of_the_core_are_those_of_the_list() {
    for (section, source) in SECTIONS {
        let (listed, code) = (listed(section), in_code(source));
        assert!(code.len() > 15, "{source}: read only {code:?}");
        let expected: BTreeSet<String> = listed.there.union(&listed.added).cloned().collect();
        let unlisted: Vec<_> = code.difference(&expected).collect();
        let gone: Vec<_> = expected.difference(&code).collect();
        assert!(unlisted.is_empty(), "{section}: not in {LIST}, or listed as not there yet: {unlisted:?}");
        assert!(gone.is_empty(), "{section}: in {LIST} and not in the code: {gone:?}");
        let both: Vec<_> = listed.missing.intersection(&code).collect();
        assert!(both.is_empty(), "{section}: there now, so take the `-` away: {both:?}");
    }
}

#[test]
fn definitions_have_one_input_and_one_event() {
    let source = read("crates/domain/src/transition.rs");
    for section in ["definition inputs", "definition events"] {
        for name in listed(section).there {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}

#[test]
fn what_was_added_is_argued() {
    let argued = ["0009-names-against-the-design", "0014-quarantine-holds-what-its-stream-cannot-decide"]
        .map(|record| read(format!("docs/adr/{record}.md")))
        .concat();
    for (section, _) in SECTIONS {
        for name in listed(section).added {
            assert!(
                argued.contains(&format!("`{name}`")),
                "{section}: neither ADR 9 nor ADR 14 names `{name}`"
            );
        }
    }
}

#[test]
fn an_input_never_has_the_name_of_an_event_of_its_stream() {
    for [inputs, events] in [[SECTIONS[0], SECTIONS[1]], [SECTIONS[2], SECTIONS[3]]] {
        let (inputs, events) = (in_code(inputs.1), in_code(events.1));
        let both: Vec<_> = inputs.intersection(&events).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}

#[test]
fn every_name_is_in_the_schema_of_the_log() {
    let schema = ["run", "target"].map(|file| read(format!("proto/modelrail/v1/{file}.proto"))).concat();
    for (section, source) in SECTIONS {
        for name in in_code(source) {
            let one = name.chars().flat_map(|letter| {
                let mark = letter.is_uppercase().then_some('_');
                mark.into_iter().chain(letter.to_lowercase())
            });
            let field = one.collect::<String>();
            let field = field.trim_start_matches('_');
            let is_there = schema.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == field);
            assert!(is_there, "{section}: {name} has no field `{field}` in proto/");
        }
    }
}
