//! What is true of a run after an event. Frozen once an event is released; parses nothing.

use std::sync::Arc;

use super::state::{
    Gate, Leaving, Monitor, OpenAttempt, Phase, Purpose, Rollout, Run, Stage, StageState, Vote, WaitFor,
};
use super::{Event, Input, Start};
use crate::decider::IllegalEvent;
use crate::name::StageName;
use crate::quarantine::{Holding, Quarantine};
use crate::time::Timestamp;

pub(super) fn evolve(run: &mut Run, event: &Event) -> Result<(), IllegalEvent> {
    let illegal = |run: &Run| IllegalEvent { event: event.name(), state: run.phase.as_str().to_owned() };
    if !fits(run, event) {
        return Err(illegal(run));
    }
    apply(run, event).ok_or_else(|| illegal(run))
}

/// Whether an event may stand at this place of a stream.
fn fits(run: &Run, event: &Event) -> bool {
    match (run.phase, event) {
        (Phase::Absent, Event::Started { .. }) => true,
        (
            _,
            Event::StreamQuarantined { .. }
            | Event::InputHeld { .. }
            | Event::QuarantineResolved { .. }
            | Event::InputReleased { .. }
            // Whatever stood before: a reader that begins here must come to the same.
            | Event::ChapterOpened { .. },
        ) => true,
        // Its start was held, and is dropped.
        (Phase::Absent, Event::Ended { .. }) => run.start.is_some(),
        (Phase::Absent | Phase::Ended(_), _) | (_, Event::Started { .. }) => false,
        (
            Phase::Leaving,
            Event::WentLive { .. } | Event::RollbackBegan { .. } | Event::StepEntered { .. },
        ) => false,
        (_, Event::WentStandby { .. }) => run.phase == Phase::Live,
        (_, Event::RollbackEnded { .. }) => run.phase == Phase::Leaving,
        _ => true,
    }
}

