//! The key values of each event of a run.

use domain::chapter::Chaptered;
use domain::check::Judgement;
use domain::evidence::Evidence;
use domain::run::{Event, PolicyTerm, Purpose, WaitFor};
use domain::verdict::Verdict;
use wire::codec::{Canonical, state_digest};

use super::Names;
use super::run::purpose;
use super::values::Values;

pub(super) fn run_event(event: &Event, names: &Names) -> Values {
    let new = Values::new;
    match event {
        Event::Started { start, .. } => new()
            .with("model", &start.trained.model)
            .with("version", &start.trained.version)
            .with("target", &start.target)
            .with("workflow", &start.workflow.name),
        Event::StageBegan { stage, live, .. } => new().with("stage", stage).release("live", live.as_ref()),
        Event::LiveNoted { live } => new().release("live", live.as_ref()),
        Event::StageSkipped { stage, why }
        | Event::StageGaveUp { stage, why }
        | Event::StageReopened { stage, why }
        | Event::StepHeld { stage, why }
        | Event::StepReleased { stage, why } => new().with("stage", stage).with("why", why),
        Event::WaitBegan { stage, on, .. } => {
            let (what, why) = wait(on);
            new().with("stage", stage).with("for", what).maybe("why", why)
        }
        Event::AttemptIssued { stage, attempt, purpose: for_what, .. } => {
            let issued =
                new().with("stage", stage).with("attempt", attempt).with("purpose", purpose(*for_what));
            match for_what {
                Purpose::Watch { from, to, .. } => issued.with("from", from).with("to", to),
                Purpose::Package
                | Purpose::Test
                | Purpose::Plan
                | Purpose::Notify
                | Purpose::Measure
                | Purpose::MeasureLast => issued,
            }
        }
        Event::AttemptFailed { stage, attempt, code, reason, retry_at } => new()
            .with("stage", stage)
            .with("attempt", attempt)
            .with("code", code)
            .with("reason", reason)
            .at("retry_at", *retry_at),
        Event::AttemptDeclined { stage, attempt, reason } => {
            new().with("stage", stage).with("attempt", attempt).with("reason", reason)
        }
        Event::AttemptExpired { stage, attempt, heard_at, retry_at } => new()
            .with("stage", stage)
            .with("attempt", attempt)
            .at("heard_at", *heard_at)
            .at("retry_at", *retry_at),
        Event::AttemptCancelled { stage, attempt } => new().with("stage", stage).with("attempt", attempt),
        Event::EvidenceRecorded { stage, attempt, evidence, .. } => {
            measured(new().with("stage", stage).with("attempt", attempt), evidence)
        }
        Event::BundlePacked { stage, attempt, bundle, .. } => new()
            .with("stage", stage)
            .with("attempt", attempt)
            .digest("bundle", &bundle.digest)
            .with("format", &bundle.format)
            .with("size_bytes", bundle.size)
            .maybe("signed_by", bundle.signed_by.as_ref()),
        Event::PlanMade { stage, attempt, plan } => new()
            .with("stage", stage)
            .with("attempt", attempt)
            .number("requests_per_second", Some(plan.requests_per_second))
            .number("hours", plan.hours)
            .number("requests_exposed", plan.requests_exposed)
            .number("detectable", plan.detectable),
        Event::ApproversNotified { stage, attempt, review, delivered } => new()
            .with("stage", stage)
            .with("attempt", attempt)
            .maybe("review", review.as_ref().map(|review| review.digest))
            .with("delivered", delivered.join(", ")),
        Event::CheckJudged { stage, check, judgement } => {
            judged(new().with("stage", stage).with("check", check), judgement)
        }
        Event::StageJudged { stage, verdict, why, .. } => {
            new().with("stage", stage).with("verdict", verdict).with("why", why)
        }
        Event::EvidenceVoided { stage, cause } | Event::ApprovalLapsed { stage, cause } => {
            new().with("stage", stage).with("cause", cause)
        }
        Event::PolicyJudged { stage, verdict, terms } => {
            let failed = terms.iter().filter(|term| term.verdict != Verdict::Pass);
            let failed: Vec<&str> = failed.map(|term: &PolicyTerm| &*term.name).collect();
            new()
                .with("stage", stage)
                .with("verdict", verdict)
                .with("terms", terms.len())
                .maybe("not_passed", (!failed.is_empty()).then(|| failed.join("; ")))
        }
        Event::ApprovalAsked { stage, evidence, expires_at } => {
            new().with("stage", stage).digest("evidence", evidence).with("expires_at", expires_at)
        }
        Event::Approved { stage, role, by, rationale, evidence, roles }
        | Event::ApprovalRefused { stage, role, by, rationale, evidence, roles } => new()
            .with("stage", stage)
            .with("role", role)
            .with("by", names.name(by))
            .with("rationale", rationale)
            .digest("evidence", evidence)
            .digest("roles", roles),
        Event::SlotTaken { stage } | Event::ReleasePrepared { stage } => new().with("stage", stage),
        Event::StepEntered { stage, step, weight, .. } => {
            new().with("stage", stage).with("step", step + 1).with("weight", weight)
        }
        Event::WeightRequested { stage, generation, weight, .. } => {
            new().with("stage", stage).with("weight", weight).with("generation", generation)
        }
        Event::WeightObserved { stage, generation, .. } => {
            new().with("stage", stage).with("generation", generation)
        }
        Event::StepJudged { stage, step, verdict, why } => {
            new().with("stage", stage).with("step", step + 1).with("verdict", verdict).with("why", why)
        }
        Event::WentLive { generation, restored, .. } => {
            new().with("generation", generation).maybe("restored", restored.then_some("true"))
        }
        Event::WentStandby { by } => new().release("by", Some(by)),
        Event::WindowJudged { stage, from, to, verdict } => {
            new().with("stage", stage).with("from", from).with("to", to).with("verdict", verdict)
        }
        Event::AlertRaised { stage, check, why } => {
            new().with("stage", stage).with("check", check).with("why", why)
        }
        Event::AlertCleared { stage, check } => new().with("stage", stage).with("check", check),
        Event::IncidentOpened { why } => new().with("why", why),
        Event::Paused { by, reason, .. }
        | Event::Resumed { by, reason, .. }
        | Event::AbortAsked { by, reason } => new().with("by", names.name(by)).with("reason", reason),
        Event::PromotionAsked { by, to, reason } => {
            new().with("by", names.name(by)).maybe("to", *to).with("reason", reason)
        }
        Event::RollbackBegan { end, cause, .. } => new().with("end", end.as_str()).with("cause", cause),
        Event::RollbackEnded { seconds_from_verdict, requests_exposed, .. } => new()
            .number("seconds_from_verdict", Some(*seconds_from_verdict))
            .maybe("requests_exposed", *requests_exposed),
        Event::StreamQuarantined { why, .. } => new().with("why", why),
        Event::InputHeld { input, .. } => new().with("input", input.name()),
        Event::QuarantineResolved { by, reason, dropped, .. } => {
            new().with("by", names.name(by)).with("reason", reason).maybe("dropped", dropped.as_ref())
        }
        Event::InputReleased { number, input, refused } => {
            new().with("number", number).with("input", input).maybe("refused", refused.as_ref())
        }
        Event::ChapterOpened { carried, .. } => chapter(new(), &**carried),
        Event::Ended { end, why, .. } => new().with("end", end.as_str()).with("why", why),
    }
}

