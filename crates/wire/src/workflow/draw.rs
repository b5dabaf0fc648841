//! A workflow as a drawing of boxes, from top to bottom. Stages that can run side by side stand side by side.
//!
//! ```text
//! +---------+
//! | package |
//! | package |
//! +---------+
//!      |
//!      v
//! ```

use domain::workflow::{Stage, With, Workflow};

/// Draws the workflow in plain ASCII. Ends with a line break.
pub fn draw(workflow: &Workflow) -> String {
    let mut text = String::new();
    for (row, members) in rows(workflow).iter().enumerate() {
        if row > 0 {
            text.push_str("     |\n     v\n");
        }
        let boxes: Vec<Vec<String>> =
            members.iter().map(|index| boxed(workflow, &workflow.stages[*index], row)).collect();
        let height = boxes.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let parts: Vec<String> = boxes
                .iter()
                .map(|lines| {
                    let width = lines[0].chars().count();
                    lines.get(line).cloned().unwrap_or_else(|| " ".repeat(width))
                })
                .collect();
            text.push_str(parts.join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

/// The stages by how many stand before them in the longest way to them.
fn rows(workflow: &Workflow) -> Vec<Vec<usize>> {
    let mut depth: Vec<usize> = Vec::new();
    for stage in &workflow.stages {
        let deepest = stage.needs.iter().filter_map(|needed| depth.get(*needed)).max();
        depth.push(deepest.map_or(0, |depth| depth + 1));
    }
    let last = depth.iter().max().map_or(0, |depth| depth + 1);
    (0..last).map(|row| (0..depth.len()).filter(|index| depth[*index] == row).collect()).collect()
}

fn boxed(workflow: &Workflow, stage: &Stage, row: usize) -> Vec<String> {
    let mut lines = vec![stage.name.to_string(), summary(stage)];
    if let Some(when) = &stage.when {
        lines.push(format!("when {}", when.text));
    }
    // The arrow comes from the row above; only a need from further up must be said.
    let above: Vec<usize> = if row == 0 { vec![] } else { rows(workflow).swap_remove(row - 1) };
    if stage.needs.iter().any(|needed| !above.contains(needed)) || stage.needs.len() < above.len() {
        let names: Vec<&str> =
            stage.needs.iter().map(|needed| workflow.stages[*needed].name.as_str()).collect();
        lines.push(format!("after {}", names.join(", ")));
    }
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(9);
    let edge = format!("+{}+", "-".repeat(width + 2));
    let inside = lines.iter().map(|line| format!("| {line:width$} |"));
    std::iter::once(edge.clone()).chain(inside).chain([edge.clone()]).collect()
}

fn summary(stage: &Stage) -> String {
    let kind = stage.with.kind().as_str();
    match &stage.with {
        With::Package(with) => format!("{kind}: {}", with.formats.join(", ")),
        With::StageTest(with) => {
            let names: Vec<&str> = with.checks.iter().map(|check| check.name.as_str()).collect();
            format!("{kind}: {}", names.join(", "))
        }
        With::Gate(with) => {
            let asked: Vec<String> =
                with.approvals.iter().map(|one| format!("{} {}", one.count, one.role)).collect();
            let rules = match with.require.len() {
                0 => String::new(),
                1 => "1 rule; ".into(),
                count => format!("{count} rules; "),
            };
            format!("{kind}: {rules}{}", if asked.is_empty() { "nobody".into() } else { asked.join(" + ") })
        }
        With::Rollout(with) => {
            let weights: Vec<String> = with.steps.iter().map(|step| step.weight.to_string()).collect();
            format!("{kind}: {} {}", with.strategy.as_str(), weights.join(" > "))
        }
        With::Monitor(with) => format!("{kind}: every {}", with.window),
    }
}
