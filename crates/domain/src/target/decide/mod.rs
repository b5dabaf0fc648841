//! What shall happen at a target.

mod errands;
mod holding;
mod missing;
mod people;
mod runs;
mod traffic;

use super::state::Target;
use super::{Event, Input, Rejection};
use crate::decider::{Decider as _, Decision, Tell};
use crate::name::RunId;
use crate::run;
use crate::time::Timestamp;

pub(super) use errands::LEASE;

type Refused = Result<(), Rejection>;

pub(super) fn decide(target: &Target, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
    match &target.holding {
        Some(holding) => holding::decide(target, holding, input, now),
        None => ordinary(target, input, now),
    }
}

pub(super) fn ordinary(target: &Target, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
    let mut draft = Draft { target: target.clone(), events: vec![], tells: vec![], now };
    let d = &mut draft;
    match input {
        Input::Enter { target, run, version, artifact, while_running } => runs::enter(
            d,
            target,
            &runs::Entrant { run: *run, version, artifact: *artifact, while_running: *while_running },
        ),
        Input::AskSlot { run } => runs::ask_slot(d, *run),
        Input::LeaveSlot { run } => runs::leave_slot(d, *run),
        Input::Leave { run } => runs::leave(d, *run),
        Input::NoteQuarantine { run, quarantined } => runs::note_quarantine(d, *run, *quarantined),
        Input::PrepareRelease { run, release } => runs::prepare_release(d, *run, release),
        Input::ShiftWeights { run, release, weight, sticky, cause } => {
            traffic::shift(d, &traffic::Wish { run: *run, release, weight: *weight, sticky, cause })
        }
        Input::TakeLive { run, release, keep_warm } => traffic::take_live(d, *run, release, *keep_warm),
        Input::LeaveLive { run, cause } => traffic::leave_live(d, *run, cause),
        Input::RollBack { actor, roles, to, reason } => people::roll_back(d, actor, roles, *to, reason),
        Input::Kill { actor, roles, bundle, reason } => people::kill(d, actor, roles, *bundle, reason),
        Input::Freeze { actor, roles, until, reason } => people::freeze(d, actor, roles, *until, reason),
        Input::Unfreeze { actor, roles, reason } => people::unfreeze(d, actor, roles, reason),
        Input::Adopt { actor, roles, target, release, reason } => {
            people::adopt(d, actor, roles, target, release, reason)
        }
        Input::Resolve { .. } => Err(Rejection::NothingToResolve { actual: "the target is not quarantined" }),
        Input::HeldDue { .. } => Err(Rejection::MomentOver),
        Input::Report { attempt, outcome } => errands::report(d, attempt.number, outcome),
        Input::Decline { attempt, reason } => errands::decline(d, attempt.number, reason),
        Input::ReportRoutes { gateways } => errands::routes_reported(d, gateways),
        Input::ReportLoaded { servers } => errands::loaded_reported(d, servers),
        Input::LeaseEnded { attempt, heard_at } => errands::expire(d, attempt.number, *heard_at),
        Input::BackoffOver { what } => errands::backoff_over(d, *what),
        Input::FreezeOver => people::freeze_over(d),
        Input::WarmOver => people::warm_over(d),
    }?;
    errands::issue(d);
    Ok(Decision { events: draft.events, tells: draft.tells })
}

/// A decision as it grows: the state after the events so far.
struct Draft {
    target: Target,
    events: Vec<Event>,
    tells: Vec<Tell>,
    now: Timestamp,
}

impl Draft {
    fn emit(&mut self, event: Event) {
        self.target.apply(&event).expect("decide emits only what evolve accepts");
        self.events.push(event);
    }

    fn tell(&mut self, run: RunId, input: run::Input) {
        self.tells.push(Tell::Run(run, input));
    }
}
