//! Lists runs.

use api::view::{RunLine, RunList};
use domain::time::Timestamp;

use super::show::withheld_mark;
use crate::argv::RunsArguments;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, say};

/// How many runs are asked for at once.
const PAGE: usize = 500;

pub(super) async fn runs(client: &Client, asked: &RunsArguments, output: Output) -> Result<Exit, Failure> {
    let since = asked.since.as_deref().map(moment).transpose()?;
    let limit = asked.limit as usize;
    let mut lines: Vec<RunLine> = vec![];
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", (limit - lines.len()).min(PAGE).to_string())];
        let filters = [("model", &asked.model), ("target", &asked.target), ("state", &asked.state)];
        query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: RunList = client.get("/v1/runs", &query).await?;
        let early =
            |line: &RunLine| since.is_some_and(|since| began(line).is_some_and(|began| began < since));
        let enough = page.runs.iter().any(early);
        lines.extend(page.runs.into_iter().filter(|line| !early(line)));
        cursor = page.next_cursor;
        if enough || lines.len() >= limit || cursor.is_none() {
            break;
        }
    }
    if cursor.is_some() && lines.len() >= limit {
        say(&format!("the newest {limit} runs; --limit shows more"));
    }
    output.list(&lines, table)?;
    Ok(Exit::Good)
}

fn began(line: &RunLine) -> Option<Timestamp> {
    api::parse_timestamp(&line.started_at)
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    api::parse_timestamp(text).ok_or_else(|| {
        Failure::usage("BAD_TIME", format!("expected an RFC 3339 time, but found `{text}`")).field("--since")
    })
}

fn table(lines: &[RunLine]) -> String {
    if lines.is_empty() {
        return "no runs\n".to_owned();
    }
    let mut table = Table::new(&["RUN", "MODEL", "TARGET", "WORKFLOW", "STATE", "BEGAN", "WAITS FOR"]);
    for line in lines {
        let paused = if line.paused { ", paused" } else { "" };
        let withheld = line.withheld.as_ref().map(|view| format!(", {}", withheld_mark(view)));
        let withheld = withheld.unwrap_or_default();
        table.row([
            line.run.clone(),
            format!("{}@{}", line.model, line.version),
            line.target.clone(),
            line.workflow.clone(),
            format!("{}{paused}{withheld}", line.state),
            line.started_at.clone(),
            line.waits.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stand_in_a_table() {
        let line = |run: &str, state: &str, paused, waits: &str| RunLine {
            run: run.into(),
            model: "flights-late".into(),
            version: "v2".into(),
            target: "flights-late@production".into(),
            workflow: "canary-safe".into(),
            state: state.into(),
            ended: false,
            paused,
            withheld: None,
            started_at: "2026-11-20T10:00:00.000Z".into(),
            updated_at: "2026-11-20T10:05:00.000Z".into(),
            seq: 12,
            transitions: 9,
            waits: waits.into(),
        };
        let lines = [line("01KA", "active", true, "approval of ml"), line("01KB", "rolled_back", false, "")];
        insta::assert_snapshot!(table(&lines), @r"
        RUN   MODEL            TARGET                   WORKFLOW     STATE           BEGAN                     WAITS FOR
        01KA  flights-late@v2  flights-late@production  canary-safe  active, paused  2026-11-20T10:00:00.000Z  approval of ml
        01KB  flights-late@v2  flights-late@production  canary-safe  rolled_back     2026-11-20T10:00:00.000Z
        ");
        assert_eq!(table(&[]), "no runs\n");
    }
}