/// Nothing when the event names a stage or an attempt that the run does not have.
fn apply(run: &mut Run, event: &Event) -> Option<()> {
    match event {
        Event::Started { start, at } => {
            run.phase = Phase::Active;
            bring(run, Arc::clone(start), *at);
        }
        Event::StageBegan { stage, live, at } => {
            run.live.clone_from(live);
            let stage = run.stage_mut(stage)?;
            stage.state = StageState::Working;
            stage.began_at = *at;
            stage.monitor = Monitor { from: *at, late_from: *at, ..Monitor::default() };
        }
        Event::LiveNoted { live } => run.live.clone_from(live),
        Event::StageSkipped { stage, why } => run.stage_mut(stage)?.state = StageState::Skipped(why.clone()),
        Event::WaitBegan { stage, on, .. } => {
            run.stage_mut(stage)?.state = StageState::Waiting;
            run.waits = Some(on.clone());
        }
        Event::AttemptIssued { stage, attempt, purpose, at } => issue(run, stage, *attempt, *purpose, *at)?,
        Event::AttemptFailed { stage, attempt, retry_at, .. }
        | Event::AttemptExpired { stage, attempt, retry_at, .. } => {
            run.close(*attempt)?;
            let stage = run.stage_mut(stage)?;
            stage.failures += 1;
            stage.retry_at = *retry_at;
        }
        Event::AttemptDeclined { attempt, .. } | Event::AttemptCancelled { attempt, .. } => {
            run.close(*attempt)?;
        }
        Event::EvidenceRecorded { stage, attempt, evidence, .. } => {
            run.close(*attempt)?;
            let stage = run.stage_mut(stage)?;
            stage.failures = 0;
            stage.evidence = vec![Arc::clone(evidence)];
        }
        Event::BundlePacked { stage, attempt, evidence, bundle, .. } => {
            run.close(*attempt)?;
            run.bundle = Some(Arc::clone(bundle));
            run.stage_mut(stage)?.evidence = vec![Arc::clone(evidence)];
        }
        Event::PlanMade { stage, attempt, plan } => {
            run.close(*attempt)?;
            run.stage_mut(stage)?.rollout.plan = Some(plan.clone());
        }
        Event::ApproversNotified { stage, attempt, .. } => {
            run.close(*attempt)?;
            run.stage_mut(stage)?.failures = 0;
        }
        Event::CheckJudged { stage, check, judgement } => {
            let judged = &mut run.stage_mut(stage)?.judged;
            match judged.iter_mut().find(|(name, _)| name == check) {
                Some((_, former)) => *former = Arc::clone(judgement),
                None => judged.push((check.clone(), Arc::clone(judgement))),
            }
        }
        Event::StageJudged { stage, verdict, .. } => {
            run.waits = None;
            let stage = run.stage_mut(stage)?;
            stage.state = StageState::Ended(*verdict);
            stage.retry_at = None;
            stage.gate.decided_on = stage.gate.asked;
        }
        Event::StageGaveUp { stage, why } => run.stage_mut(stage)?.state = StageState::GaveUp(why.clone()),
        Event::StageReopened { stage, .. } => {
            run.waits = None;
            *run.stage_mut(stage)? = Stage::default();
        }
        Event::EvidenceVoided { stage, .. } => {
            let stage = run.stage_mut(stage)?;
            stage.evidence.clear();
            stage.rollout.plan = None;
        }
        Event::PolicyJudged { stage, verdict, terms } => {
            let gate = &mut run.stage_mut(stage)?.gate;
            gate.policy = Some(*verdict);
            gate.terms = Arc::clone(terms);
        }
        Event::ApprovalAsked { stage, evidence, expires_at } => {
            let gate = &mut run.stage_mut(stage)?.gate;
            gate.asked = Some(*evidence);
            gate.expires_at = Some(*expires_at);
        }
        Event::Approved { stage, role, by, evidence, .. } => {
            let vote = Vote { role: role.clone(), by: by.clone(), evidence: *evidence };
            run.stage_mut(stage)?.gate.votes.push(vote);
        }
        Event::ApprovalRefused { .. } => {}
        Event::ApprovalLapsed { stage, .. } => {
            let gate = &mut run.stage_mut(stage)?.gate;
            *gate = Gate { expires_at: gate.expires_at, ..Gate::default() };
        }
        Event::SlotTaken { stage } => {
            run.waits = None;
            let stage = run.stage_mut(stage)?;
            stage.state = StageState::Working;
            stage.rollout.has_slot = true;
        }
        Event::StepEntered { stage, step, weight, at } => {
            run.waits = None;
            let stage = run.stage_mut(stage)?;
            stage.state = StageState::Working;
            stage.judged.clear();
            let former = std::mem::take(&mut stage.rollout);
            stage.rollout = Rollout {
                plan: former.plan,
                has_slot: former.has_slot,
                prepared: former.prepared,
                exposed_since: former.exposed_since,
                step: Some(*step),
                weight: *weight,
                entered_at: *at,
                ..Rollout::default()
            };
        }
        Event::ReleasePrepared { stage } => {
            run.waits = None;
            let stage = run.stage_mut(stage)?;
            stage.state = StageState::Working;
            stage.rollout.prepared = true;
        }
        Event::WeightRequested { stage, generation, .. } => {
            run.waits = None;
            run.raised = Some(*generation);
            if let Some(leaving) = &mut run.leaving {
                leaving.generation = Some(*generation);
            }
            let stage = run.stage_mut(stage)?;
            if stage.state == StageState::Waiting {
                stage.state = StageState::Working;
            }
            stage.rollout.requested = Some(*generation);
        }
        Event::WeightObserved { stage, generation, at } => {
            if let Some(leaving) = &mut run.leaving {
                leaving.observed_at = Some(*at);
            }
            let rollout = &mut run.stage_mut(stage)?.rollout;
            rollout.observed = Some((*generation, *at));
            rollout.bake_from = *at;
            rollout.exposed_since = rollout.exposed_since.or(Some(*at));
        }
        Event::StepJudged { stage, verdict, .. } => run.stage_mut(stage)?.rollout.judged = Some(*verdict),
        Event::StepHeld { stage, why } => run.stage_mut(stage)?.rollout.held = Some(why.clone()),
        Event::StepReleased { stage, .. } => run.stage_mut(stage)?.rollout.held = None,
        Event::WentLive { at, .. } => {
            run.phase = Phase::Live;
            run.waits = None;
            run.live_since = Some(*at);
            for stage in &mut run.stages {
                let stage = Arc::make_mut(stage);
                stage.rollout.has_slot = false;
                stage.monitor.from = *at;
                stage.monitor.late_from = *at;
            }
        }
        Event::WentStandby { .. } => run.phase = Phase::Standby,
        Event::WindowJudged { stage, verdict, .. } => {
            let monitor = &mut run.stage_mut(stage)?.monitor;
            monitor.windows += 1;
            monitor.last = Some(*verdict);
        }
        Event::AlertRaised { stage, check, .. } => run.stage_mut(stage)?.monitor.alerts.push(check.clone()),
        Event::AlertCleared { stage, check } => {
            run.stage_mut(stage)?.monitor.alerts.retain(|name| name != check);
        }
        Event::IncidentOpened { .. } => {
            run.incidents += 1;
            if let Some(leaving) = &mut run.leaving {
                leaving.overdue = true;
            }
        }
        Event::Paused { at, .. } => run.paused_at = Some(*at),
        Event::Resumed { at, .. } => resume(run, *at)?,
        Event::AbortAsked { .. } | Event::PromotionAsked { .. } => {}
        Event::RollbackBegan { end, cause, at } => {
            run.phase = Phase::Leaving;
            run.waits = None;
            run.paused_at = None;
            let (end, cause, since) = (*end, cause.clone(), *at);
            run.leaving =
                Some(Leaving { end, cause, since, generation: None, observed_at: None, overdue: false });
        }
        Event::RollbackEnded { .. } => {}
        Event::Ended { end, .. } => {
            run.phase = Phase::Ended(*end);
            run.waits = None;
            run.paused_at = None;
            run.attempts_open.clear();
            run.holding = None;
        }
        Event::StreamQuarantined { why, holds_cause, at } => {
            let quarantine = Quarantine { why: why.clone(), since: *at, holds_cause: *holds_cause };
            Holding::quarantine(&mut run.holding, quarantine);
        }
        Event::InputHeld { input, at } => {
            if let (Phase::Absent, Input::Start(start)) = (run.phase, &**input) {
                bring(run, Arc::new(Start::clone(start)), *at);
            }
            Holding::hold(&mut run.holding, Input::clone(input));
        }
        Event::QuarantineResolved { dropped, at, .. } => {
            Holding::resolve(&mut run.holding, dropped.is_some(), *at);
        }
        Event::InputReleased { .. } => Holding::release(&mut run.holding),
        Event::ChapterOpened { carried, .. } => {
            run.clone_from(carried);
            return Some(());
        }
    }
    run.chapter.count();
    Some(())
}

