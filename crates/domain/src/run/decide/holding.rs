//! What a quarantined run still does: it holds what is said to it, ends when a person aborts it, and goes on when an
//! operator resolves it. Small and total, on the last good state: it must not fail where the ordinary decision did.

use super::people::entitled;
use super::{Draft, Refused, attempts, ordinary};
use crate::decider::{Decider as _, Decision};
use crate::definition::Pinned;
use crate::evidence::Text;
use crate::quarantine::{Holding, Origin};
use crate::roles::{Actor, RoleMap};
use crate::routes::Sticky;
use crate::run::state::{End, Phase, Run};
use crate::run::{Event, Input, Rejection};
use crate::target;
use crate::time::Timestamp;
use crate::weight::Weight;

pub(super) fn decide(
    run: &Run,
    holding: &Holding<Input>,
    input: &Input,
    now: Timestamp,
) -> Result<Decision<Event>, Rejection> {
    if let Input::HeldDue { number } = input {
        return release(run, holding, *number, now);
    }
    let mut draft = Draft { run: run.clone(), events: vec![], tells: vec![], now };
    match input {
        Input::Resolve { actor, roles, drop, reason } => {
            resolve(&mut draft, holding, *drop, actor, roles, reason)
        }
        Input::Abort { actor, roles, reason } => abort(&mut draft, actor, roles, reason),
        input => hold(&mut draft, holding, input),
    }?;
    Ok(Decision { events: draft.events, tells: draft.tells })
}

/// Keeps it for later. A moment is asked for again by the state.
fn hold(d: &mut Draft, holding: &Holding<Input>, input: &Input) -> Refused {
    let origin = input.origin();
    if origin == Origin::Moment {
        return Err(Rejection::MomentOver);
    }
    if !holding.has_room(origin) {
        return Err(Rejection::HeldFull { held: holding.held.len() });
    }
    d.emit(Event::InputHeld { input: Box::new(input.clone()), at: d.now });
    Ok(())
}

fn resolve(
    d: &mut Draft,
    holding: &Holding<Input>,
    drop: bool,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    reason: &Text,
) -> Refused {
    let by = entitled("resolve", actor, roles, reason)?;
    let nothing = |actual| Err(Rejection::NothingToResolve { actual });
    let Some(quarantine) = &holding.quarantine else { return nothing("it is resolved already") };
    let cause = holding.held.first().filter(|_| quarantine.holds_cause);
    if drop && cause.is_none() {
        return nothing("the input that failed is not held, so it cannot be dropped");
    }
    if drop && cause.is_some_and(|input| input.origin() == Origin::Tell) {
        return nothing("its target said what failed, and counts on it; abort the run instead");
    }
    let dropped: Option<Text> = cause.filter(|_| drop).map(|input| input.name().into());
    let unanswered = cause.filter(|_| drop).and_then(Input::answers).map(|attempt| attempt.number);
    let never_started = drop && d.run.phase == Phase::Absent;
    let why_dropped: Text = format!("its answer was dropped by {by}: {reason}").into();
    let why: Text = format!("its start was dropped by {by}: {reason}").into();
    d.emit(Event::QuarantineResolved { by, reason: reason.clone(), dropped, at: d.now });
    if d.run.phase == Phase::Active {
        let run = d.start().run;
        d.tell_target(target::Input::NoteQuarantine { run, quarantined: false });
    }
    // Its worker has answered and is not heard: another attempt is made.
    if let Some(attempt) =
        unanswered.filter(|number| d.run.attempts_open.iter().any(|open| open.number == *number))
    {
        attempts::decline(d, attempt, &why_dropped)?;
    }
    if never_started {
        d.emit(Event::Ended { end: End::Aborted, why, at: d.now });
    }
    Ok(())
}

/// Decides the first input held, as if it came now.
fn release(
    run: &Run,
    holding: &Holding<Input>,
    number: u64,
    now: Timestamp,
) -> Result<Decision<Event>, Rejection> {
    let (true, Some(first)) = (holding.next() == Some(number), holding.held.first()) else {
        return Err(Rejection::MomentOver);
    };
    let input: Text = first.name().into();
    let released = |refused| Event::InputReleased { number, input: input.clone(), refused };
    let Ok(after) = run.clone().evolve(&released(None)) else { return Err(Rejection::MomentOver) };
    Ok(match ordinary(&after, first, now) {
        Ok(mut decision) => {
            decision.events.insert(0, released(None));
            decision
        }
        Err(no) => Decision { events: vec![released(Some(no.to_string().into()))], tells: vec![] },
    })
}

/// Ends it where it stands. The target takes its traffic away, and needs no run for that.
fn abort(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, reason: &Text) -> Refused {
    let by = entitled("abort", actor, roles, reason)?;
    let wrong = |actual: &str| Rejection::WrongState { verb: "abort", actual: actual.to_owned() };
    let why: Text = format!("aborted by {by} while quarantined: {reason}").into();
    let asked = Event::AbortAsked { by, reason: reason.clone() };
    let Some(start) = d.run.start.clone() else { return Err(wrong("absent")) };
    let run = start.run;
    match d.run.phase {
        Phase::Ended(end) => return Err(Rejection::AlreadyEnded { verb: "abort", end: end.as_str() }),
        Phase::Standby => return Err(wrong("standby")),
        Phase::Absent => {
            d.emit(Event::Ended { end: End::Aborted, why, at: d.now });
            return Ok(());
        }
        Phase::Live => {
            d.emit(asked);
            d.tell_target(target::Input::LeaveLive { run, cause: why });
            return Ok(());
        }
        Phase::Leaving => d.emit(asked),
        Phase::Active => {
            d.emit(asked);
            if let Some(release) = d.run.release().filter(|_| d.run.raised.is_some()) {
                d.emit(Event::RollbackBegan { end: End::Aborted, cause: why.clone(), at: d.now });
                let sticky = start.workflow.rollout().map_or(Sticky::None, |(_, with)| with.sticky.clone());
                let (weight, cause) = (Weight::NONE, why.clone());
                d.tell_target(target::Input::ShiftWeights { run, release, weight, sticky, cause });
            }
        }
    }
    let end = d.run.leaving.as_ref().map_or(End::Aborted, |leaving| leaving.end);
    d.emit(Event::Ended { end, why, at: d.now });
    d.tell_target(target::Input::Leave { run });
    Ok(())
}
