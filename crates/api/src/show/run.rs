//! A run: its row as a line, its folded state as a view.

use std::sync::Arc;

use domain::chapter::Chaptered;
use domain::evidence::Text;
use domain::model::{Lineage, Trained};
use domain::name::{AttemptId, StreamId};
use domain::run::{self, Leaving, Purpose, Run, Start};
use domain::time::Timestamp;
use domain::work::Bundle;
use engine::port::row::{RunRow, Withheld};
use wire::codec::state_digest;

use super::stage::stage_view;
use super::{Names, release_view};
use crate::reader::StateAt;
use crate::view::{
    ArtifactView, AttemptView, BundleView, LeavingView, NamedText, RunLine, RunView, StageView, WaitView,
    WithheldView,
};

pub(crate) fn run_line(row: &RunRow) -> RunLine {
    RunLine {
        run: row.run.to_string(),
        model: row.model.to_string(),
        version: row.version.to_string(),
        target: row.target.to_string(),
        workflow: row.workflow.to_string(),
        state: row.state.clone(),
        ended: row.ended,
        paused: row.paused,
        withheld: withheld_view(&row.withheld),
        started_at: row.started_at.to_string(),
        updated_at: row.updated_at.to_string(),
        seq: row.last_seq,
        transitions: row.transitions,
        waits: row.waits.clone(),
    }
}

/// Nothing when it is decided on as usual.
pub(super) fn withheld_view(withheld: &Withheld) -> Option<WithheldView> {
    let Withheld { quarantined, parked, held } = withheld.clone();
    (*withheld != Withheld::default()).then_some(WithheldView { quarantined, parked, held })
}

/// Nothing in the first.
pub(super) fn chapter_number(state: &impl Chaptered) -> Option<u32> {
    let chapter = state.chapter();
    (chapter.opened > 0).then(|| chapter.number())
}

/// Nothing for a run that has not started.
pub(crate) fn run_view(at: &StateAt<Run>, names: &Names) -> Option<RunView> {
    let run = &*at.state;
    let start = run.start.as_ref()?;
    let trained = &start.trained;
    Some(RunView {
        run: start.run.to_string(),
        model: trained.model.to_string(),
        version: trained.version.to_string(),
        target: start.target.to_string(),
        workflow: start.workflow.name.to_string(),
        workflow_digest: start.workflow.digest.to_string(),
        state: run.phase.as_str().to_owned(),
        ended: run.is_ended(),
        paused_since: run.paused_at.map(text),
        withheld: withheld_view(&engine::fold::withheld(run, at.parked.as_deref())),
        started_at: text(run.started_at),
        updated_at: text(at.updated_at),
        seq: at.seq,
        transitions: at.transitions,
        state_sha256: state_digest(run).hex(),
        chapter: chapter_number(run),
        source: trained.source.to_string(),
        event_id: trained.id.to_string(),
        owner: trained.owner.as_ref().map(|owner| names.name(owner)),
        risk_tier: trained.risk_tier.as_ref().map(Text::to_string),
        artifact: artifact(trained),
        lineage: lineage(&trained.lineage),
        release: run.release().as_ref().map(release_view),
        bundle: run.bundle.as_ref().map(bundle),
        live: run.live.as_ref().map(release_view),
        live_since: run.live_since.map(text),
        generation: run.raised.map(|generation| generation.0),
        leaving: run.leaving.as_ref().map(leaving),
        incidents: run.incidents,
        stages: stages(run, start, names),
        attempts: attempts(run, start),
        attempts_issued: run.attempts_issued,
        waits: wait_views(at),
    })
}

/// What it waits for.
pub(crate) fn wait_views(at: &StateAt<Run>) -> Vec<WaitView> {
    let view = |waiting: run::Waiting| WaitView {
        kind: waiting.kind.to_owned(),
        text: waiting.text,
        until: waiting.until.map(text),
    };
    if let Some(why) = &at.parked {
        // What its last known state waits for may be long over.
        let text = format!("a newer binary: {why}");
        return vec![WaitView { kind: "upgrade".to_owned(), text, until: None }];
    }
    run::why(&at.state).into_iter().map(view).collect()
}

