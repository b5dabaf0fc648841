//! A rollout: slot, then step by step: loaded, requested, observed, looked at, judged.
//!
//! ```text
//! StepEntered -> prepare -> WeightRequested -> WeightObserved -> look at every tick -> StepJudged -> next step
//!                                                                  | harm                  | last: TakeLive
//!                                                                  +-> RollbackBegan
//! ```

use super::{Draft, Refused, gate, leave, look, rollout_with, stages};
use crate::evidence::Text;
use crate::model::Release;
use crate::name::StageName;
use crate::routes::Generation;
use crate::run::input::ShiftRefusal;
use crate::run::schedule;
use crate::run::state::{Phase, Purpose, Stage, StageState, WaitFor};
use crate::run::{Event, Rejection};
use crate::target;
use crate::verdict::Verdict;
use crate::weight::Weight;
use crate::workflow::StageKind;

/// Asks for the plan, once. False when there is one, or it could not be told, or nothing is rolled out.
pub(super) fn ask_for_plan(d: &mut Draft) -> bool {
    let Some((index, workflow)) = d.rollout() else { return false };
    if is_planned(&d.run.stages[index]) {
        return false;
    }
    if d.run.open(index, |purpose| purpose == Purpose::Plan).is_none() {
        stages::issue(d, &workflow.stages[index].name, Purpose::Plan);
    }
    true
}

/// There is a plan, or it could not be told.
fn is_planned(stage: &Stage) -> bool {
    stage.rollout.plan.is_some() || stage.failures > 0
}

/// The plan is there, or cannot be told: who waited for it goes on.
pub(super) fn planned(d: &mut Draft) {
    if let Some((index, _)) = d.rollout() {
        let stage = &d.run.stages[index];
        if stage.state == StageState::Working && stage.rollout.step.is_none() && !stage.rollout.has_slot {
            ask_slot(d);
        }
    }
    gate::planned(d);
}

pub(super) fn begin(d: &mut Draft, _index: usize) {
    if !ask_for_plan(d) {
        ask_slot(d);
    }
}

fn ask_slot(d: &mut Draft) {
    let run = d.start().run;
    d.tell_target(target::Input::AskSlot { run });
}

/// Taken by a run that is where it asks for it. One that was sent back while it waited, because another release went
/// live, plans anew first, and asks again.
pub(super) fn slot_granted(d: &mut Draft) -> Refused {
    let open =
        d.rollout().filter(|(index, _)| d.run.phase == Phase::Active && d.run.stages[*index].state.is_open());
    if open.as_ref().is_some_and(|(index, _)| d.run.stages[*index].rollout.has_slot) {
        return Err(Rejection::MomentOver);
    }
    let Some((index, workflow)) = open.filter(|(index, _)| is_planned(&d.run.stages[*index])) else {
        let run = d.start().run;
        d.tell_target(target::Input::LeaveSlot { run });
        return Ok(());
    };
    d.emit(Event::SlotTaken { stage: workflow.stages[index].name.clone() });
    go_on(d);
    Ok(())
}

pub(super) fn slot_refused(d: &mut Draft, why: &Text) -> Refused {
    wait(d, WaitFor::Slot { why: why.clone() })
}

fn wait(d: &mut Draft, on: WaitFor) -> Refused {
    let (index, workflow) = d.rollout().ok_or(Rejection::MomentOver)?;
    d.emit(Event::WaitBegan { stage: workflow.stages[index].name.clone(), on, at: d.now });
    Ok(())
}

/// Does the next thing for the step it is in; enters the first one when it has just got the slot.
pub(super) fn go_on(d: &mut Draft) {
    let Some((index, _)) = d.rollout() else { return };
    let rollout = &d.run.stages[index].rollout;
    if d.run.phase != Phase::Active || d.run.paused_at.is_some() || !rollout.has_slot {
        return;
    }
    match rollout.step {
        None => enter(d, index, 0),
        Some(_) => push(d, index),
    }
}

pub(super) fn enter(d: &mut Draft, index: usize, step: usize) {
    cancel_look(d, index);
    let workflow = d.workflow();
    let weight = schedule::steps(&d.run, rollout_with(&workflow, index))[step].weight;
    let stage = workflow.stages[index].name.clone();
    d.emit(Event::StepEntered { stage, step: step as u32, weight, at: d.now });
    push(d, index);
}

pub(super) fn cancel_look(d: &mut Draft, index: usize) {
    if let Some(attempt) = d.run.open(index, |purpose| purpose == Purpose::Measure).map(|open| open.number) {
        d.emit(Event::AttemptCancelled { stage: d.workflow().stages[index].name.clone(), attempt });
    }
}

