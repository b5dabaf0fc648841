//! The whole: who needs whom, in which order, and whether rules and kinds fit together.
//!
//! A stage needs the one written before it unless it names others. Package comes before what needs a bundle;
//! everything but monitors comes before the rollout, and monitors after it.

use domain::name::StageName;
use domain::workflow::{Stage, StageKind, With};

use super::gate::RuleDraft;
use super::stage::Draft;
use crate::problem::{Notes, Problem, code, nearest};

/// The stages in an order in which each stands after those it needs; nothing when that cannot be.
pub(super) fn arrange(drafts: Vec<Draft>, notes: &mut Notes) -> Option<Vec<Stage>> {
    let needs = needs(&drafts, notes)?;
    let order = sorted(&drafts, &needs, notes)?;
    let before = ancestors(&order, &needs);
    fit_kinds(&drafts, &before, notes);
    for (index, draft) in drafts.iter().enumerate() {
        for rule in draft.rules.iter().chain(&draft.when) {
            fit_rule(rule, index, &drafts, &before, notes);
        }
    }
    let mut place_of = vec![0; drafts.len()];
    for (place, index) in order.iter().enumerate() {
        place_of[*index] = place;
    }
    let mut stages: Vec<(usize, Option<Stage>)> = drafts
        .into_iter()
        .enumerate()
        .map(|(index, draft)| {
            let mut needs: Vec<usize> = needs[index].iter().map(|needed| place_of[*needed]).collect();
            needs.sort_unstable();
            let Draft { name, when, timeout, retry, with, .. } = draft;
            let when = when.map(|when| when.rule);
            (place_of[index], with.map(|with| Stage { name, needs, when, timeout, retry, with }))
        })
        .collect();
    stages.sort_by_key(|(place, _)| *place);
    stages.into_iter().map(|(_, stage)| stage).collect()
}

/// The indexes that each stage needs.
fn needs(drafts: &[Draft], notes: &mut Notes) -> Option<Vec<Vec<usize>>> {
    let find = |name: &StageName| drafts.iter().position(|draft| draft.name == *name);
    let before = notes.count();
    let needs = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| {
            let Some(named) = &draft.needs else { return index.checked_sub(1).into_iter().collect() };
            let mut found: Vec<usize> = Vec::new();
            for (name, problem) in named {
                match find(name) {
                    Some(needed) if needed != index && !found.contains(&needed) => found.push(needed),
                    Some(_) => {
                        let text = format!("expected other stages, each once, but found `{name}`");
                        notes.problem(Problem { code: code::DUPLICATE, text, ..problem.clone() });
                    }
                    None => {
                        let names = drafts.iter().map(|draft| draft.name.as_str());
                        notes.problem(problem.clone().suggest(name.as_str(), names));
                    }
                }
            }
            found
        })
        .collect();
    (notes.count() == before).then_some(needs)
}

/// An order that keeps to the text as far as the needs allow.
fn sorted(drafts: &[Draft], needs: &[Vec<usize>], notes: &mut Notes) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < drafts.len() {
        let ready = (0..drafts.len()).find(|index| {
            !order.contains(index) && needs[*index].iter().all(|needed| order.contains(needed))
        });
        let Some(ready) = ready else {
            let in_circle: Vec<&Draft> = (0..drafts.len())
                .filter(|index| !order.contains(index))
                .map(|index| &drafts[index])
                .collect();
            let names: Vec<String> = in_circle.iter().map(|draft| format!("`{}`", draft.name)).collect();
            let text = format!(
                "expected stages that wait for earlier ones, but {} wait in a circle",
                names.join(", ")
            );
            let first = in_circle[0];
            notes.problem(Problem::new(code::CYCLE, format!("{}.needs", first.path), text).at(first.place));
            return None;
        };
        order.push(ready);
    }
    Some(order)
}

