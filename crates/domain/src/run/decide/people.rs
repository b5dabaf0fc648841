//! What people ask of a run: pause, resume, abort, promote, retry. Each says who and why.

use super::{Draft, Refused, rollout, stages};
use crate::definition::Pinned;
use crate::evidence::Text;
use crate::name::{StageName, Subject};
use crate::roles::{Actor, OPERATOR, RoleMap};
use crate::run::state::{End, Phase, Purpose, StageState};
use crate::run::{Event, Rejection};
use crate::target;
use crate::weight::Weight;
use crate::workflow::With;

/// Who asks, if they may and say why.
pub(super) fn entitled(
    verb: &'static str,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    reason: &Text,
) -> Result<Subject, Rejection> {
    let subject = actor.person().clone();
    if !roles.may_operate(&subject) {
        return Err(Rejection::NotEntitled { verb, role: OPERATOR.to_owned(), subject: subject.to_string() });
    }
    if reason.trim().is_empty() {
        return Err(Rejection::NoRationale);
    }
    Ok(subject)
}

fn wrong_state(d: &Draft, verb: &'static str) -> Rejection {
    let paused = if d.run.paused_at.is_some() { " and paused" } else { "" };
    Rejection::WrongState { verb, actual: format!("{}{paused}", d.run.phase.as_str()) }
}

pub(super) fn pause(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, reason: &Text) -> Refused {
    let by = entitled("pause", actor, roles, reason)?;
    if !matches!(d.run.phase, Phase::Active | Phase::Live) || d.run.paused_at.is_some() {
        return Err(wrong_state(d, "pause"));
    }
    d.emit(Event::Paused { by, reason: reason.clone(), at: d.now });
    Ok(())
}

pub(super) fn resume(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, reason: &Text) -> Refused {
    let by = entitled("resume", actor, roles, reason)?;
    if d.run.paused_at.is_none() {
        return Err(wrong_state(d, "resume"));
    }
    d.emit(Event::Resumed { by, reason: reason.clone(), at: d.now });
    stages::begin_ready(d);
    rollout::go_on(d);
    Ok(())
}

/// Accepted in every state in which the release could have traffic.
pub(super) fn abort(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, reason: &Text) -> Refused {
    let by = entitled("abort", actor, roles, reason)?;
    if d.run.phase == Phase::Standby {
        return Err(wrong_state(d, "abort"));
    }
    d.emit(Event::AbortAsked { by: by.clone(), reason: reason.clone() });
    let why: Text = format!("aborted by {by}: {reason}").into();
    match d.run.phase {
        Phase::Live => {
            let run = d.start().run;
            d.tell_target(target::Input::LeaveLive { run, cause: why });
        }
        Phase::Active => stages::end(d, End::Aborted, &why),
        // The traffic is being taken away already.
        Phase::Leaving | Phase::Standby | Phase::Absent | Phase::Ended(_) => {}
    }
    Ok(())
}

/// Goes on without waiting for more evidence.
pub(super) fn promote(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    to: Option<Weight>,
    reason: &Text,
) -> Refused {
    let by = entitled("promote", actor, roles, reason)?;
    let (next, index) = rollout::promotable(d, to)?;
    d.emit(Event::PromotionAsked { by: by.clone(), to, reason: reason.clone() });
    rollout::promote(d, index, next, &format!("promoted by {by}: {reason}").into());
    Ok(())
}

/// Tries a stage again now that waits for its backoff.
pub(super) fn retry(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    name: &StageName,
    reason: &Text,
) -> Refused {
    let by = entitled("retry", actor, roles, reason)?;
    let (index, stage) = d.stage("retry", name)?;
    let waits = stage.state == StageState::Working && stage.retry_at.is_some();
    let purpose = match &d.workflow().stages[index].with {
        With::Package(_) if waits => Purpose::Package,
        With::StageTest(_) if waits => Purpose::Test,
        _ => {
            let actual = format!("stage `{name}` does not wait for a retry");
            return Err(Rejection::WrongState { verb: "retry", actual });
        }
    };
    let live = d.run.live.clone();
    d.emit(Event::StageReopened { stage: name.clone(), why: format!("retry by {by}: {reason}").into() });
    d.emit(Event::StageBegan { stage: name.clone(), live, at: d.now });
    stages::issue(d, name, purpose);
    Ok(())
}
