//! The key values of an outside input: what was asked, reported, or had come.

use domain::transition::Input;
use domain::work::Outcome;
use domain::{definition, run, target};

use super::event::measured;
use super::target_event::{loaded, observed};
use super::transition::definition_kind;
use super::values::Values;
use crate::view::NamedText;

pub(super) fn said(input: &Input) -> Vec<NamedText> {
    match input {
        Input::Define(define) => defined(define),
        Input::Run(_, input) => to_run(input),
        Input::Target(_, input) => to_target(input),
    }
    .list()
}

fn defined(define: &definition::Define) -> Values {
    Values::new().with("kind", definition_kind(define.kind)).digest("digest", &define.digest)
}

fn to_run(input: &run::Input) -> Values {
    use run::Input;
    let new = Values::new;
    match input {
        Input::Start(start) => new()
            .with("source", &start.trained.source)
            .with("id", &start.trained.id)
            .with("model", &start.trained.model)
            .with("version", &start.trained.version),
        Input::Approve { stage, role, rationale, evidence, .. }
        | Input::Reject { stage, role, rationale, evidence, .. } => new()
            .with("stage", stage)
            .with("role", role)
            .with("rationale", rationale)
            .digest("evidence", evidence),
        Input::Pause { reason, .. } | Input::Resume { reason, .. } | Input::Abort { reason, .. } => {
            new().with("reason", reason)
        }
        Input::Promote { to, reason, .. } => new().maybe("to", *to).with("reason", reason),
        Input::Resolve { drop, reason, .. } => {
            new().maybe("drop", drop.then_some("true")).with("reason", reason)
        }
        Input::HeldDue { number } => new().with("number", number),
        Input::Retry { stage, reason, .. } => new().with("stage", stage).with("reason", reason),
        Input::Report { attempt, outcome } => reported(new().with("attempt", attempt), outcome),
        Input::Decline { attempt, reason } => new().with("attempt", attempt).with("reason", reason),
        Input::LeaseEnded { attempt, heard_at } => new().with("attempt", attempt).at("heard_at", *heard_at),
        Input::BackoffOver { stage }
        | Input::StageTimedOut { stage }
        | Input::GateExpired { stage }
        | Input::MeasureDue { stage }
        | Input::BakeOver { stage }
        | Input::StepDeadline { stage }
        | Input::WindowOver { stage } => new().with("stage", stage),
        Input::LeaveDeadline | Input::SlotGranted | Input::Thawed | Input::PrepareDone => new(),
        Input::Entered { live, frozen } => {
            new().release("live", live.as_ref()).maybe("frozen", frozen.then_some("true"))
        }
        Input::EntryRefused { why }
        | Input::SlotRefused { why }
        | Input::PrepareFailed { why }
        | Input::ReleaseEnded { why } => new().with("why", why),
        Input::ShiftRefused { why } => new().with("why", why.as_str()),
        Input::ShiftAccepted { generation }
        | Input::ShiftObserved { generation }
        | Input::Restored { generation } => new().with("generation", generation),
        Input::Superseded { by } => new().with("by", by),
        Input::LiveChanged { to, generation } => {
            new().release("to", to.as_ref()).with("generation", generation)
        }
        Input::LeaveOrdered { cause, generation } => {
            new().with("cause", cause).with("generation", generation)
        }
        Input::Replaced { by } => new().release("by", Some(by)),
    }
}

fn to_target(input: &target::Input) -> Values {
    use target::Input;
    let new = Values::new;
    match input {
        Input::Enter { run, version, .. } => new().with("run", run).with("version", version),
        Input::AskSlot { run } | Input::LeaveSlot { run } | Input::Leave { run } => new().with("run", run),
        Input::PrepareRelease { run, release } | Input::TakeLive { run, release, .. } => {
            new().with("run", run).release("release", Some(release))
        }
        Input::ShiftWeights { run, release, weight, cause, .. } => new()
            .with("run", run)
            .release("release", Some(release))
            .with("weight", weight)
            .with("cause", cause),
        Input::LeaveLive { run, cause } => new().with("run", run).with("cause", cause),
        Input::RollBack { to, reason, .. } => new().maybe("to", *to).with("reason", reason),
        Input::Kill { bundle, reason, .. } => new().digest("bundle", bundle).with("reason", reason),
        Input::Freeze { until, reason, .. } => new().at("until", *until).with("reason", reason),
        Input::Resolve { drop, reason, .. } => {
            new().maybe("drop", drop.then_some("true")).with("reason", reason)
        }
        Input::HeldDue { number } => new().with("number", number),
        Input::NoteQuarantine { run, quarantined } => new().with("run", run).with("quarantined", quarantined),
        Input::Unfreeze { reason, .. } => new().with("reason", reason),
        Input::Adopt { release, reason, .. } => {
            new().release("release", Some(release)).with("reason", reason)
        }
        Input::Report { attempt, outcome } => reported(new().with("attempt", attempt), outcome),
        Input::Decline { attempt, reason } => new().with("attempt", attempt).with("reason", reason),
        Input::ReportRoutes { gateways } => observed(gateways),
        Input::ReportLoaded { servers } => loaded(servers),
        Input::LeaseEnded { attempt, heard_at } => new().with("attempt", attempt).at("heard_at", *heard_at),
        Input::BackoffOver { what } => new().with("errand", what.as_str()),
        Input::FreezeOver | Input::WarmOver => new(),
    }
}

fn reported(values: Values, outcome: &Outcome) -> Values {
    match outcome {
        Outcome::Packed(packed) => measured(values.with("outcome", "packed"), &packed.evidence)
            .maybe("bundle", packed.bundle.as_ref().map(|bundle| bundle.digest)),
        Outcome::Measured(evidence) => measured(values.with("outcome", "measured"), evidence),
        Outcome::Planned(plan) => values
            .with("outcome", "planned")
            .number("requests_per_second", Some(plan.requests_per_second))
            .number("hours", plan.hours),
        Outcome::Notified { delivered, .. } => {
            values.with("outcome", "notified").with("delivered", delivered.join(", "))
        }
        Outcome::Prepared { servers } => values.with("outcome", "prepared").with("servers", servers.len()),
        Outcome::Applied { gateways } => values.with("outcome", "applied").with("gateways", gateways.len()),
        Outcome::CouldNotTell { code, reason, .. } => {
            values.with("outcome", "could_not_tell").with("code", code).with("reason", reason)
        }
    }
}