/// Which chapter begins, and the digest of what it begins with.
pub(super) fn chapter(values: Values, carried: &(impl Chaptered + Canonical)) -> Values {
    values.with("chapter", carried.chapter().number()).digest("carried", &state_digest(carried))
}

fn wait(on: &WaitFor) -> (&'static str, Option<&str>) {
    match on {
        WaitFor::Slot { why } => ("slot", Some(why)),
        WaitFor::Thaw => ("thaw", None),
        WaitFor::Prepare { why } => ("prepare", Some(why)),
        WaitFor::People => ("people", None),
        WaitFor::Facts { missing } => ("facts", Some(missing)),
    }
}

pub(super) fn measured(values: Values, evidence: &Evidence) -> Values {
    let findings: Vec<&str> = evidence.findings.iter().map(|finding| &*finding.code).collect();
    values
        .digest("evidence", &evidence.digest)
        .with("measurements", evidence.measurements.len())
        .maybe("findings", (!findings.is_empty()).then(|| findings.join(", ")))
}

fn judged(values: Values, judgement: &Judgement) -> Values {
    values
        .with("verdict", judgement.verdict)
        .with("method", &judgement.method)
        .number("value", judgement.value)
        .number("lower", judgement.lower)
        .number("upper", judgement.upper)
        .number("bound", judgement.bound)
        .with("n", judgement.n)
        .maybe("note", judgement.note.as_ref())
}
