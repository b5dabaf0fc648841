//! Attempts: answered, declined, expired, tried again.

use std::sync::Arc;

use super::{Draft, Refused, leave, look, monitor, rollout, stages};
use crate::check::{Judgement, Level, Setting};
use crate::evidence::{Evidence, Text};
use crate::name::StageName;
use crate::run::state::{End, OpenAttempt, Phase, Purpose, StageState};
use crate::run::{Event, Rejection};
use crate::time::{Millis, Timestamp};
use crate::verdict::{Reaction, Verdict};
use crate::work::{Outcome, Packed};
use crate::workflow::{PackageWith, StageTestWith, With};

/// A worker's answer. The first one to an attempt counts; what comes later is late.
pub(super) fn report(d: &mut Draft, attempt: u32, outcome: &Outcome) -> Refused {
    let open = find(d, attempt)?;
    let stage = d.workflow().stages[open.stage].name.clone();
    let expected = match (open.purpose, outcome) {
        (_, Outcome::CouldNotTell { code, reason, retry_after }) => {
            could_not_tell(d, &open, code, reason, *retry_after);
            return Ok(());
        }
        (Purpose::Package, Outcome::Packed(packed)) => {
            packed_up(d, &open, stage, packed);
            return Ok(());
        }
        (Purpose::Test, Outcome::Measured(evidence)) => {
            record(d, &open, &stage, evidence);
            tested(d, open.stage, evidence);
            return Ok(());
        }
        (Purpose::Plan, Outcome::Planned(plan)) => {
            d.emit(Event::PlanMade { stage, attempt, plan: plan.clone() });
            rollout::planned(d);
            return Ok(());
        }
        (Purpose::Notify, Outcome::Notified { review, delivered }) => {
            let (review, delivered) = (review.clone(), delivered.clone());
            d.emit(Event::ApproversNotified { stage, attempt, review, delivered });
            return Ok(());
        }
        (Purpose::Measure, Outcome::Measured(evidence)) => {
            record(d, &open, &stage, evidence);
            look::measured(d, open.stage, evidence);
            return Ok(());
        }
        (Purpose::MeasureLast, Outcome::Measured(evidence)) => {
            record(d, &open, &stage, evidence);
            leave::measured(d, Some(evidence));
            return Ok(());
        }
        (Purpose::Watch { from, to, late }, Outcome::Measured(evidence)) => {
            record(d, &open, &stage, evidence);
            monitor::measured(d, open.stage, evidence, (from, to), late);
            return Ok(());
        }
        (Purpose::Package, _) => "packed",
        (Purpose::Plan, _) => "planned",
        (Purpose::Notify, _) => "notified",
        (Purpose::Test | Purpose::Measure | Purpose::MeasureLast | Purpose::Watch { .. }, _) => "measured",
    };
    Err(Rejection::WrongOutcome { expected, found: outcome_name(outcome) })
}

pub(crate) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Packed(_) => "packed",
        Outcome::Measured(_) => "measured",
        Outcome::Planned(_) => "planned",
        Outcome::Notified { .. } => "notified",
        Outcome::Prepared { .. } => "prepared",
        Outcome::Applied { .. } => "applied",
        Outcome::CouldNotTell { .. } => "could_not_tell",
    }
}

fn find(d: &Draft, attempt: u32) -> Result<OpenAttempt, Rejection> {
    let open = d.run.attempts_open.iter().find(|open| open.number == attempt);
    open.cloned().ok_or(Rejection::Late { attempt })
}

fn record(d: &mut Draft, open: &OpenAttempt, stage: &StageName, evidence: &Arc<Evidence>) {
    let evidence = Arc::clone(evidence);
    d.emit(Event::EvidenceRecorded { stage: stage.clone(), attempt: open.number, evidence, at: d.now });
}

