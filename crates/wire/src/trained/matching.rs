//! Which workflows an event starts, and for which targets.

use std::collections::BTreeMap;

use domain::evidence::Text;
use domain::name::{ModelName, TargetId};
use domain::workflow::Workflow;

use super::Announced;
use crate::problem::{Problem, code, nearest};

/// The trigger that comes nearest to a model that none matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    pub workflow: Text,
    /// The model or prefix as the trigger writes it.
    pub pattern: Text,
}

/// The workflows that an event starts, one for each target: the one it names, or those whose triggers match.
/// Refused when there is none, or when two would deliver to the same target.
pub fn matching<'a>(
    announced: &Announced,
    workflows: impl IntoIterator<Item = &'a Workflow>,
) -> Result<Vec<(&'a Workflow, TargetId)>, Problem> {
    let workflows: Vec<&Workflow> = workflows.into_iter().collect();
    let model = &announced.trained.model;
    let target_of =
        |workflow: &Workflow| announced.target.clone().unwrap_or_else(|| workflow.trigger.target(model));
    if let Some(name) = &announced.workflow {
        let Some(named) = workflows.iter().find(|workflow| workflow.name == *name) else {
            let text = format!("expected a workflow that is known, but found `{name}`");
            let names = workflows.iter().map(|workflow| workflow.name.as_str());
            return Err(Problem::new(code::NO_WORKFLOW, "workflow", text).suggest(name.as_str(), names));
        };
        return Ok(vec![(named, target_of(named))]);
    }
    let mut by_target: BTreeMap<TargetId, Vec<&Workflow>> = BTreeMap::new();
    for workflow in workflows.iter().filter(|workflow| workflow.trigger.matches(model)) {
        by_target.entry(target_of(workflow)).or_default().push(workflow);
    }
    if by_target.is_empty() {
        let text = format!("expected a model that a workflow's trigger matches, but found `{model}`");
        let problem = Problem::new(code::NO_WORKFLOW, "model", text);
        return Err(match nearest_trigger(model, workflows.iter().copied()) {
            Some(near) => {
                problem.hint(format!("nearest is `{}` of the workflow `{}`", near.pattern, near.workflow))
            }
            None => {
                problem.hint("name a workflow in the event's field `workflow`, or add the model to a trigger")
            }
        });
    }
    let mut chosen = Vec::new();
    for (target, found) in by_target {
        if let [one] = found.as_slice() {
            chosen.push((*one, target));
        } else {
            let names: Vec<String> = found.iter().map(|workflow| format!("`{}`", workflow.name)).collect();
            let text = format!("expected one workflow for {target}, but found {}", names.join(" and "));
            let problem = Problem::new(code::AMBIGUOUS_WORKFLOW, "model", text);
            return Err(problem.hint("name one in the event's field `workflow`"));
        }
    }
    Ok(chosen)
}

/// The first trigger whose model or prefix is written nearly like the model.
pub fn nearest_trigger<'a>(
    model: &ModelName,
    workflows: impl IntoIterator<Item = &'a Workflow>,
) -> Option<Nearest> {
    let mut triggers = workflows
        .into_iter()
        .flat_map(|workflow| workflow.trigger.models.iter().map(move |pattern| (workflow, pattern)));
    // Of the model only as much is compared as a prefix has, so that `chrun-eu` is near `churn-*`.
    triggers.find_map(|(workflow, pattern)| {
        let plain = pattern.trim_end_matches('*');
        let length = if plain.len() < pattern.len() { plain.chars().count() } else { usize::MAX };
        let head: String = model.as_str().chars().take(length).collect();
        nearest(&head, [plain])?;
        Some(Nearest { workflow: workflow.name.as_str().into(), pattern: pattern.clone() })
    })
}
