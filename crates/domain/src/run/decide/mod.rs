//! What shall happen in a run.
//!
//! Each input has its function; what follows from it is decided on the state as it is after the events so far
//! (`Draft`), so `evolve` has accepted every event that leaves here.

mod attempts;
pub(in crate::run) mod gate;
mod holding;
mod leave;
mod look;
mod monitor;
mod people;
mod rollout;
mod stages;

use std::sync::Arc;

use super::input::{Input, Start};
use super::state::{Phase, Run, Stage};
use super::{Event, Rejection};
use crate::decider::{Decider as _, Decision, Tell};
use crate::name::StageName;
use crate::target;
use crate::time::Timestamp;
use crate::workflow::{self, Workflow};

pub use attempts::REQUIRABLE;
pub(crate) use attempts::outcome_name;
pub use leave::EXPOSURE;

type Refused = Result<(), Rejection>;

pub(super) fn decide(run: &Run, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
    match &run.holding {
        Some(holding) => holding::decide(run, holding, input, now),
        None => ordinary(run, input, now),
    }
}

pub(super) fn ordinary(run: &Run, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
    let mut draft = Draft { run: run.clone(), events: vec![], tells: vec![], now };
    let draft_ref = &mut draft;
    admit(run, input)?;
    match input {
        Input::Start(start) => {
            stages::start(draft_ref, start);
            Ok(())
        }
        Input::Approve { actor, roles, stage, role, rationale, evidence } => gate::approve(
            draft_ref,
            &gate::Ballot { actor, roles, stage, role, rationale, evidence: *evidence },
        ),
        Input::Reject { actor, roles, stage, role, rationale, evidence } => gate::reject(
            draft_ref,
            &gate::Ballot { actor, roles, stage, role, rationale, evidence: *evidence },
        ),
        Input::Pause { actor, roles, reason } => people::pause(draft_ref, actor, roles, reason),
        Input::Resume { actor, roles, reason } => people::resume(draft_ref, actor, roles, reason),
        Input::Abort { actor, roles, reason } => people::abort(draft_ref, actor, roles, reason),
        Input::Promote { actor, roles, to, reason } => people::promote(draft_ref, actor, roles, *to, reason),
        Input::Resolve { .. } => Err(Rejection::NothingToResolve { actual: "the run is not quarantined" }),
        Input::HeldDue { .. } => Err(Rejection::MomentOver),
        Input::Retry { actor, roles, stage, reason } => people::retry(draft_ref, actor, roles, stage, reason),
        Input::Report { attempt, outcome } => attempts::report(draft_ref, attempt.number, outcome),
        Input::Decline { attempt, reason } => attempts::decline(draft_ref, attempt.number, reason),
        Input::LeaseEnded { attempt, heard_at } => attempts::expire(draft_ref, attempt.number, *heard_at),
        Input::BackoffOver { stage } => attempts::backoff_over(draft_ref, stage),
        Input::StageTimedOut { stage } => stages::timed_out(draft_ref, stage),
        Input::GateExpired { stage } => gate::expired(draft_ref, stage),
        Input::MeasureDue { stage } | Input::BakeOver { stage } => rollout::measure_due(draft_ref, stage),
        Input::StepDeadline { stage } => rollout::step_deadline(draft_ref, stage),
        Input::LeaveDeadline => leave::deadline(draft_ref),
        Input::WindowOver { stage } => monitor::window_over(draft_ref, stage),
        Input::Entered { live, .. } => {
            stages::entered(draft_ref, live.clone());
            Ok(())
        }
        Input::EntryRefused { why } => {
            stages::refused(draft_ref, why);
            Ok(())
        }
        Input::SlotGranted => rollout::slot_granted(draft_ref),
        Input::SlotRefused { why } => rollout::slot_refused(draft_ref, why),
        Input::Thawed => rollout::thawed(draft_ref),
        Input::PrepareDone => rollout::prepared(draft_ref),
        Input::PrepareFailed { why } => rollout::prepare_failed(draft_ref, why),
        Input::ShiftAccepted { generation } => rollout::shift_accepted(draft_ref, *generation),
        Input::ShiftRefused { why } => rollout::shift_refused(draft_ref, why),
        Input::ShiftObserved { generation } => rollout::shift_observed(draft_ref, *generation),
        Input::Superseded { by } => {
            stages::superseded(draft_ref, *by);
            Ok(())
        }
        Input::LiveChanged { to, generation } => rollout::live_changed(draft_ref, to.as_ref(), *generation),
        Input::LeaveOrdered { cause, generation } => leave::ordered(draft_ref, cause, *generation),
        Input::Replaced { by } => leave::replaced(draft_ref, by),
        Input::Restored { generation } => leave::restored(draft_ref, *generation),
        Input::ReleaseEnded { why } => leave::release_ended(draft_ref, why),
    }?;
    Ok(Decision { events: draft.events, tells: draft.tells })
}

