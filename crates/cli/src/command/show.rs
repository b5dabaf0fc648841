//! One run: in full, what it waits for, and why it was decided so.

use api::view::{
    CheckExplained, Explanation, GateView, JudgementView, ReleaseView, RolloutView, RunView, StageExplained,
    StageView, TransitionList, TransitionView, WaitView, WaitsView, WithheldView,
};

use super::timeline;
use crate::argv::{ExplainArguments, RunName, ShowArguments};
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, facts, plain};

/// How many transitions are asked for at once.
const PAGE: usize = 500;

pub(super) async fn show(client: &Client, asked: &ShowArguments, output: Output) -> Result<Exit, Failure> {
    let run = segment(&asked.run.run);
    if asked.timeline {
        let transitions = transitions(client, &run).await?;
        output.list(&transitions, timeline::text)?;
        return Ok(Exit::Good);
    }
    let view: RunView = client.get(&format!("/v1/runs/{run}"), &[]).await?;
    output.one(&view, text)?;
    Ok(Exit::Good)
}

pub(super) async fn why(client: &Client, run: &RunName, output: Output) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}/why", segment(&run.run));
    let view: WaitsView = client.get(&path, &[]).await?;
    output.one(&view, |view| {
        let mut text = format!("run {} is {}\n", view.run, view.state);
        if view.waits.is_empty() {
            text.push_str("it waits for nothing\n");
        }
        view.waits.iter().for_each(|wait| text.push_str(&waits(wait)));
        text
    })?;
    Ok(Exit::Good)
}

pub(super) async fn explain(
    client: &Client,
    asked: &ExplainArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}/explain", segment(&asked.run.run));
    let query: Vec<_> = asked.stage.iter().map(|stage| ("stage", stage.clone())).collect();
    let view: Explanation = client.get(&path, &query).await?;
    output.one(&view, |view| {
        let mut text = facts(&[
            ("run", Some(view.run.clone())),
            ("state", Some(view.state.clone())),
            ("why", view.why.clone()),
            ("workflow", Some(format!("{} {}", view.workflow, view.workflow_digest))),
            ("after record", Some(view.seq.to_string())),
        ]);
        view.stages.iter().for_each(|stage| text.push_str(&explained(stage)));
        text
    })?;
    Ok(Exit::Good)
}

/// All transitions of a run, oldest first.
pub(super) async fn transitions(client: &Client, run: &str) -> Result<Vec<TransitionView>, Failure> {
    let mut transitions = vec![];
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: TransitionList = client.get(&format!("/v1/runs/{run}/transitions"), &query).await?;
        transitions.extend(page.transitions);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(transitions);
        }
    }
}

/// Why nothing is decided on it.
pub(super) fn withheld(view: &WithheldView) -> String {
    let held = view.held;
    match (&view.parked, &view.quarantined) {
        (Some(why), _) => format!("it needs an upgrade: {why}"),
        (None, Some(why)) => format!("quarantined, {held} inputs are held: {why}"),
        (None, None) => format!("{held} held inputs are to be decided"),
    }
}

/// The same in a word.
pub(super) fn withheld_mark(view: &WithheldView) -> &'static str {
    match (&view.parked, &view.quarantined) {
        (Some(_), _) => "needs upgrade",
        (None, Some(_)) => "quarantined",
        (None, None) => "releasing",
    }
}

/// A run as people read it.
pub(super) fn text(view: &RunView) -> String {
    let mut text = facts(&[
        ("run", Some(view.run.clone())),
        ("model", Some(format!("{}@{}", view.model, view.version))),
        ("target", Some(view.target.clone())),
        ("workflow", Some(format!("{} {}", view.workflow, view.workflow_digest))),
        ("state", Some(view.state.clone())),
        ("paused since", view.paused_since.clone()),
        ("withheld", view.withheld.as_ref().map(withheld)),
        ("leaving", view.leaving.as_ref().map(|leaving| format!("to {}: {}", leaving.end, leaving.cause))),
        ("began", Some(view.started_at.clone())),
        (
            "after record",
            Some(format!("{} at {}, transition {}", view.seq, view.updated_at, view.transitions)),
        ),
        ("chapter", view.chapter.map(|chapter| chapter.to_string())),
        ("event", Some(format!("{} {}", view.source, view.event_id))),
        ("owner", view.owner.clone()),
        ("risk tier", view.risk_tier.clone()),
        (
            "artifact",
            Some(format!(
                "{} sha256:{}",
                view.artifact.uri,
                view.artifact.sha256.trim_start_matches("sha256:")
            )),
        ),
        ("release", view.release.as_ref().map(release)),
        ("live before", view.live.as_ref().map(release)),
        ("generation", view.generation.map(|generation| generation.to_string())),
    ]);
    text.push('\n');
    text.push_str(&stages(&view.stages));
    for stage in &view.stages {
        text.push_str(&details(stage));
    }
    if !view.attempts.is_empty() {
        text.push_str("\noutstanding commands\n");
        for attempt in &view.attempts {
            text.push_str(&plain(&format!(
                "  {} {} {} since {}",
                attempt.attempt, attempt.stage, attempt.purpose, attempt.issued_at
            )));
            text.push('\n');
        }
    }
    if !view.waits.is_empty() {
        text.push_str("\nwaits for\n");
        view.waits.iter().for_each(|wait| text.push_str(&waits(wait)));
    }
    text
}

