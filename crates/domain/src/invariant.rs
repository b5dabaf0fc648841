//! What must hold after every step: asserted in tests and in the simulator. The numbers are those of the list in
//! ARCHITECTURE.md.

use crate::decider::Decider as _;
use crate::run::{Phase, Run, StageState, why};
use crate::target::Target;
use crate::weight::Weight;
use crate::workflow::StageKind;

/// An invariant that does not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub number: u8,
    pub text: String,
}

fn check(broken: &mut Vec<Broken>, number: u8, holds: bool, text: impl FnOnce() -> String) {
    if !holds {
        broken.push(Broken { number, text: text() });
    }
}

/// What holds of a run by itself.
pub fn of_run(run: &Run) -> Vec<Broken> {
    let mut broken = vec![];
    let mut numbers: Vec<u32> = run.attempts_open.iter().map(|open| open.number).collect();
    numbers.dedup();
    check(&mut broken, 7, numbers.len() == run.attempts_open.len(), || {
        "two open attempts have one number".into()
    });
    for stage in &run.stages {
        let votes = &stage.gate.votes;
        let persons: std::collections::BTreeSet<_> = votes.iter().map(|vote| &vote.by).collect();
        check(&mut broken, 8, persons.len() == votes.len(), || "a person has voted twice at one gate".into());
        let current = stage.gate.asked.or(stage.gate.decided_on);
        let same = votes.iter().all(|vote| Some(vote.evidence) == current);
        check(&mut broken, 8, same, || "a vote stands on other evidence than the gate's".into());
    }
    let idle = run.is_ended();
    check(&mut broken, 10, !idle || run.effects().is_empty(), || "an ended run has effects".into());
    let waits = run.start.is_none() || idle || !why(run).is_empty();
    check(&mut broken, 10, waits, || "a run that has not ended waits for nothing".into());
    broken
}

/// What holds of a target by itself.
pub fn of_target(target: &Target) -> Vec<Broken> {
    let mut broken = vec![];
    let under_way = |run| target.under_way.iter().any(|entry| entry.run == run);
    check(&mut broken, 1, target.slot.is_none_or(under_way), || {
        "the slot is held by a run that is not under way".into()
    });
    check(&mut broken, 1, target.queue.iter().all(|run| under_way(*run)), || {
        "a run waits that is not under way".into()
    });
    let sound = target.table.as_ref().is_none_or(crate::routes::RouteTable::is_sound);
    check(&mut broken, 3, sound, || "the weights of the table do not sum to 10,000".into());
    let killed_live = target.live.as_ref().is_some_and(|live| target.bad.contains(&live.release.bundle));
    check(&mut broken, 5, !killed_live || target.leaving.is_some(), || {
        "a bad release is live and not leaving".into()
    });
    broken
}

/// What holds between two states of a target, one transition apart.
pub fn between(before: &Target, after: &Target) -> Vec<Broken> {
    let mut broken = vec![];
    if before.table != after.table {
        let generation =
            |target: &Target| target.table.as_ref().map(|table| table.generation).unwrap_or_default();
        check(&mut broken, 2, generation(after) > generation(before), || {
            "traffic changed without a new generation".into()
        });
    }
    broken
}

/// What holds of a run and its target together.
pub fn of_both(run: &Run, target: &Target) -> Vec<Broken> {
    let mut broken = vec![];
    let (Some(start), Some((index, with))) =
        (&run.start, run.start.as_ref().and_then(|start| start.workflow.rollout()))
    else {
        return broken;
    };
    let rollout = &run.stages[index].rollout;
    let holds = run.phase == Phase::Active && rollout.has_slot;
    check(&mut broken, 1, !holds || target.slot == Some(start.run), || {
        "a run believes to hold a slot that is another's".into()
    });
    let Some(release) = run.release() else { return broken };
    let weight = target.table.as_ref().map_or(Weight::NONE, |table| table.weight_of(&release));
    // Invariant 4: nobody is led to a bundle whose stages before the rollout have not passed.
    let passed = start.workflow.stages.iter().zip(&run.stages).all(|(declared, stage)| {
        let before = !matches!(declared.with.kind(), StageKind::Rollout | StageKind::Monitor);
        !before || stage.state.is_passed()
    });
    check(&mut broken, 4, weight == Weight::NONE || passed, || {
        format!("{weight} of the traffic goes to a bundle that has not passed")
    });
    let last = run.live.is_none() || rollout.weight == Weight::ALL || run.phase != Phase::Active;
    check(
        &mut broken,
        6,
        last || weight <= rollout.weight.max(Weight::NONE) && weight <= with.share_cap.max(rollout.weight),
        || format!("{weight} of the traffic is more than the step's {}", rollout.weight),
    );
    let gone =
        run.is_ended() && rollout.step.is_some() && !matches!(run.stages[index].state, StageState::Pending);
    let held_back = target.leaving.is_some();
    check(&mut broken, 5, !gone || weight == Weight::NONE || held_back, || {
        format!("an ended run still has {weight} of the traffic")
    });
    broken
}
