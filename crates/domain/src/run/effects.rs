//! What the world must be doing for a run: attempts without an answer, and the moments at which it goes on by
//! itself. A function of state: starting up and running on are one code path.

use std::sync::Arc;

use super::schedule;
use super::state::{OpenAttempt, Phase, Purpose, Run, Stage, StageState};
use super::{Effect, Input, Start};
use crate::name::{AttemptId, StageName, StreamId};
use crate::routes::Generation;
use crate::time::{Millis, Timestamp};
use crate::work::{self, Command, Order};
use crate::workflow::{self, RolloutWith, With};

/// Without a sign of life for this long an attempt is given up.
pub(super) const LEASE: Millis = Millis::seconds(60);
/// The same for looks, which take moments and must not stand in the way of the next.
pub(super) const LEASE_MEASURE: Millis = Millis::seconds(15);

pub(super) fn effects(run: &Run) -> Vec<Effect> {
    let Some(start) = &run.start else { return vec![] };
    if matches!(run.phase, Phase::Ended(_)) {
        return vec![];
    }
    let mut effects = vec![];
    for open in &run.attempts_open {
        if let Some(command) = command(run, start, open) {
            let input = Input::LeaseEnded { attempt: command.attempt.clone(), heard_at: None };
            effects.push(Effect::WakeAt { at: open.issued_at + command.lease, input });
            effects.push(Effect::Command(Box::new(command)));
        }
    }
    if let Some(holding) = &run.holding {
        // What is outstanding stays so until its answer is held; no moment comes before what is held.
        let answered = |attempt: &AttemptId| holding.held.iter().any(|held| held.answers() == Some(attempt));
        effects.retain(|effect| effect.attempt().is_some_and(|attempt| !answered(attempt)));
        let next = holding.next().map(|number| Input::HeldDue { number });
        effects.extend(next.map(|input| Effect::WakeAt { at: holding.resolved_at, input }));
        return effects;
    }
    if run.phase == Phase::Absent {
        return effects;
    }
    for (index, stage) in start.workflow.stages.iter().enumerate() {
        moments(run, index, stage, &mut effects);
    }
    if let (Phase::Leaving, Some(leaving), Some((_, with))) =
        (run.phase, &run.leaving, start.workflow.rollout())
        && leaving.observed_at.is_none()
        && !leaving.overdue
    {
        effects.push(Effect::WakeAt { at: leaving.since + with.leave_deadline, input: Input::LeaveDeadline });
    }
    effects
}

/// The moments of one stage.
fn moments(run: &Run, index: usize, declared: &workflow::Stage, effects: &mut Vec<Effect>) {
    let stage = &run.stages[index];
    let name = || declared.name.clone();
    let mut wake = |at: Timestamp, input: Input| effects.push(Effect::WakeAt { at, input });
    if let Some(at) = stage.retry_at.filter(|_| run.paused_at.is_none()) {
        wake(at, Input::BackoffOver { stage: name() });
    }
    match &declared.with {
        With::Package(_) | With::StageTest(_) if stage.state.is_open() => {
            wake(stage.began_at + declared.timeout, Input::StageTimedOut { stage: name() });
        }
        With::Gate(with) if stage.state.is_open() => {
            wake(stage.began_at + with.expires, Input::GateExpired { stage: name() });
        }
        With::Rollout(_) => {
            if let Some(at) = schedule::next_look(run, index) {
                let baked = schedule::bake_over(run, index) == Some(at);
                let input = if baked {
                    Input::BakeOver { stage: name() }
                } else {
                    Input::MeasureDue { stage: name() }
                };
                wake(at, input);
            }
            if let Some(at) =
                schedule::step_deadline(run, index).filter(|at| waits_for_deadline(run, stage, *at))
            {
                wake(at, Input::StepDeadline { stage: name() });
            }
        }
        With::Monitor(with) => {
            if let Some((at, _)) = schedule::next_window(run, index, with) {
                wake(at, Input::WindowOver { stage: name() });
            }
        }
        With::Package(_) | With::StageTest(_) | With::Gate(_) => {}
    }
}