/// For each stage all that ended before it begins.
fn ancestors(order: &[usize], needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut before: Vec<Vec<usize>> = vec![vec![]; needs.len()];
    for index in order {
        let mut all = needs[*index].clone();
        for needed in &needs[*index] {
            all.extend(before[*needed].iter().copied());
        }
        all.sort_unstable();
        all.dedup();
        before[*index] = all;
    }
    before
}

fn fit_kinds(drafts: &[Draft], before: &[Vec<usize>], notes: &mut Notes) {
    for kind in [StageKind::Package, StageKind::Rollout] {
        let of_kind: Vec<&Draft> = drafts.iter().filter(|draft| draft.kind == kind).collect();
        if of_kind.is_empty() {
            let text = format!("expected one stage of kind {}, but found none", kind.as_str());
            notes.problem(Problem::new(code::MISSING, "stages", text).at(drafts[0].place));
        }
        for again in of_kind.iter().skip(1) {
            let text =
                format!("expected one stage of kind {}, but found `{}` too", kind.as_str(), again.name);
            notes.problem(Problem::new(code::CONFLICT, &again.path, text).at(again.place));
        }
    }
    let find = |kind| drafts.iter().position(|draft| draft.kind == kind);
    let (package, rollout) = (find(StageKind::Package), find(StageKind::Rollout));
    for (index, draft) in drafts.iter().enumerate() {
        let comes_after = |other: Option<usize>| other.is_none_or(|other| before[index].contains(&other));
        let precedes = |other: Option<usize>| other.is_none_or(|other| before[other].contains(&index));
        let wrong = match draft.kind {
            StageKind::Package if !precedes(rollout) => "before the rollout",
            StageKind::StageTest | StageKind::Rollout if !comes_after(package) => "after the package",
            StageKind::StageTest | StageKind::Gate if !precedes(rollout) => "before the rollout",
            StageKind::Monitor if !comes_after(rollout) => "after the rollout",
            _ => continue,
        };
        let text = format!("expected the {} `{}` {wrong}, but it is not", draft.kind.as_str(), draft.name);
        notes.problem(
            Problem::new(code::CONFLICT, &draft.path, text)
                .at(draft.place)
                .hint("move it, or write its `needs`"),
        );
    }
}

/// The facts of checks that a rule names must be there when it is judged.
fn fit_rule(rule: &RuleDraft, index: usize, drafts: &[Draft], before: &[Vec<usize>], notes: &mut Notes) {
    for fact in &rule.facts {
        let Some(path) = fact.path.strip_prefix("checks.") else { continue };
        let segments: Vec<&str> = path.split('.').collect();
        let &[stage, check, _] = segments.as_slice() else {
            let text = format!("expected `checks.<stage>.<check>.<value>`, but found `{}`", fact.path);
            notes.problem(rule.problem_at(fact, code::UNKNOWN_FACT, text));
            continue;
        };
        let Some(named) = drafts.iter().position(|draft| draft.name.as_str() == stage) else {
            let text = format!("expected a stage of this workflow, but found `{stage}` in `{}`", fact.path);
            let near = nearest(stage, drafts.iter().map(|draft| draft.name.as_str()));
            notes.problem(rule.problem_at(fact, code::UNKNOWN_FACT, text).suggest(stage, near));
            continue;
        };
        let checks = match &drafts[named].with {
            Some(With::StageTest(with)) => &with.checks,
            Some(With::Rollout(with)) => &with.analysis,
            Some(With::Monitor(with)) => &with.checks,
            Some(With::Package(_) | With::Gate(_)) => &vec![],
            None => continue,
        };
        if !checks.iter().any(|one| one.name.as_str() == check) {
            let text =
                format!("expected a check of the stage `{stage}`, but found `{check}` in `{}`", fact.path);
            let names = checks.iter().map(|one| one.name.as_str());
            notes.problem(rule.problem_at(fact, code::UNKNOWN_FACT, text).suggest(check, names));
        } else if !before[index].contains(&named) {
            let text = format!("expected a stage that ended before, but `{stage}` is judged later");
            notes.problem(rule.problem_at(fact, code::CONFLICT, text));
        }
    }
}