/// Loaded before it is routed to.
fn push(d: &mut Draft, index: usize) {
    let rollout = &d.run.stages[index].rollout;
    let (prepared, requested, weight) = (rollout.prepared, rollout.requested, rollout.weight);
    let run = d.start().run;
    let release = d.run.release().expect("a rollout begins after its bundle was packed");
    if !prepared {
        d.tell_target(target::Input::PrepareRelease { run, release });
    } else if requested.is_none() {
        let sticky = rollout_with(&d.workflow(), index).sticky.clone();
        let cause = format!("run {run} step to {weight}").into();
        d.tell_target(target::Input::ShiftWeights { run, release, weight, sticky, cause });
    }
}

pub(super) fn prepared(d: &mut Draft) -> Refused {
    let (index, workflow) = d.rollout().ok_or(Rejection::MomentOver)?;
    let rollout = &d.run.stages[index].rollout;
    // A server may lose what it had loaded at any step: then it is waited for once more.
    let wanted = !rollout.prepared || matches!(d.run.waits, Some(WaitFor::Prepare { .. }));
    if d.run.phase != Phase::Active || rollout.step.is_none() || !wanted {
        return Err(Rejection::MomentOver);
    }
    d.emit(Event::ReleasePrepared { stage: workflow.stages[index].name.clone() });
    go_on(d);
    Ok(())
}

pub(super) fn prepare_failed(d: &mut Draft, why: &Text) -> Refused {
    let is_at_step = d.rollout().is_some_and(|(index, _)| d.run.stages[index].rollout.step.is_some());
    if d.run.phase != Phase::Active || !is_at_step {
        return Err(Rejection::MomentOver);
    }
    wait(d, WaitFor::Prepare { why: why.clone() })
}

pub(super) fn thawed(d: &mut Draft) -> Refused {
    if d.run.waits != Some(WaitFor::Thaw) {
        return Err(Rejection::MomentOver);
    }
    go_on(d);
    Ok(())
}

pub(super) fn shift_accepted(d: &mut Draft, generation: Generation) -> Refused {
    if let Some(leaving) = &d.run.leaving {
        if d.run.phase != Phase::Leaving || leaving.generation.is_some_and(|known| known >= generation) {
            return Err(Rejection::MomentOver);
        }
        leave::requested(d, generation);
        return Ok(());
    }
    let (index, workflow) = d.rollout().ok_or(Rejection::MomentOver)?;
    let weight = d.run.stages[index].rollout.weight;
    d.emit(Event::WeightRequested {
        stage: workflow.stages[index].name.clone(),
        generation,
        weight,
        at: d.now,
    });
    Ok(())
}

pub(super) fn shift_refused(d: &mut Draft, why: &ShiftRefusal) -> Refused {
    match why {
        ShiftRefusal::Frozen => wait(d, WaitFor::Thaw),
        ShiftRefusal::NoSlot => wait(d, WaitFor::Slot { why: "the slot was taken away".into() }),
        ShiftRefusal::NotLoaded => {
            wait(d, WaitFor::Prepare { why: "the release is no longer loaded".into() })
        }
        // It goes on serving; one incident says so.
        ShiftRefusal::NoLastGood if d.run.incidents == 0 => {
            let why = "it should be rolled back, and there is no last good release to roll back to".into();
            d.emit(Event::IncidentOpened { why });
            Ok(())
        }
        ShiftRefusal::NoLastGood => Ok(()),
    }
}

pub(super) fn shift_observed(d: &mut Draft, generation: Generation) -> Refused {
    if let Some(leaving) = &d.run.leaving {
        let reached = leaving.generation.is_some_and(|wanted| wanted <= generation);
        if d.run.phase != Phase::Leaving || !reached || leaving.observed_at.is_some() {
            return Err(Rejection::MomentOver);
        }
        leave::observed(d, generation);
        return Ok(());
    }
    let (index, workflow) = d.rollout().ok_or(Rejection::MomentOver)?;
    let rollout = &d.run.stages[index].rollout;
    let reached = rollout.requested.is_some_and(|wanted| wanted <= generation);
    if d.run.phase != Phase::Active || !reached || rollout.observed.is_some() {
        return Err(Rejection::MomentOver);
    }
    d.emit(Event::WeightObserved { stage: workflow.stages[index].name.clone(), generation, at: d.now });
    Ok(())
}

/// A tick, or the bake is over: look again, if nobody is looking.
pub(super) fn measure_due(d: &mut Draft, name: &StageName) -> Refused {
    let (index, _) = d.stage("look at", name)?;
    if schedule::next_look(&d.run, index).is_none_or(|at| d.now < at) {
        return Err(Rejection::MomentOver);
    }
    stages::issue(d, name, Purpose::Measure);
    Ok(())
}