/// Whether the deadline of the step is still to come: after one look past it, it has done its work.
fn waits_for_deadline(run: &Run, stage: &Stage, at: Timestamp) -> bool {
    let going_on =
        run.phase == Phase::Active && !matches!(stage.state, StageState::Ended(_) | StageState::Pending);
    going_on && stage.rollout.looked_at.is_none_or(|looked| looked < at)
}

/// The work order of an open attempt.
fn command(run: &Run, start: &Start, open: &OpenAttempt) -> Option<Command> {
    let declared = start.workflow.stages.get(open.stage)?;
    let stage = run.stages.get(open.stage)?;
    let order = order(run, start, declared, stage, open)?;
    let owner = StreamId::Run(start.run);
    let (step, generation) = match open.purpose {
        Purpose::Measure | Purpose::MeasureLast => {
            let observed = stage.rollout.observed.map(|(generation, _)| generation);
            (stage.rollout.looked_at.unwrap_or_default().0, observed.unwrap_or_default())
        }
        Purpose::Watch { from, .. } => (from.0, Generation::default()),
        Purpose::Package | Purpose::Test | Purpose::Plan | Purpose::Notify => (0, Generation::default()),
    };
    let key = format!("{}/{}", declared.name, order.as_str());
    Some(Command {
        effect_key: work::effect_key(&owner, &key, step, generation),
        attempt: AttemptId { owner, number: open.number },
        target: start.target.clone(),
        order,
        issued_at: open.issued_at,
        lease: match open.purpose {
            Purpose::Measure | Purpose::MeasureLast => LEASE_MEASURE,
            _ => LEASE,
        },
        traceparent: start.trained.traceparent.clone(),
    })
}

fn order(
    run: &Run,
    start: &Start,
    declared: &workflow::Stage,
    stage: &Stage,
    open: &OpenAttempt,
) -> Option<Order> {
    let (id, name, trained) = (start.run, declared.name.clone(), Arc::clone(&start.trained));
    let live = run.live.clone();
    Some(match (&declared.with, open.purpose) {
        (With::Package(with), Purpose::Package) => {
            Order::Package(work::Package { run: id, stage: name, trained, with: with.clone(), live })
        }
        (With::StageTest(with), Purpose::Test) => Order::Test(work::Test {
            run: id,
            stage: name,
            environment: with.environment.clone(),
            release: run.release()?,
            live,
            trained,
            checks: with.checks.clone(),
        }),
        (With::Gate(with), Purpose::Notify) => Order::Notify(work::Notify {
            run: id,
            stage: name,
            release: run.release()?,
            with: with.clone(),
            evidence: stage.gate.asked?,
            expires_at: stage.gate.expires_at?,
        }),
        (With::Rollout(with), Purpose::Plan) => {
            // As it will be rolled out: the first release has one step.
            let with = RolloutWith { steps: schedule::steps(run, with), ..with.clone() };
            Order::Plan(work::Plan { run: id, stage: name, live, with })
        }
        (With::Rollout(with), Purpose::Measure | Purpose::MeasureLast) => {
            Order::Measure(measure(run, id, name, stage, with, open.purpose)?)
        }
        (With::Monitor(with), Purpose::Watch { from, to, late }) => {
            let twice = schedule::looks_twice(with);
            let wanted =
                with.checks.iter().filter(|check| !twice || schedule::needs_labels(&check.kind) == late);
            let checks = wanted.cloned().collect();
            Order::Watch(work::Watch {
                run: id,
                stage: name,
                release: run.release()?,
                trained,
                from,
                to,
                checks,
            })
        }
        _ => return None,
    })
}

fn measure(
    run: &Run,
    id: crate::name::RunId,
    stage_name: StageName,
    stage: &Stage,
    with: &RolloutWith,
    purpose: Purpose,
) -> Option<work::Measure> {
    let rollout = &stage.rollout;
    let last = purpose == Purpose::MeasureLast;
    let (generation, observed_at) = rollout.observed?;
    Some(work::Measure {
        run: id,
        stage: stage_name,
        candidate: run.release()?,
        live: run.live.clone(),
        // The last look counts everything that the candidate ever answered.
        since: if last { rollout.exposed_since? } else { observed_at },
        generation: if last { Generation::default() } else { generation },
        share: rollout.weight.share(),
        checks: if last { vec![] } else { with.analysis.clone() },
    })
}
