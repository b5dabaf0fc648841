//! What people ask of a target: roll back, kill, freeze, unfreeze, adopt. Each says who and why.

use super::{Draft, Refused, traffic};
use crate::definition::Pinned;
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, Subject, TargetId};
use crate::roles::{Actor, RoleMap};
use crate::run;
use crate::target::{Event, LeavingRelease, Rejection, Target};
use crate::time::Timestamp;

pub(super) fn entitled(
    target: &Target,
    verb: &'static str,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    reason: &Text,
) -> Result<Subject, Rejection> {
    let subject = actor.person().clone();
    if !roles.may_operate(&subject) {
        return Err(Rejection::NotEntitled { verb, subject: subject.to_string() });
    }
    if reason.trim().is_empty() {
        return Err(Rejection::NoReason);
    }
    if target.id.is_none() && !OF_UNKNOWN.contains(&verb) {
        return Err(Rejection::UnknownTarget { verb });
    }
    Ok(subject)
}

const ADOPT: &str = "adopt";
/// What may be asked of a target that nobody knows yet: its first input may have failed.
const OF_UNKNOWN: [&str; 2] = [ADOPT, "resolve"];

/// Back to the last good release, and frozen until somebody unfreezes it. Needs no slot.
pub(super) fn roll_back(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    to: Option<Digest>,
    reason: &Text,
) -> Refused {
    let by = entitled(&d.target, "roll back", actor, roles, reason)?;
    let Some(live) = d.target.live.clone() else { return Err(Rejection::NothingLive) };
    let no = |release: String, actual| Err(Rejection::NotARollback { release, actual });
    let good = d.target.last_good.as_ref().map(|good| good.release.clone());
    let to = match (to, good) {
        (Some(wanted), _) if wanted == live.release.bundle => return no(wanted.short(), "live"),
        (Some(wanted), _) if d.target.bad.contains(&wanted) => {
            return no(wanted.short(), "rolled back or killed");
        }
        (None, Some(good)) => good,
        (Some(wanted), Some(good)) if good.bundle == wanted => good,
        (Some(wanted), _) => return no(wanted.short(), "not the last good release"),
        (None, None) => return no("the last good release".to_owned(), "unknown: no other release went live"),
    };
    if d.target.leaving.is_some() {
        return no(to.version.to_string(), "being rolled back to already");
    }
    let cause: Text = format!("rolled back by {by}: {reason}").into();
    freeze_for(d, &by, &cause);
    traffic::roll_back_live(d, Some(to), &cause, Some(&by));
    Ok(())
}

fn freeze_for(d: &mut Draft, by: &Subject, cause: &Text) {
    if d.target.frozen.is_none() {
        d.emit(Event::TargetFrozen { until: None, by: Some(by.clone()), reason: cause.clone() });
    }
}

/// Takes a release out at once, wherever it has or may get traffic.
pub(super) fn kill(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    bundle: Digest,
    reason: &Text,
) -> Refused {
    let by = entitled(&d.target, "kill", actor, roles, reason)?;
    let is = |release: &&Release| release.bundle == bundle;
    let live = d.target.live.as_ref().map(|live| &live.release).filter(is).cloned();
    let routed =
        d.target.table.iter().flat_map(|table| &table.routes).map(|route| &route.release).find(is).cloned();
    let candidate = d.target.wanted.as_ref().filter(is).cloned().or(routed);
    let good = d.target.last_good.as_ref().map(|good| &good.release).filter(is).cloned();
    let cause: Text = format!("killed by {by}: {reason}").into();
    let killed = |release: Release| Event::ReleaseKilled { release, by: by.clone(), reason: reason.clone() };
    let leaving = d.target.leaving.clone().filter(|leaving| leaving.to.as_ref().is_some_and(|to| is(&to)));
    if let Some(LeavingRelease { release, to: Some(to), .. }) = leaving {
        // What the live release is taken back to is no way back any more: nobody answers instead.
        d.emit(killed(to.clone()));
        freeze_for(d, &by, &cause);
        traffic::take_back_to_nobody(d, release, &cause, &by);
        if let Some(run) = to.run {
            d.tell(run, run::Input::ReleaseEnded { why: cause });
        }
    } else if let Some(live) = live {
        d.emit(killed(live));
        freeze_for(d, &by, &cause);
        let to = d.target.last_good.as_ref().map(|good| good.release.clone());
        traffic::roll_back_live(d, to, &cause, Some(&by));
    } else if let Some(candidate) = candidate {
        d.emit(killed(candidate.clone()));
        freeze_for(d, &by, &cause);
        let table = traffic::only(d, d.target.keeps_the_rest().cloned().as_ref());
        let generation = traffic::raise(d, table, &cause, candidate.run);
        if let Some(run) = candidate.run {
            d.tell(run, run::Input::LeaveOrdered { cause, generation });
        }
    } else if let Some(good) = good {
        d.emit(killed(good.clone()));
        freeze_for(d, &by, &cause);
        if let Some(run) = good.run {
            d.tell(run, run::Input::ReleaseEnded { why: cause });
        }
    } else {
        return Err(Rejection::NotServing { release: bundle.short() });
    }
    Ok(())
}