fn packed_up(d: &mut Draft, open: &OpenAttempt, stage: StageName, packed: &Packed) {
    let workflow = d.workflow();
    let With::Package(with) = &workflow.stages[open.stage].with else { unreachable!("a package attempt") };
    let Some(bundle) = &packed.bundle else {
        record(d, open, &stage, &packed.evidence);
        let first = packed.evidence.findings.first();
        let why =
            first.map_or("no bundle, and no finding says why".into(), |f| format!("{}: {}", f.code, f.text));
        stages::judge(d, open.stage, Verdict::Fail, why.into());
        return;
    };
    let (evidence, bundle) = (Arc::clone(&packed.evidence), Arc::clone(bundle));
    d.emit(Event::BundlePacked {
        stage,
        attempt: open.number,
        evidence,
        bundle: Arc::clone(&bundle),
        at: d.now,
    });
    let missing = missing_lineage(d, with);
    if missing.is_empty() {
        stages::judge(d, open.stage, Verdict::Pass, format!("bundle {}", bundle.digest.short()).into());
    } else {
        let why = format!("LINEAGE_MISSING: {} is required and training did not say it", missing.join(", "));
        stages::judge(d, open.stage, Verdict::Fail, why.into());
    }
}

/// The lineage that the workflow requires and the trigger did not bring.
fn missing_lineage(d: &Draft, with: &PackageWith) -> Vec<String> {
    let trained = &d.start().trained;
    let lineage = &trained.lineage;
    let is_there = |name: &str| match name {
        "signature" => !trained.signature.inputs.is_empty() && !trained.signature.outputs.is_empty(),
        "code.commit" => lineage.code_commit.is_some(),
        "data" => !lineage.training_sets.is_empty(),
        "run" => lineage.run_id.is_some(),
        "features" => lineage.features_view.is_some(),
        "environment" => lineage.environment_lock.is_some() || lineage.environment_image.is_some(),
        "evaluation" => trained.evaluation.is_some(),
        "baseline_profile" => trained.baseline.is_some(),
        "owner" => trained.owner.is_some(),
        _ => false,
    };
    with.require.iter().filter(|name| !is_there(name)).map(ToString::to_string).collect()
}

/// The lineage names that a workflow may require.
pub const REQUIRABLE: [&str; 9] = [
    "signature",
    "code.commit",
    "data",
    "run",
    "features",
    "environment",
    "evaluation",
    "baseline_profile",
    "owner",
];

/// Judges every check of a stage-test; only `pass` goes on by itself.
fn tested(d: &mut Draft, index: usize, evidence: &Evidence) {
    let workflow = d.workflow();
    let With::StageTest(StageTestWith { checks, .. }) = &workflow.stages[index].with else {
        unreachable!("a test attempt")
    };
    let setting = Setting { alpha: 0.05, samples: 0, no_counterpart: None };
    let mut worst = vec![];
    let mut whys = vec![];
    for check in checks {
        let judgement = check.judge(evidence, setting);
        let verdict = judgement.verdict;
        judged(d, index, &check.name, judgement);
        let goes_on = check.level == Level::Observe || check.on.to(verdict) == Some(Reaction::Continue);
        if verdict != Verdict::Pass && !goes_on {
            worst.push(verdict);
            whys.push(format!("{} {verdict}", check.name));
        }
    }
    let verdict = Verdict::all(worst);
    let why = if whys.is_empty() { format!("{} checks pass", checks.len()) } else { whys.join(", ") };
    stages::judge(d, index, verdict, why.into());
}

pub(super) fn judged(d: &mut Draft, index: usize, check: &crate::name::CheckName, judgement: Judgement) {
    let stage = d.workflow().stages[index].name.clone();
    d.emit(Event::CheckJudged { stage, check: check.clone(), judgement: Arc::new(judgement) });
}

