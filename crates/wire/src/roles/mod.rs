//! Role maps as text: YAML of roles and the subjects that hold them, `ml: [subject, ...]`.
//!
//! **Invariant:** equal maps are rendered to equal bytes, so that their digests are equal too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use domain::name::{Role, Subject};
use domain::roles::RoleMap;

use crate::fields::Field;
use crate::problem::{Notes, Problem, Problems, code};
use crate::tree::shortened;
use crate::yaml;

/// Parses a role map. An empty text is an empty map.
pub fn parse(text: &str) -> Result<RoleMap, Problems> {
    if text.trim().is_empty() {
        return Ok(RoleMap::default());
    }
    let mut notes = Notes::default();
    let map = yaml::read(text, &mut notes).and_then(|node| read(&Field::root(&node), &mut notes));
    notes.conclude(map).map(|(map, _)| map)
}

fn read(field: &Field<'_>, notes: &mut Notes) -> Option<RoleMap> {
    let fields = field.map(notes)?;
    let mut members: BTreeMap<Role, BTreeSet<Subject>> = BTreeMap::new();
    for (entry, field) in fields.entries() {
        let role = match Role::parse(&entry.key) {
            Ok(role) => role,
            Err(error) => {
                let text = format!("expected {}, but found `{}`", error.expected, shortened(&entry.key));
                notes.problem(Problem::new(code::OUT_OF_RANGE, shortened(&entry.key), text).at(entry.place));
                continue;
            }
        };
        let holders = members.entry(role).or_default();
        for item in field.list(notes).unwrap_or_default() {
            let Some(subject) = item.parsed(Subject::parse, notes) else { continue };
            if !holders.insert(subject) {
                item.wrong(code::DUPLICATE, "each subject once", notes);
            }
        }
    }
    Some(RoleMap { members })
}

/// Renders a role map: roles and subjects in order, each role on a line of its own.
pub fn render(map: &RoleMap) -> String {
    let mut text = String::new();
    for (role, subjects) in &map.members {
        let quoted: Vec<String> = subjects.iter().map(|subject| quoted(subject.as_str())).collect();
        let _ = writeln!(text, "{role}: [{}]", quoted.join(", "));
    }
    if text.is_empty() { "{}\n".into() } else { text }
}

/// In double quotes, everything but plain ASCII as an escape that YAML and JSON share.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_role_map_reads_as_it_is_written() {
        let map = parse("ml: [u-2, u-1]\nbusiness: [\"u-3\"]\nadmin: []\n").unwrap();
        let holds = |subject: &str, role| map.holds(&Subject::parse(subject).unwrap(), role);
        assert!(holds("u-1", "ml") && holds("u-2", "ml") && holds("u-3", "business"));
        assert!(!holds("u-3", "ml"));
        assert_eq!(render(&map), "admin: []\nbusiness: [\"u-3\"]\nml: [\"u-1\", \"u-2\"]\n");
        assert_eq!(parse("").unwrap(), RoleMap::default());
        assert_eq!(parse(&render(&RoleMap::default())).unwrap(), RoleMap::default());
    }

    #[test]
    fn what_is_wrong_with_a_role_map_is_told_at_once() {
        let problems = parse("ML: [a]\nops: a\nml: [a, a, 1]\nml: []\n").unwrap_err();
        let seen: Vec<_> = problems.0.iter().map(|one| (one.code, one.line, one.field.as_str())).collect();
        assert_eq!(
            seen,
            [
                (code::OUT_OF_RANGE, Some(1), "ML"),
                (code::WRONG_TYPE, Some(2), "ops"),
                (code::DUPLICATE, Some(3), "ml[1]"),
                (code::WRONG_TYPE, Some(3), "ml[2]"),
                (code::DUPLICATE, Some(4), "ml"),
            ]
        );
    }

    proptest! {
        #[test]
        fn rendering_and_parsing_give_the_same_map(
            members in prop::collection::btree_map(
                "[a-z0-9][a-z0-9._-]{0,8}",
                prop::collection::btree_set("[^\\p{Cc}]{1,12}", 0..4),
                0..5,
            )
        ) {
            let members = members.iter().map(|(role, subjects)| {
                let subjects = subjects.iter().map(|subject| Subject::parse(subject).unwrap()).collect();
                (Role::parse(role).unwrap(), subjects)
            });
            let map = RoleMap { members: members.collect() };
            prop_assert_eq!(parse(&render(&map)).unwrap(), map);
        }
    }
}
