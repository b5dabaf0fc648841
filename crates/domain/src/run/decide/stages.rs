//! Stages begin when those they need have passed, and a run ends when one has not.

use std::sync::Arc;

use super::{Draft, Refused, gate, rollout};
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{RunId, StageName};
use crate::rule;
use crate::run::facts::facts;
use crate::run::state::{End, Phase, Purpose, StageState};
use crate::run::{Event, Rejection, Start};
use crate::target;
use crate::verdict::Verdict;
use crate::weight::Weight;
use crate::workflow::{StageKind, With};

pub(super) fn start(d: &mut Draft, start: &Start) {
    d.emit(Event::Started { start: Arc::new(start.clone()), at: d.now });
    let (run, target) = (start.run, start.target.clone());
    let (version, artifact) = (start.trained.version.clone(), start.trained.artifact.sha256);
    let while_running = start.workflow.trigger.while_running;
    d.tell_target(target::Input::Enter { target, run, version, artifact, while_running });
}

pub(super) fn entered(d: &mut Draft, live: Option<Release>) {
    d.run.live = live;
    begin_ready(d);
}

pub(super) fn refused(d: &mut Draft, why: &Text) {
    d.emit(Event::Ended { end: End::Refused, why: why.clone(), at: d.now });
}

pub(super) fn superseded(d: &mut Draft, by: RunId) {
    cancel_attempts(d);
    let why = format!("superseded by run {by}").into();
    d.emit(Event::Ended { end: End::Superseded, why, at: d.now });
}

/// Begins every stage whose turn has come. While paused nothing begins.
pub(super) fn begin_ready(d: &mut Draft) {
    let workflow = d.workflow();
    for (index, stage) in workflow.stages.iter().enumerate() {
        let going_on = match stage.with.kind() {
            StageKind::Monitor => d.run.phase == Phase::Live,
            _ => d.run.phase == Phase::Active,
        };
        let ready = d.run.stages[index].state == StageState::Pending
            && stage.needs.iter().all(|need| d.run.stages[*need].state.is_passed());
        if !going_on || !ready || d.run.paused_at.is_some() {
            continue;
        }
        // A condition that cannot be told skips nothing: a safeguard is not dropped for want of a fact.
        let skipped = stage
            .when
            .as_ref()
            .filter(|rule| rule::evaluate(rule, &facts(&d.run, d.now)).verdict == Verdict::Fail);
        match skipped {
            Some(rule) => d.emit(Event::StageSkipped {
                stage: stage.name.clone(),
                why: format!("when: {}", rule.text).into(),
            }),
            None => begin(d, index),
        }
    }
}

fn begin(d: &mut Draft, index: usize) {
    let workflow = d.workflow();
    let stage = workflow.stages[index].name.clone();
    d.emit(Event::StageBegan { stage: stage.clone(), live: d.run.live.clone(), at: d.now });
    match &workflow.stages[index].with {
        With::Package(_) => issue(d, &stage, Purpose::Package),
        With::StageTest(_) => issue(d, &stage, Purpose::Test),
        With::Gate(_) => gate::begin(d, index),
        With::Rollout(_) => rollout::begin(d, index),
        With::Monitor(_) => {}
    }
}

/// Issues the next attempt of a stage.
pub(super) fn issue(d: &mut Draft, stage: &StageName, purpose: Purpose) {
    let attempt = d.run.attempts_issued + 1;
    d.emit(Event::AttemptIssued { stage: stage.clone(), attempt, purpose, at: d.now });
}

/// Ends a stage with its verdict, and goes on or ends the run.
pub(super) fn judge(d: &mut Draft, index: usize, verdict: Verdict, why: Text) {
    let stage = d.workflow().stages[index].name.clone();
    d.emit(Event::StageJudged { stage: stage.clone(), verdict, why: why.clone(), at: d.now });
    if verdict == Verdict::Pass {
        begin_ready(d);
    } else {
        end(d, End::Blocked, &format!("{stage}: {verdict}: {why}").into());
    }
}

/// Gives a stage up, which ends the run.
pub(super) fn give_up(d: &mut Draft, index: usize, why: &str) {
    let stage = d.workflow().stages[index].name.clone();
    d.emit(Event::StageGaveUp { stage: stage.clone(), why: why.into() });
    end(d, End::Failed, &format!("{stage}: {why}").into());
}

pub(super) fn timed_out(d: &mut Draft, name: &StageName) -> Refused {
    let (index, stage) = d.stage("time out", name)?;
    let timeout = d.workflow().stages[index].timeout;
    if !stage.state.is_open() || d.now < stage.began_at + timeout {
        return Err(Rejection::MomentOver);
    }
    give_up(d, index, &format!("not done within {timeout}"));
    Ok(())
}

/// Ends the run: at once while no traffic was moved for it, else through leaving.
pub(super) fn end(d: &mut Draft, end: End, why: &Text) {
    cancel_attempts(d);
    if d.run.raised.is_some() && d.run.phase == Phase::Active {
        roll_back(d, end, why);
        return;
    }
    d.emit(Event::Ended { end, why: why.clone(), at: d.now });
    let run = d.start().run;
    d.tell_target(target::Input::Leave { run });
}

/// Takes the candidate's traffic away.
fn roll_back(d: &mut Draft, end: End, cause: &Text) {
    d.emit(Event::RollbackBegan { end, cause: cause.clone(), at: d.now });
    let release = d.run.release().expect("traffic is moved only to a bundle");
    let (run, cause) = (d.start().run, cause.clone());
    let sticky = d.rollout().map(|(index, workflow)| super::rollout_with(&workflow, index).sticky.clone());
    let sticky = sticky.unwrap_or_default();
    d.tell_target(target::Input::ShiftWeights { run, release, weight: Weight::NONE, sticky, cause });
}

pub(super) fn cancel_attempts(d: &mut Draft) {
    let workflow = d.workflow();
    for open in d.run.attempts_open.clone() {
        let stage = workflow.stages[open.stage].name.clone();
        d.emit(Event::AttemptCancelled { stage, attempt: open.number });
    }
}
