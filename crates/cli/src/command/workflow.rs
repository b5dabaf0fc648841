//! Workflow files checked here, and the workflows that a server has loaded.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use api::view::{WorkflowLine, WorkflowList};
use serde::Serialize;
use wire::problem::Problem;

use crate::argv::{Global, WorkflowCommand};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

/// What was found in one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    workflow: Option<String>,
    problems: Vec<Found>,
    warnings: Vec<Found>,
    words: Option<String>,
    drawing: Option<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    code: &'static str,
    field: String,
    line: Option<u32>,
    column: Option<u32>,
    text: String,
    hint: Option<String>,
}

pub(super) async fn workflow(
    global: &Global,
    command: WorkflowCommand,
    output: Output,
) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::Check { files } => check(&files, output),
        WorkflowCommand::List => {
            let list: WorkflowList = Client::server(global)?.get("/v1/workflows", &[]).await?;
            output.list(&list.workflows, table)?;
            Ok(Exit::Good)
        }
        WorkflowCommand::Show { name } => {
            let list: WorkflowList = Client::server(global)?.get("/v1/workflows", &[]).await?;
            let found = list.workflows.into_iter().find(|line| line.workflow == name).ok_or_else(|| {
                let text = format!("expected a loaded workflow, but there is none called `{name}`");
                Failure::new(Exit::Failed, "UNKNOWN_WORKFLOW", text)
                    .hint("list them with `modelrail workflow list`")
            })?;
            let drawn = checked(&found.file, &found.text);
            output.one(&found, |_| text(&drawn))?;
            Ok(Exit::Good)
        }
    }
}

fn check(files: &[PathBuf], output: Output) -> Result<Exit, Failure> {
    let mut all = vec![];
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage("WORKFLOW_FILE", format!("failed to read `{}`", file.display())).cause(&error)
        })?;
        all.push(checked(&name_of(file), &text));
    }
    output.list(&all, |all| all.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(if all.iter().all(|checked| checked.problems.is_empty()) { Exit::Good } else { Exit::Failed })
}

fn checked(file: &str, text: &str) -> Checked {
    let found = |problem: &Problem| Found {
        code: problem.code,
        field: problem.field.clone(),
        line: problem.line,
        column: problem.column,
        text: problem.text.clone(),
        hint: problem.hint.clone(),
    };
    let mut checked = Checked {
        file: file.to_owned(),
        workflow: None,
        problems: vec![],
        warnings: vec![],
        words: None,
        drawing: None,
    };
    match wire::workflow::parse(text) {
        Ok((workflow, warnings)) => {
            checked.workflow = Some(workflow.name.to_string());
            checked.warnings = warnings.iter().map(found).collect();
            checked.words = Some(wire::workflow::words(&workflow));
            checked.drawing = Some(wire::workflow::draw(&workflow));
        }
        Err(problems) => checked.problems = problems.0.iter().map(found).collect(),
    }
    checked
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    let kinds = [("problem", &checked.problems), ("warning", &checked.warnings)];
    for (kind, found) in kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |found| (kind, found)))
    {
        let place = match (found.line, found.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let field = if found.field.is_empty() { String::new() } else { format!("{}: ", found.field) };
        let _ = writeln!(text, "{}{place}: {kind}[{}]: {field}{}", checked.file, found.code, found.text);
        if let Some(hint) = &found.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    for part in [&checked.words, &checked.drawing].into_iter().flatten() {
        text.push_str(part);
        text.push_str(if part.ends_with('\n') { "\n" } else { "\n\n" });
    }
    text
}

fn table(lines: &[WorkflowLine]) -> String {
    if lines.is_empty() {
        return "no workflows\n".to_owned();
    }
    let mut table = Table::new(&["WORKFLOW", "MODELS", "ENVIRONMENT", "WHILE RUNNING", "STAGES", "FILE"]);
    for line in lines {
        table.row([
            line.workflow.clone(),
            line.models.join(", "),
            line.environment.clone(),
            line.while_running.clone(),
            line.stages.iter().map(|stage| stage.stage.as_str()).collect::<Vec<_>>().join(" > "),
            line.file.clone(),
        ]);
    }
    table.render()
}

fn name_of(file: &Path) -> String {
    file.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_file_has_its_place() {
        let checked = checked("x.yaml", "workflow: x\ntriger: {}\nstages: []\n");
        let text = text(&checked);
        assert!(checked.problems.len() >= 2, "{text}");
        assert!(text.contains("x.yaml:2:1: problem["), "{text}");
    }
}
