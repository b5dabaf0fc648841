//! When a run is due for what: computed from its state, shared by `decide` (which checks that a moment has come)
//! and `effects` (which asks to be woken).

use super::state::{Phase, Purpose, Run, StageState};
use crate::check::Kind;
use crate::time::{Millis, Timestamp};
use crate::weight::Weight;
use crate::workflow::{MonitorWith, RolloutStep, RolloutWith, With};

/// Before its first weight is observed a step without a deadline of its own has this one.
pub(super) const PREPARE_DEADLINE: Millis = Millis::minutes(30);

/// The steps of a rollout. The first release of a target has one step of 100 %, whatever the strategy: bake and
/// deadline of the last step, samples of the largest.
pub(super) fn steps(run: &Run, with: &RolloutWith) -> Vec<RolloutStep> {
    let last = *with.steps.last().expect("a workflow's rollout has at least one step");
    if run.live.is_some() {
        return with.steps.clone();
    }
    let samples = with.steps.iter().map(|step| step.samples).max().unwrap_or(0);
    vec![RolloutStep { weight: Weight::ALL, samples, ..last }]
}

pub(super) fn rollout_with(run: &Run, index: usize) -> Option<&RolloutWith> {
    match &run.start.as_ref()?.workflow.stages.get(index)?.with {
        With::Rollout(with) => Some(with),
        _ => None,
    }
}

fn step(run: &Run, index: usize) -> Option<(RolloutStep, &RolloutWith)> {
    let with = rollout_with(run, index)?;
    let step = run.stages[index].rollout.step?;
    steps(run, with).get(step as usize).map(|step| (*step, with))
}

/// When the bake of the step is over; nothing before its traffic was observed.
pub(super) fn bake_over(run: &Run, index: usize) -> Option<Timestamp> {
    let (step, _) = step(run, index)?;
    let rollout = &run.stages[index].rollout;
    rollout.observed.map(|_| rollout.bake_from + step.bake)
}

/// When an undecided step is ended by its policy.
pub(super) fn step_deadline(run: &Run, index: usize) -> Option<Timestamp> {
    let (step, _) = step(run, index)?;
    let rollout = &run.stages[index].rollout;
    let waiting = rollout.observed.is_none().then_some(PREPARE_DEADLINE);
    step.deadline.or(waiting).map(|span| rollout.entered_at + span)
}

/// When the step is looked at next; nothing while somebody looks, or there is nothing to look at.
pub(super) fn next_look(run: &Run, index: usize) -> Option<Timestamp> {
    let (_, with) = step(run, index)?;
    let stage = &run.stages[index];
    let (_, observed_at) = stage.rollout.observed?;
    let looking = run.open(index, |purpose| purpose == Purpose::Measure).is_some();
    if run.phase != Phase::Active || stage.state != StageState::Working || looking {
        return None;
    }
    let looked_at = stage.rollout.looked_at;
    let tick = looked_at.unwrap_or(observed_at) + with.tick;
    // The bake's end is looked at when it comes, not a tick later; a bake of nothing ends as it begins.
    let bake = bake_over(run, index)
        .filter(|at| looked_at.is_none_or(|looked_at| *at > looked_at) && run.paused_at.is_none());
    Some(bake.map_or(tick, |at| at.min(tick)))
}

/// Whether a check of a monitor needs labels.
pub(super) fn needs_labels(kind: &Kind) -> bool {
    match kind {
        Kind::Quality(_) | Kind::Outcome(_) => true,
        Kind::Smoke(_) | Kind::Contract(_) | Kind::Latency(_) | Kind::ErrorRate(_) | Kind::Drift(_) => false,
    }
}

/// Whether a monitor looks at a window twice: at its close, and once more when its labels have come.
pub(super) fn looks_twice(with: &MonitorWith) -> bool {
    with.labels_delay > Millis(0) && with.checks.iter().any(|check| needs_labels(&check.kind))
}

/// The next window to look at, with its purpose; nothing while it is looked at already.
pub(super) fn next_window(run: &Run, index: usize, with: &MonitorWith) -> Option<(Timestamp, Purpose)> {
    let stage = &run.stages[index];
    if run.phase != Phase::Live
        || stage.state != StageState::Working
        || stage.retry_at.is_some()
        || run.paused_at.is_some()
    {
        return None;
    }
    let open = |wanted: bool| {
        run.open(index, |purpose| matches!(purpose, Purpose::Watch { late, .. } if late == wanted)).is_some()
    };
    let window = |from: Timestamp, late: bool| {
        let to = from + with.window;
        let due = if late { to + with.labels_delay } else { to };
        (due, Purpose::Watch { from, to, late })
    };
    let now = (!open(false)).then(|| window(stage.monitor.from, false));
    let later = (looks_twice(with) && !open(true)).then(|| window(stage.monitor.late_from, true));
    [now, later].into_iter().flatten().min_by_key(|(due, _)| *due)
}
