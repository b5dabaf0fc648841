//! One stage of a run, as declared and as it stands.

use domain::check::Judgement;
use domain::evidence::{BlobRef, Evidence, Finding, Measurement, Text};
use domain::name::{CheckName, Role};
use domain::run::{self, Gate, Monitor, PolicyTerm, Rollout, StageState};
use domain::time::Timestamp;
use domain::work::Planned;
use domain::workflow::{self, GateWith, MonitorWith, RolloutWith, With};

use super::run::{named, text};
use super::{Names, finite};
use crate::view::{
    BlobView, EvidenceView, FindingView, GateView, JudgementView, MeasurementView, MonitorView, NamedNumber,
    PlanView, RolloutView, SeatsView, StageView, StepView, TermView, VoteView,
};

pub(super) fn stage_view(
    declared: &workflow::Stage,
    stage: &run::Stage,
    all: &[workflow::Stage],
    names: &Names,
) -> StageView {
    let (mut gate, mut rollout, mut monitor) = (None, None, None);
    match &declared.with {
        With::Gate(with) => gate = Some(gate_view(with, &stage.gate, names)),
        With::Rollout(with) => rollout = Some(rollout_view(with, &stage.rollout)),
        With::Monitor(with) => monitor = Some(monitor_view(with, &stage.monitor)),
        With::Package(_) | With::StageTest(_) => {}
    }
    let began = !matches!(stage.state, StageState::Pending | StageState::Skipped(_));
    StageView {
        name: declared.name.to_string(),
        kind: declared.with.kind().as_str().to_owned(),
        state: stage.state.as_str().to_owned(),
        why: why(&stage.state),
        began_at: began.then(|| text(stage.began_at)),
        needs: declared
            .needs
            .iter()
            .filter_map(|index| all.get(*index))
            .map(|stage| stage.name.to_string())
            .collect(),
        failures: stage.failures,
        retry_at: stage.retry_at.map(text),
        judged: stage.judged.iter().map(|(check, judgement)| judgement_view(check, judgement)).collect(),
        evidence: stage.evidence.iter().map(|evidence| evidence_view(evidence)).collect(),
        gate,
        rollout,
        monitor,
    }
}

pub(super) fn why(state: &StageState) -> Option<String> {
    match state {
        StageState::Skipped(why) | StageState::GaveUp(why) => Some(why.to_string()),
        StageState::Pending | StageState::Working | StageState::Waiting | StageState::Ended(_) => None,
    }
}

pub(super) fn judgement_view(check: &CheckName, judgement: &Judgement) -> JudgementView {
    JudgementView {
        check: check.to_string(),
        verdict: judgement.verdict.to_string(),
        method: judgement.method.to_string(),
        value: judgement.value.and_then(finite),
        lower: judgement.lower.and_then(finite),
        upper: judgement.upper.and_then(finite),
        bound: judgement.bound.and_then(finite),
        n: judgement.n,
        terms: numbers(&judgement.terms),
        note: judgement.note.as_ref().map(Text::to_string),
    }
}

fn numbers(named: &[(Text, f64)]) -> Vec<NamedNumber> {
    named.iter().map(|(name, value)| NamedNumber { name: name.to_string(), value: finite(*value) }).collect()
}

fn evidence_view(evidence: &Evidence) -> EvidenceView {
    EvidenceView {
        digest: evidence.digest.to_string(),
        measurements: evidence.measurements.iter().map(measurement_view).collect(),
        findings: evidence.findings.iter().map(finding_view).collect(),
        blobs: evidence.blobs.iter().map(blob_view).collect(),
    }
}

fn measurement_view(measured: &Measurement) -> MeasurementView {
    MeasurementView {
        check: measured.check.to_string(),
        method: measured.method.to_string(),
        arm: measured.arm.as_str().to_owned(),
        n: measured.n,
        sum: finite(measured.sum),
        sum_sq: finite(measured.sum_sq),
        counts: measured.counts.clone(),
        values: numbers(&measured.values),
        unit: measured.unit.to_string(),
    }
}