/// What it starts from is known, from when it was first said.
fn bring(run: &mut Run, start: Arc<Start>, at: Timestamp) {
    if run.start.is_none() {
        run.started_at = at;
    }
    run.stages = vec![Arc::default(); start.workflow.stages.len()];
    run.start = Some(start);
}

fn issue(run: &mut Run, stage: &StageName, attempt: u32, purpose: Purpose, at: Timestamp) -> Option<()> {
    let (index, _) = run.start.as_ref()?.workflow.stage(stage)?;
    if attempt != run.attempts_issued + 1 {
        return None;
    }
    run.attempts_issued = attempt;
    run.attempts_open.push(OpenAttempt { number: attempt, stage: index, purpose, issued_at: at });
    let stage = Arc::make_mut(&mut run.stages[index]);
    stage.retry_at = None;
    match purpose {
        Purpose::Measure => stage.rollout.looked_at = Some(at),
        Purpose::Watch { to, late: false, .. } => stage.monitor.from = to,
        Purpose::Watch { to, late: true, .. } => stage.monitor.late_from = to,
        Purpose::Package | Purpose::Test | Purpose::Plan | Purpose::Notify | Purpose::MeasureLast => {}
    }
    Some(())
}

/// Bake clocks stood while it was paused.
fn resume(run: &mut Run, at: Timestamp) -> Option<()> {
    let paused_at = run.paused_at.take()?;
    for stage in &mut run.stages {
        if stage.rollout.observed.is_some() {
            let rollout = &mut Arc::make_mut(stage).rollout;
            let stood = at - paused_at.max(rollout.bake_from);
            rollout.bake_from = rollout.bake_from + stood;
        }
    }
    Some(())
}

impl Run {
    pub(super) fn stage_mut(&mut self, name: &StageName) -> Option<&mut Stage> {
        let (index, _) = self.start.as_ref()?.workflow.stage(name)?;
        self.stages.get_mut(index).map(Arc::make_mut)
    }

    fn close(&mut self, attempt: u32) -> Option<()> {
        let place = self.attempts_open.iter().position(|open| open.number == attempt)?;
        self.attempts_open.remove(place);
        Some(())
    }

    /// Whether it waits for people at an open gate.
    pub fn waits_for_people(&self) -> bool {
        matches!(self.waits, Some(WaitFor::People))
    }
}
