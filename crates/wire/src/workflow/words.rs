//! A workflow in words, for the one who is about to rely on it.

use std::fmt::Write as _;

use domain::check::{Check, Level};
use domain::routes::Sticky;
use domain::verdict::On;
use domain::workflow::{
    GateWith, MonitorWith, RolloutStep, RolloutWith, Stage, Strategy, Trigger, WhileRunning, With, Workflow,
};

/// Says what the workflow does, a paragraph for each stage. Ends with a line break.
pub fn words(workflow: &Workflow) -> String {
    let mut text = format!("Workflow {}\n  {}\n", workflow.name, trigger(&workflow.trigger));
    for (index, stage) in workflow.stages.iter().enumerate() {
        let kind = stage.with.kind().as_str();
        let _ = writeln!(text, "\n{}. {} ({kind}){}", index + 1, stage.name, after(workflow, index));
        for line in stage_lines(stage) {
            let _ = writeln!(text, "   {line}");
        }
    }
    text
}

fn trigger(trigger: &Trigger) -> String {
    let models = match trigger.models.as_slice() {
        [] => "Starts only when an event names it".to_owned(),
        models => format!("Starts for the models {}", models.join(", ")),
    };
    let others = match trigger.while_running {
        WhileRunning::Supersede => "supersedes runs under way that moved no traffic yet",
        WhileRunning::Queue => "waits for runs under way",
        WhileRunning::Refuse => "is refused while a run is under way",
    };
    format!("{models}, delivers to {{model}}@{}, and {others}.", trigger.environment)
}

fn after(workflow: &Workflow, index: usize) -> String {
    let stage = &workflow.stages[index];
    let alone_before = index.checked_sub(1).into_iter().collect::<Vec<_>>();
    if stage.needs == alone_before {
        return String::new();
    }
    match stage.needs.as_slice() {
        [] => ", at once".into(),
        needs => {
            let names: Vec<&str> =
                needs.iter().map(|needed| workflow.stages[*needed].name.as_str()).collect();
            format!(", after {}", names.join(" and "))
        }
    }
}

fn stage_lines(stage: &Stage) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(when) = &stage.when {
        lines.push(format!("Only when {}; otherwise it is skipped.", when.text));
    }
    let tries = format!(
        "Gives up after {}; a try that fails is repeated up to {} in all, {} to {} apart.",
        stage.timeout, stage.retry.attempts, stage.retry.backoff_min, stage.retry.backoff_max
    );
    match &stage.with {
        With::Package(with) => {
            let size = with.size_max_bytes;
            lines.push(format!(
                "Packs models of the format {} up to {}.",
                with.formats.join(", "),
                bytes(size)
            ));
            if !with.require.is_empty() {
                lines.push(format!("Lineage must say: {}.", with.require.join(", ")));
            }
            lines.push(if with.sign { "The bundle is signed." } else { "The bundle is not signed." }.into());
            lines.push(tries);
        }
        With::StageTest(with) => {
            lines.push(format!("Serves the bundle in {} and looks at:", with.environment));
            lines.extend(with.checks.iter().map(|check| check_line(check, On::TEST)));
            lines.push(tries);
        }
        With::Gate(with) => gate(with, &mut lines),
        With::Rollout(with) => rollout(with, &mut lines),
        With::Monitor(with) => monitor(with, &mut lines),
    }
    lines
}

fn bytes(size: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, one)| size >= *one && size.is_multiple_of(*one));
    unit.map_or_else(|| format!("{size}B"), |(name, one)| format!("{}{name}", size / one))
}

fn check_line(check: &Check, usual: On) -> String {
    let mut line = format!("- {}: {}", check.name, check.words());
    if check.level == Level::Observe {
        line.push_str(" (shown only)");
    } else if check.on != usual {
        let _ = write!(line, " ({})", on(check.on));
    }
    line
}

fn on(on: On) -> String {
    format!("on fail {}, inconclusive {}, no data {}", on.fail, on.inconclusive, on.no_data)
}

fn gate(with: &GateWith, lines: &mut Vec<String>) {
    if !with.require.is_empty() {
        lines.push("Must be true:".into());
        for term in &with.require {
            let name = if term.name == term.rule.text { String::new() } else { format!("{}: ", term.name) };
            let because = term.because.as_ref().map_or_else(String::new, |why| format!(" (because {why})"));
            lines.push(format!("- {name}{}{because}", term.rule.text));
        }
    }
    if with.approvals.is_empty() {
        lines.push("Asks nobody.".into());
        return;
    }
    let asked: Vec<String> =
        with.approvals.iter().map(|one| format!("{} of the role {}", one.count, one.role)).collect();
    let eyes = if with.four_eyes { "; neither the model's owner nor its publisher may" } else { "" };
    lines.push(format!("Asks for the approval of {}{eyes}.", asked.join(" and ")));
    lines.push(format!("Ends after {} without them.", with.expires));
}

fn rollout(with: &RolloutWith, lines: &mut Vec<String>) {
    match with.strategy {
        Strategy::BlueGreen => lines.push("Moves all traffic at once (blue-green):".into()),
        Strategy::Canary => lines.push(format!("Moves traffic in {} steps (canary):", with.steps.len())),
    }
    lines.extend(with.steps.iter().map(step));
    let kept_by = match &with.sticky {
        Sticky::None => None,
        Sticky::Header(name) => Some(format!("header {name}")),
        Sticky::Parameter(name) => Some(format!("parameter {name}")),
    };
    lines.extend(kept_by.map(|key| format!("A caller stays with its release by the {key}.")));
    if !with.analysis.is_empty() {
        lines.push(format!(
            "Looks every {} at what follows; of all rollouts without harm at most {}% are rolled back by chance:",
            with.tick,
            with.alpha * 100.0
        ));
        lines.extend(with.analysis.iter().map(|check| check_line(check, with.on)));
    }
    lines.push(format!("Otherwise: {}.", on(with.on)));
    lines.push(format!(
        "Never more than {} before the last step; a rollback is instant, after {} an incident is opened.",
        with.share_cap, with.leave_deadline
    ));
    lines.push(format!("The former release stays loaded for {}.", with.keep_warm));
}

fn step(step: &RolloutStep) -> String {
    let samples =
        if step.samples > 0 { format!(", at least {} observations", step.samples) } else { String::new() };
    let deadline = step.deadline.map_or_else(|| ", no deadline".to_owned(), |end| format!(", at most {end}"));
    format!("- {} of the traffic for {}{samples}{deadline}", step.weight, step.bake)
}

fn monitor(with: &MonitorWith, lines: &mut Vec<String>) {
    lines.push(format!(
        "Looks at each window of {} (labels up to {} later) at:",
        with.window, with.labels_delay
    ));
    lines.extend(with.checks.iter().map(|check| check_line(check, On::LIVE)));
}