pub(super) fn finding_view(finding: &Finding) -> FindingView {
    FindingView {
        check: finding.check.to_string(),
        code: finding.code.to_string(),
        text: finding.text.to_string(),
        field: finding.remedy().map(|(field, _)| field.to_owned()),
        hint: finding.remedy().map(|(_, hint)| hint.to_owned()),
    }
}

fn blob_view(blob: &BlobRef) -> BlobView {
    BlobView { digest: blob.digest.to_string(), kind: blob.kind.to_string(), size_bytes: blob.size }
}

fn gate_view(with: &GateWith, gate: &Gate, names: &Names) -> GateView {
    let given = |role: &Role| gate.votes.iter().filter(|vote| vote.role == *role).count() as u32;
    GateView {
        policy: gate.policy.map(|verdict| verdict.to_string()),
        terms: term_views(&gate.terms),
        asked: gate.asked.map(|digest| digest.to_string()),
        expires_at: gate.expires_at.map(text),
        four_eyes: with.four_eyes,
        seats: with
            .approvals
            .iter()
            .map(|asked| SeatsView {
                role: asked.role.to_string(),
                asked: asked.count,
                given: given(&asked.role),
            })
            .collect(),
        votes: vote_views(gate, names),
        decided_on: gate.decided_on.map(|digest| digest.to_string()),
    }
}

pub(super) fn vote_views(gate: &Gate, names: &Names) -> Vec<VoteView> {
    let view = |vote: &run::Vote| VoteView {
        role: vote.role.to_string(),
        who: names.who(&vote.by),
        evidence: vote.evidence.to_string(),
    };
    gate.votes.iter().map(view).collect()
}

pub(super) fn term_views(terms: &[PolicyTerm]) -> Vec<TermView> {
    let view = |term: &PolicyTerm| TermView {
        name: term.name.to_string(),
        rule: term.text.to_string(),
        verdict: term.verdict.to_string(),
        values: term.values.iter().map(|(name, value)| named(name, value)).collect(),
    };
    terms.iter().map(view).collect()
}

fn rollout_view(with: &RolloutWith, rollout: &Rollout) -> RolloutView {
    let entered = rollout.step.is_some();
    RolloutView {
        strategy: with.strategy.as_str().to_owned(),
        steps: with
            .steps
            .iter()
            .map(|step| StepView {
                weight: step.weight.to_string(),
                samples: step.samples,
                bake: step.bake.to_string(),
                deadline: step.deadline.map(|deadline| deadline.to_string()),
            })
            .collect(),
        step: rollout.step.map(|step| step + 1),
        weight: rollout.weight.to_string(),
        weight_basis_points: rollout.weight.points(),
        has_slot: rollout.has_slot,
        prepared: rollout.prepared,
        entered_at: entered.then(|| text(rollout.entered_at)),
        generation_requested: rollout.requested.map(|generation| generation.0),
        generation_observed: rollout.observed.map(|(generation, _)| generation.0),
        observed_at: rollout.observed.map(|(_, at)| text(at)),
        bake_from: rollout.observed.map(|_| text(rollout.bake_from)),
        exposed_since: rollout.exposed_since.map(text),
        looked_at: rollout.looked_at.map(text),
        verdict: rollout.judged.map(|verdict| verdict.to_string()),
        held: rollout.held.as_ref().map(Text::to_string),
        plan: rollout.plan.as_ref().map(plan_view),
    }
}

fn plan_view(plan: &Planned) -> PlanView {
    PlanView {
        digest: plan.digest.to_string(),
        requests_per_second: finite(plan.requests_per_second),
        hours: plan.hours.and_then(finite),
        requests_exposed: plan.requests_exposed.and_then(finite),
        detectable: plan.detectable.and_then(finite),
    }
}

fn monitor_view(with: &MonitorWith, monitor: &Monitor) -> MonitorView {
    MonitorView {
        window: with.window.to_string(),
        window_from: (monitor.from != Timestamp::default()).then(|| text(monitor.from)),
        windows: monitor.windows,
        last: monitor.last.map(|verdict| verdict.to_string()),
        alerts: monitor.alerts.iter().map(CheckName::to_string).collect(),
    }
}