/// Refuses growth of exposure until it is lifted.
pub(super) fn freeze(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    until: Option<Timestamp>,
    reason: &Text,
) -> Refused {
    let by = entitled(&d.target, "freeze", actor, roles, reason)?;
    if d.target.frozen.is_some() {
        return Err(Rejection::AlreadyFrozen);
    }
    d.emit(Event::TargetFrozen { until, by: Some(by), reason: reason.clone() });
    Ok(())
}

pub(super) fn unfreeze(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, reason: &Text) -> Refused {
    let by = entitled(&d.target, "unfreeze", actor, roles, reason)?;
    if d.target.frozen.is_none() {
        return Err(Rejection::NotFrozen);
    }
    thaw(d, Some(by), reason.clone());
    Ok(())
}

pub(super) fn freeze_over(d: &mut Draft) -> Refused {
    let due = d.target.frozen.as_ref().and_then(|frozen| frozen.until).is_some_and(|until| d.now >= until);
    if !due {
        return Err(Rejection::MomentOver);
    }
    thaw(d, None, "its time is over".into());
    Ok(())
}

/// The runs that wait ask again.
fn thaw(d: &mut Draft, by: Option<Subject>, reason: Text) {
    d.emit(Event::TargetUnfrozen { by, reason });
    if let Some(run) = d.target.slot {
        d.tell(run, run::Input::Thawed);
    }
}

/// Takes over what already serves, as a stable release without a run.
pub(super) fn adopt(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    target: &TargetId,
    release: &Release,
    reason: &Text,
) -> Refused {
    let by = entitled(&d.target, ADOPT, actor, roles, reason)?;
    if let Some(live) = &d.target.live {
        return Err(Rejection::AlreadyLive { release: live.release.version.to_string() });
    }
    let release = Release { run: None, ..release.clone() };
    let (target, reason) = (target.clone(), reason.clone());
    d.emit(Event::ReleaseAdopted { target, release: release.clone(), by, reason, at: d.now });
    for run in d.target.under_way.iter().map(|entry| entry.run).collect::<Vec<_>>() {
        let generation = d.target.table.as_ref().map(|table| table.generation).unwrap_or_default();
        d.tell(run, run::Input::LiveChanged { to: Some(release.clone()), generation });
    }
    Ok(())
}

/// The last good release is no longer kept loaded, and no kill switch can turn to it.
pub(super) fn warm_over(d: &mut Draft) -> Refused {
    let good = d.target.last_good.as_ref();
    let due = good.filter(|good| !good.cold && good.warm_until.is_some_and(|until| d.now >= until));
    let Some(release) = due.map(|good| good.release.clone()) else { return Err(Rejection::MomentOver) };
    d.emit(Event::ReleaseCooled { release: release.clone() });
    let table = d.target.table.clone().filter(|table| table.stable.as_ref() == Some(&release));
    if let Some(mut table) = table {
        table.stable = None;
        traffic::raise(d, table, &"the last good release is no longer kept warm".into(), None);
    }
    Ok(())
}