fn stages(stages: &[StageView]) -> String {
    let mut table = Table::new(&["STAGE", "KIND", "STATE", "BEGAN", "WHY"]);
    for stage in stages {
        table.row([
            stage.name.clone(),
            stage.kind.clone(),
            stage.state.clone(),
            stage.began_at.clone().unwrap_or_default(),
            stage.why.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// What is known of a stage beyond its line; nothing before it began.
fn details(stage: &StageView) -> String {
    if stage.began_at.is_none() {
        return String::new();
    }
    let mut lines = vec![];
    for judgement in &stage.judged {
        lines.push(judged(judgement));
    }
    for evidence in &stage.evidence {
        let findings = evidence.findings.iter().map(|finding| {
            let field = finding.field.as_ref().map_or(String::new(), |field| format!(" (field {field})"));
            let hint = finding.hint.as_ref().map_or(String::new(), |hint| format!("; hint: {hint}"));
            format!("; {}{field}: {}{hint}", finding.code, finding.text)
        });
        let findings: String = findings.collect();
        let measured = evidence.measurements.len();
        lines.push(format!(
            "evidence {}: {measured} measurements, {} blobs{findings}",
            evidence.digest,
            evidence.blobs.len()
        ));
    }
    lines.extend(stage.gate.as_ref().map(gate).unwrap_or_default());
    lines.extend(stage.rollout.as_ref().map(rollout));
    lines.extend(stage.monitor.as_ref().map(|monitor| {
        format!(
            "window {}, {} judged, last {}",
            monitor.window,
            monitor.windows,
            monitor.last.as_deref().unwrap_or("none")
        )
    }));
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", plain(&stage.name));
    for line in lines {
        text.push_str("  ");
        text.push_str(&plain(&line));
        text.push('\n');
    }
    text
}

/// A gate's terms, seats and votes, a line each.
pub(super) fn gate(gate: &GateView) -> Vec<String> {
    let mut lines = vec![];
    for term in &gate.terms {
        let values: Vec<String> =
            term.values.iter().map(|value| format!("{} = {}", value.name, value.value)).collect();
        lines.push(format!("{} {}: {} ({})", term.verdict, term.name, term.rule, values.join(", ")));
    }
    for seats in &gate.seats {
        lines.push(format!("{}: {} of {} approved", seats.role, seats.given, seats.asked));
    }
    for vote in &gate.votes {
        lines.push(format!("{} approved as {} on {}", vote.who, vote.role, vote.evidence));
    }
    lines.extend(gate.asked.as_ref().map(|asked| format!("asked on evidence {asked}")));
    lines.extend(gate.expires_at.as_ref().map(|at| format!("expires {at}")));
    lines
}

fn rollout(rollout: &RolloutView) -> String {
    let step = rollout.step.map_or("before its first step".to_owned(), |step| {
        format!("in step {step} of {}", rollout.steps.len())
    });
    let held = rollout.held.as_ref().map(|held| format!(", held: {held}")).unwrap_or_default();
    format!("{} at {}, {step}{held}", rollout.strategy, rollout.weight)
}

/// A verdict with its numbers.
pub(super) fn judged(judgement: &JudgementView) -> String {
    let number =
        |name: &str, value: Option<f64>| value.map(|value| format!(", {name} {value}")).unwrap_or_default();
    let note = judgement.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!(
        "{} {}: n {}{}{}{}{}, by {}{note}",
        judgement.verdict,
        judgement.check,
        judgement.n,
        number("value", judgement.value),
        number("from", judgement.lower),
        number("to", judgement.upper),
        number("bound", judgement.bound),
        judgement.method,
    )
}

fn explained(stage: &StageExplained) -> String {
    let mut text = format!("\n{} ({}): {}\n", plain(&stage.stage), stage.kind, stage.state);
    let mut line = |line: &str| {
        text.push_str("  ");
        text.push_str(&plain(line));
        text.push('\n');
    };
    if let Some(why) = &stage.why {
        line(why);
    }
    for check in &stage.checks {
        for text in check_lines(check) {
            line(&text);
        }
    }
    for term in &stage.terms {
        line(&format!("{} {}: {}", term.verdict, term.name, term.rule));
        for value in &term.values {
            line(&format!("    {} = {}", value.name, value.value));
        }
    }
    for vote in &stage.votes {
        line(&format!("{} approved as {} on {}", vote.who, vote.role, vote.evidence));
    }
    text
}

fn check_lines(check: &CheckExplained) -> Vec<String> {
    let shown = if check.counts { "" } else { " (shown only)" };
    let at = check.seq.map(|seq| format!(", in record {seq}")).unwrap_or_default();
    let mut lines = vec![
        format!("{} ({}){shown}", check.check, check.kind),
        format!("    asks   {}", check.asks),
        format!("    found  {}{at}", check.found),
    ];
    if let Some(judgement) = &check.judgement {
        lines.push(format!("    by     {}, n {}", judgement.method, judgement.n));
        for term in &judgement.terms {
            let value = term.value.map_or("not finite".to_owned(), |value| value.to_string());
            lines.push(format!("           {} = {value}", term.name));
        }
    }
    lines
}

fn release(release: &ReleaseView) -> String {
    format!("{} {}", release.version, release.bundle)
}

fn waits(wait: &WaitView) -> String {
    let until = wait.until.as_ref().map(|until| format!(" (until {until})")).unwrap_or_default();
    format!("  {}: {}{until}\n", wait.kind, plain(&wait.text))
}
