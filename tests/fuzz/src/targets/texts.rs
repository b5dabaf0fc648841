//! Texts that people write: workflows, rules, role maps, settings, names.

use std::path::Path;

use domain::name::{AttemptId, Digest, ModelName, RunId, Subject, TargetId};
use wire::{roles as role_maps, rule as rules, workflow as workflows};

use super::text;
use crate::config::Effective;

/// A workflow. What is accepted can be drawn and told in words; what is not has its problems in order.
pub(crate) fn workflow(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match workflows::parse(text) {
        Ok((workflow, _)) => {
            workflows::draw(&workflow);
            workflows::words(&workflow);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty() && problems.0.len() <= wire::problem::PROBLEMS_MAX);
            let _said = problems.to_string();
        }
    }
}

/// A CEL rule.
pub(crate) fn rule(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match rules::parse_with_facts(text) {
        Ok((_, facts)) => {
            let columns = text.chars().count() + 1;
            assert!(facts.iter().all(|fact| fact.column as usize <= columns), "{facts:?}");
        }
        Err(problems) => assert!(!problems.to_string().is_empty(), "a refusal that says nothing"),
    }
}

/// A role map. What was read is rendered and read again as the same.
pub(crate) fn roles(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(map) = role_maps::parse(text) else { return };
    let rendered = role_maps::render(&map);
    assert!(role_maps::parse(&rendered).is_ok_and(|again| again == map), "{rendered}");
}

/// A configuration file.
pub(crate) fn config(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut effective = Effective::defaults();
    if effective.merge_file(Path::new("modelrail.toml"), text).is_ok()
        && let Err(error) = effective.parse()
    {
        let _said = error.to_string();
    }
    let mut effective = Effective::defaults();
    let variables = text.lines().filter_map(|line| line.split_once('='));
    effective.merge_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let _parsed = effective.parse();
}

/// Names, ids, times, cursors, paths and addresses. A name that was read is written as it was.
pub(crate) fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let same = |written: Option<String>| {
        assert!(written.as_ref().is_none_or(|written| written.eq_ignore_ascii_case(text)), "{written:?}");
    };
    same(ModelName::parse(text).ok().map(|name| name.to_string()));
    same(Subject::parse(text).ok().map(|name| name.to_string()));
    same(TargetId::parse(text).ok().map(|name| name.to_string()));
    same(RunId::parse(text).ok().map(|name| name.to_string()));
    if let Ok(attempt) = AttemptId::parse(text) {
        assert!(AttemptId::parse(&attempt.to_string()).is_ok_and(|again| again == attempt), "{attempt}");
    }
    if let Ok(digest) = Digest::parse(text) {
        assert!(Digest::parse(&digest.to_string()).is_ok_and(|again| again == digest), "{digest}");
    }
    api::decoders::text(text);
    gateway::decoders::text(text);
    stages::decoders::address(text);
}