fn stages(run: &Run, start: &Start, names: &Names) -> Vec<StageView> {
    let declared = &start.workflow.stages;
    declared.iter().zip(&run.stages).map(|(stage, state)| stage_view(stage, state, declared, names)).collect()
}

fn attempts(run: &Run, start: &Start) -> Vec<AttemptView> {
    let stage_name = |index: usize| {
        start.workflow.stages.get(index).map(|stage| stage.name.to_string()).unwrap_or_default()
    };
    let view = |open: &run::OpenAttempt| AttemptView {
        attempt: AttemptId { owner: StreamId::Run(start.run), number: open.number }.to_string(),
        stage: stage_name(open.stage),
        purpose: purpose(open.purpose).to_owned(),
        issued_at: text(open.issued_at),
    };
    run.attempts_open.iter().map(view).collect()
}

pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Package => "package",
        Purpose::Test => "test",
        Purpose::Plan => "plan",
        Purpose::Notify => "notify",
        Purpose::Measure => "measure",
        Purpose::MeasureLast => "measure_last",
        Purpose::Watch { late: false, .. } => "watch",
        Purpose::Watch { late: true, .. } => "watch_labels",
    }
}

fn artifact(trained: &Trained) -> ArtifactView {
    let artifact = &trained.artifact;
    ArtifactView {
        uri: artifact.uri.to_string(),
        sha256: artifact.sha256.to_string(),
        size: artifact.size,
        format: artifact.format.as_ref().map(Text::to_string),
    }
}

fn bundle(bundle: &Arc<Bundle>) -> BundleView {
    let change = bundle.change.parts();
    BundleView {
        digest: bundle.digest.to_string(),
        size_bytes: bundle.size,
        format: bundle.format.to_string(),
        artifact: bundle.artifact.to_string(),
        signed_by: bundle.signed_by.as_ref().map(Text::to_string),
        change: change.iter().map(|(part, change)| named(part, &change.to_string())).collect(),
    }
}

fn leaving(leaving: &Leaving) -> LeavingView {
    LeavingView {
        end: leaving.end.as_str().to_owned(),
        cause: leaving.cause.to_string(),
        since: text(leaving.since),
        generation: leaving.generation.map(|generation| generation.0),
        observed_at: leaving.observed_at.map(text),
        overdue: leaving.overdue,
    }
}

fn lineage(lineage: &Lineage) -> Vec<NamedText> {
    let mut known = vec![];
    let mut add = |name: &str, value: Option<&str>| known.extend(value.map(|value| named(name, value)));
    add("run.system", lineage.run_system.as_deref());
    add("run.id", lineage.run_id.as_deref());
    add("run.url", lineage.run_url.as_deref());
    add("code.repo", lineage.code_repo.as_deref());
    add("code.commit", lineage.code_commit.as_deref());
    add("code.dirty", lineage.code_dirty.map(|dirty| if dirty { "true" } else { "false" }));
    for set in &lineage.training_sets {
        add("data.uri", Some(&set.uri));
        add("data.version", set.version.as_deref());
        add("data.sha256", set.sha256.map(|sha256| sha256.to_string()).as_deref());
        add("data.rows", set.rows.map(|rows| rows.to_string()).as_deref());
    }
    add("features.view", lineage.features_view.as_deref());
    add("features.schema_version", lineage.features_schema_version.as_deref());
    for (name, value) in &lineage.hyperparameters {
        add(&format!("hyperparameters.{name}"), Some(value));
    }
    add("environment.lock_sha256", lineage.environment_lock.as_deref());
    add("environment.image_digest", lineage.environment_image.as_deref());
    known
}

pub(super) fn named(name: &str, value: &str) -> NamedText {
    NamedText { name: name.to_owned(), value: value.to_owned() }
}

pub(super) fn text(at: Timestamp) -> String {
    at.to_string()
}