/// What holds for every input: a run begins with `Start` and hears nothing after its end.
fn admit(run: &Run, input: &Input) -> Refused {
    match (run.phase, input) {
        (Phase::Absent, Input::Start(_)) => Ok(()),
        (_, Input::Start(_)) => Err(Rejection::AlreadyStarted),
        (Phase::Absent, _) => Err(Rejection::Unknown { verb: verb(input) }),
        (Phase::Ended(_), Input::Report { attempt, .. } | Input::Decline { attempt, .. }) => {
            Err(Rejection::Late { attempt: attempt.number })
        }
        (Phase::Ended(end), _) => Err(Rejection::AlreadyEnded { verb: verb(input), end: end.as_str() }),
        _ => Ok(()),
    }
}

/// The input's verb, for its rejection.
fn verb(input: &Input) -> &'static str {
    match input {
        Input::Approve { .. } => "approve",
        Input::Reject { .. } => "reject",
        Input::Pause { .. } => "pause",
        Input::Resume { .. } => "resume",
        Input::Abort { .. } => "abort",
        Input::Promote { .. } => "promote",
        Input::Retry { .. } => "retry",
        Input::Resolve { .. } => "resolve",
        Input::Report { .. } | Input::Decline { .. } => "answer",
        _ => "tell",
    }
}

/// A decision as it grows: the state after the events so far.
struct Draft {
    run: Run,
    events: Vec<Event>,
    tells: Vec<Tell>,
    now: Timestamp,
}

impl Draft {
    fn emit(&mut self, event: Event) {
        self.run.apply(&event).expect("decide emits only what evolve accepts");
        self.events.push(event);
    }

    fn tell_target(&mut self, input: target::Input) {
        let target = self.start().target.clone();
        self.tells.push(Tell::Target(target, input));
    }

    fn start(&self) -> Arc<Start> {
        Arc::clone(self.run.start.as_ref().expect("admit lets only Start reach a run that has not started"))
    }

    fn workflow(&self) -> Arc<Workflow> {
        Arc::clone(&self.start().workflow.value)
    }

    /// The stage's index and state, or a rejection that names it.
    fn stage(&self, verb: &'static str, name: &StageName) -> Result<(usize, &Stage), Rejection> {
        let workflow = &self.run.start.as_ref().ok_or(Rejection::Unknown { verb })?.workflow;
        let (index, _) =
            workflow.stage(name).ok_or_else(|| Rejection::NoSuchStage { verb, stage: name.to_string() })?;
        Ok((index, &self.run.stages[index]))
    }

    fn rollout(&self) -> Option<(usize, Arc<Workflow>)> {
        let workflow = self.workflow();
        workflow.rollout().map(|(index, _)| index).map(|index| (index, workflow))
    }
}

fn rollout_with(workflow: &Workflow, index: usize) -> &workflow::RolloutWith {
    match &workflow.stages[index].with {
        workflow::With::Rollout(with) => with,
        _ => unreachable!("the index of the rollout stage"),
    }
}