/// Judged after one more look; before its traffic was seen there is nothing to look at.
pub(super) fn step_deadline(d: &mut Draft, name: &StageName) -> Refused {
    let (index, stage) = d.stage("end", name)?;
    let deadline = schedule::step_deadline(&d.run, index);
    if d.run.phase != Phase::Active || deadline.is_none_or(|at| d.now < at) {
        return Err(Rejection::MomentOver);
    }
    if stage.rollout.observed.is_none() {
        let why = match &d.run.waits {
            Some(WaitFor::Prepare { why }) => format!("not loaded by the step's deadline: {why}"),
            _ => "its traffic was not observed by the step's deadline".to_owned(),
        };
        stages::give_up(d, index, &why);
        return Ok(());
    }
    if d.run.open(index, |purpose| purpose == Purpose::Measure).is_none() {
        stages::issue(d, name, Purpose::Measure);
    }
    Ok(())
}

/// Which step a promotion leads to, if the run is where it can be promoted.
pub(super) fn promotable(d: &Draft, to: Option<Weight>) -> Result<(usize, usize), Rejection> {
    let no = |actual: &str| Rejection::NotPromotable { actual: actual.to_owned() };
    let (index, workflow) = d.rollout().ok_or_else(|| no("its workflow has no rollout"))?;
    let stage = &d.run.stages[index];
    let rollout = &stage.rollout;
    let Some(step) = rollout.step.filter(|_| d.run.phase == Phase::Active && !stage.state.is_passed()) else {
        return Err(no("no rollout step is under way"));
    };
    if d.run.paused_at.is_some() {
        return Err(no("it is paused; resume it first"));
    }
    if rollout.observed.is_none() {
        return Err(no("the traffic of its step was not observed yet"));
    }
    let steps = schedule::steps(&d.run, rollout_with(&workflow, index));
    let here = step as usize;
    match to {
        None => Ok((here + 1, index)),
        Some(to) if to <= rollout.weight && rollout.weight != Weight::ALL => {
            Err(no("it has that share already"))
        }
        Some(to) => {
            let next = (here + 1..steps.len()).find(|next| steps[*next].weight >= to);
            Ok((next.unwrap_or(steps.len()), index))
        }
    }
}

pub(super) fn promote(d: &mut Draft, index: usize, next_step: usize, why: &Text) {
    let stage = d.workflow().stages[index].name.clone();
    let rollout = &d.run.stages[index].rollout;
    let (step, held) = (rollout.step.unwrap_or(0), rollout.held.is_some());
    if held {
        d.emit(Event::StepReleased { stage: stage.clone(), why: why.clone() });
    }
    d.emit(Event::StepJudged { stage, step, verdict: Verdict::Pass, why: why.clone() });
    look::next(d, index, next_step);
}

/// Another release is live. If it is this run's, it went live; else what was compared with the former is void.
pub(super) fn live_changed(d: &mut Draft, to: Option<&Release>, generation: Generation) -> Refused {
    if d.run.phase != Phase::Active {
        return Err(Rejection::MomentOver);
    }
    let (index, workflow) = d.rollout().ok_or(Rejection::MomentOver)?;
    let own = d.run.release();
    if own.is_some() && to == own.as_ref() {
        d.emit(Event::WentLive { generation, restored: false, at: d.now });
        let run = d.start().run;
        d.tell_target(target::Input::LeaveSlot { run });
        stages::begin_ready(d);
        return Ok(());
    }
    if to == d.run.live.as_ref() || d.run.raised.is_some() {
        return Err(Rejection::MomentOver);
    }
    d.emit(Event::LiveNoted { live: to.cloned() });
    let begun: Vec<usize> = (0..workflow.stages.len())
        .filter(|at| {
            let concerned = matches!(workflow.stages[*at].with.kind(), StageKind::Gate | StageKind::Rollout);
            concerned && d.run.stages[*at].state != StageState::Pending
        })
        .collect();
    if d.run.stages[index].rollout.plan.is_some() {
        let stage = workflow.stages[index].name.clone();
        d.emit(Event::EvidenceVoided { stage, cause: "live_changed".into() });
    }
    if let Some(attempt) = d.run.open(index, |purpose| purpose == Purpose::Plan).map(|open| open.number) {
        d.emit(Event::AttemptCancelled { stage: workflow.stages[index].name.clone(), attempt });
    }
    for at in begun {
        if d.run.stages[at].rollout.has_slot {
            let run = d.start().run;
            d.tell_target(target::Input::LeaveSlot { run });
        }
        gate::reopen(d, at, "live_changed");
    }
    stages::begin_ready(d);
    Ok(())
}