/// What could not be told is tried again after a backoff, as often as the stage allows.
fn could_not_tell(
    d: &mut Draft,
    open: &OpenAttempt,
    code: &Text,
    reason: &Text,
    retry_after: Option<Millis>,
) {
    let retry_at = retry_at(d, open).map(|at| at.max(d.now + retry_after.unwrap_or_default()));
    let stage = d.workflow().stages[open.stage].name.clone();
    let (code, reason) = (code.clone(), reason.clone());
    d.emit(Event::AttemptFailed {
        stage,
        attempt: open.number,
        code: code.clone(),
        reason: reason.clone(),
        retry_at,
    });
    if retry_at.is_none() {
        tries_over(d, open, &format!("{code}: {reason}"));
    }
}

/// When an attempt that has just failed is tried again; nothing when its tries are over, or when it has none.
fn retry_at(d: &Draft, open: &OpenAttempt) -> Option<Timestamp> {
    let retry = d.workflow().stages[open.stage].retry;
    let failed = d.run.stages[open.stage].failures + 1;
    let has_tries = match open.purpose {
        // The next tick asks again; what a plan cannot tell is missing and blocks nothing.
        Purpose::Measure | Purpose::Plan => false,
        Purpose::Package | Purpose::Test | Purpose::Notify | Purpose::MeasureLast | Purpose::Watch { .. } => {
            failed < retry.attempts
        }
    };
    has_tries.then(|| d.now + retry.backoff(failed))
}

fn tries_over(d: &mut Draft, open: &OpenAttempt, why: &str) {
    match open.purpose {
        Purpose::Package | Purpose::Test => stages::give_up(d, open.stage, why),
        Purpose::Plan => rollout::planned(d),
        Purpose::Measure => look::not_measured(d, open.stage),
        Purpose::MeasureLast => leave::measured(d, None),
        Purpose::Watch { from, to, .. } => monitor::not_measured(d, open.stage, (from, to)),
        // A notification that fails is shown and does not end the gate.
        Purpose::Notify => {}
    }
}

/// Handed back without having been begun: that is no failure, the next attempt leads elsewhere.
pub(super) fn decline(d: &mut Draft, attempt: u32, reason: &Text) -> Refused {
    let open = find(d, attempt)?;
    let stage = d.workflow().stages[open.stage].name.clone();
    d.emit(Event::AttemptDeclined { stage: stage.clone(), attempt, reason: reason.clone() });
    stages::issue(d, &stage, open.purpose);
    Ok(())
}

/// Nothing was heard of the attempt for its whole lease.
pub(super) fn expire(d: &mut Draft, attempt: u32, heard_at: Option<Timestamp>) -> Refused {
    let open = find(d, attempt)?;
    let retry_at = retry_at(d, &open);
    let stage = d.workflow().stages[open.stage].name.clone();
    d.emit(Event::AttemptExpired { stage, attempt, heard_at, retry_at });
    if retry_at.is_none() {
        tries_over(d, &open, "no worker was heard of");
    }
    Ok(())
}

pub(super) fn backoff_over(d: &mut Draft, name: &StageName) -> Refused {
    let (index, stage) = d.stage("try again", name)?;
    if stage.retry_at.is_none_or(|at| d.now < at) {
        return Err(Rejection::MomentOver);
    }
    let monitor = &stage.monitor;
    let purpose = match &d.workflow().stages[index].with {
        With::Package(_) => Purpose::Package,
        With::StageTest(_) => Purpose::Test,
        With::Gate(_) if stage.state == StageState::Waiting => Purpose::Notify,
        With::Rollout(_) if d.run.phase == Phase::Leaving => Purpose::MeasureLast,
        With::Monitor(with) => Purpose::Watch {
            from: Timestamp(monitor.from.0.saturating_sub(with.window.0)),
            to: monitor.from,
            late: false,
        },
        With::Gate(_) | With::Rollout(_) => return Err(Rejection::MomentOver),
    };
    stages::issue(d, name, purpose);
    Ok(())
}

/// How a run ends whose rollout was not harmful but could not be told.
pub(super) const UNTOLD: End = End::Failed;
