//! The end of a release: rolled back, replaced, restored, retired.

use super::{Draft, Refused, stages};
use crate::evidence::{Arm, Evidence, Text};
use crate::model::Release;
use crate::routes::Generation;
use crate::run::state::{End, Phase, Purpose};
use crate::run::{Event, Rejection};
use crate::target;
use crate::weight::Weight;
use crate::workflow::With;

/// The target takes the traffic away: by this run's own rule, or by a person. A `generation` of 0 was not raised
/// yet: what it goes back to has first to be loaded.
pub(super) fn ordered(d: &mut Draft, cause: &Text, generation: Generation) -> Refused {
    match d.run.phase {
        Phase::Live => {
            stages::cancel_attempts(d);
            d.emit(Event::RollbackBegan { end: End::RolledBack, cause: cause.clone(), at: d.now });
            if generation != Generation::default() {
                requested(d, generation);
            }
        }
        Phase::Active => stages::end(d, End::RolledBack, cause),
        Phase::Absent | Phase::Standby | Phase::Leaving | Phase::Ended(_) => {
            return Err(Rejection::MomentOver);
        }
    }
    Ok(())
}

/// The generation that takes the traffic away was raised.
pub(super) fn requested(d: &mut Draft, generation: Generation) {
    let Some((index, workflow)) = d.rollout() else { return };
    let stage = workflow.stages[index].name.clone();
    d.emit(Event::WeightRequested { stage, generation, weight: Weight::NONE, at: d.now });
}

/// Every gateway obeys: one last look tells how many requests the release answered.
pub(super) fn observed(d: &mut Draft, generation: Generation) {
    let Some((index, workflow)) = d.rollout() else { return };
    let stage = workflow.stages[index].name.clone();
    d.emit(Event::WeightObserved { stage: stage.clone(), generation, at: d.now });
    stages::issue(d, &stage, Purpose::MeasureLast);
}

pub(super) fn measured(d: &mut Draft, evidence: Option<&Evidence>) {
    let leaving = d.run.leaving.clone().expect("the last look is asked for while leaving");
    let restored_at = leaving.observed_at.unwrap_or(d.now);
    let requests_exposed = evidence.and_then(|evidence| {
        let candidate =
            evidence.measurements.iter().filter(|m| m.arm == Arm::Candidate && m.check.as_str() == EXPOSURE);
        candidate.map(|m| m.n).max()
    });
    let seconds_from_verdict = (restored_at - leaving.since).0 as f64 / 1_000.0;
    d.emit(Event::RollbackEnded { seconds_from_verdict, requests_exposed, at: d.now });
    d.emit(Event::Ended { end: leaving.end, why: leaving.cause, at: d.now });
    let run = d.start().run;
    d.tell_target(target::Input::Leave { run });
}

/// The check name under which a rollout measures how many requests each arm answered.
pub const EXPOSURE: &str = "exposure";

/// It takes too long: an incident, and it goes on trying.
pub(super) fn deadline(d: &mut Draft) -> Refused {
    let leaving = d.run.leaving.clone().filter(|leaving| !leaving.overdue && leaving.observed_at.is_none());
    let deadline = d.rollout().map(|(index, workflow)| match &workflow.stages[index].with {
        With::Rollout(with) => with.leave_deadline,
        _ => unreachable!("the index of the rollout"),
    });
    match (leaving, deadline) {
        (Some(leaving), Some(deadline)) if d.now >= leaving.since + deadline => {
            let why = format!("traffic was not taken away within {deadline}").into();
            d.emit(Event::IncidentOpened { why });
            Ok(())
        }
        _ => Err(Rejection::MomentOver),
    }
}

/// A newer release is live.
pub(super) fn replaced(d: &mut Draft, by: &Release) -> Refused {
    if d.run.phase != Phase::Live {
        return Err(Rejection::MomentOver);
    }
    stages::cancel_attempts(d);
    d.emit(Event::WentStandby { by: by.clone() });
    Ok(())
}

/// Rolled back to: it serves again, and is monitored again.
pub(super) fn restored(d: &mut Draft, generation: Generation) -> Refused {
    if d.run.phase != Phase::Standby {
        return Err(Rejection::MomentOver);
    }
    d.emit(Event::WentLive { generation, restored: true, at: d.now });
    Ok(())
}

/// The target keeps it no longer.
pub(super) fn release_ended(d: &mut Draft, why: &Text) -> Refused {
    if d.run.phase != Phase::Standby {
        return Err(Rejection::MomentOver);
    }
    d.emit(Event::Ended { end: End::Retired, why: why.clone(), at: d.now });
    let run = d.start().run;
    d.tell_target(target::Input::Leave { run });
    Ok(())
}
