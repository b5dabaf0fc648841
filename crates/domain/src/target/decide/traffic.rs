//! Traffic: which release answers whom. Every change of intent is a generation; growth needs the slot and no
//! freeze, lowering needs nobody.

use super::{Draft, Refused};
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{RunId, Subject};
use crate::routes::{Generation, Route, RouteTable, Sticky};
use crate::run;
use crate::target::{Event, Rejection};
use crate::time::Millis;
use crate::weight::Weight;

pub(super) struct Wish<'a> {
    pub run: RunId,
    pub release: &'a Release,
    pub weight: Weight,
    pub sticky: &'a Sticky,
    pub cause: &'a Text,
}

/// A run asks for this share; the live release keeps the rest.
pub(super) fn shift(d: &mut Draft, wish: &Wish<'_>) -> Refused {
    if !d.target.under_way.iter().any(|entry| entry.run == wish.run) {
        return Err(Rejection::NotUnderWay { run: wish.run.to_string() });
    }
    let has = d.target.table.as_ref().map_or(Weight::NONE, |table| table.weight_of(wish.release));
    if wish.weight < has && d.target.is_live_run(wish.run) {
        // It was quarantined when it was told that it is live, and gives up a share that is all there is.
        if d.target.leaving.is_none() {
            let to = d.target.last_good.as_ref().map(|good| good.release.clone());
            roll_back_live(d, to, wish.cause, None);
        }
        return Ok(());
    }
    let refusal = if wish.weight <= has {
        None
    } else if d.target.frozen.is_some() {
        Some(run::ShiftRefusal::Frozen)
    } else if d.target.slot != Some(wish.run) {
        Some(run::ShiftRefusal::NoSlot)
    } else if !d.target.is_loaded(wish.release) {
        Some(run::ShiftRefusal::NotLoaded)
    } else {
        None
    };
    if let Some(why) = refusal {
        d.tell(wish.run, run::Input::ShiftRefused { why });
        return Ok(());
    }
    let stable = d.target.keeps_the_rest().cloned();
    let table = two_way(d, stable.as_ref(), wish.release, wish.weight, wish.sticky);
    let generation = raise(d, table, wish.cause, Some(wish.run));
    d.tell(wish.run, run::Input::ShiftAccepted { generation });
    if d.target.observed >= generation {
        d.tell(wish.run, run::Input::ShiftObserved { generation });
    }
    Ok(())
}

/// The stable release and the candidate; nobody when there is no stable one and the candidate leaves.
fn two_way(
    d: &Draft,
    stable: Option<&Release>,
    candidate: &Release,
    weight: Weight,
    sticky: &Sticky,
) -> RouteTable {
    let target = d.target.id.clone().expect("a run under way entered a target that has its name");
    let stable = stable.filter(|stable| stable.bundle != candidate.bundle);
    let weight = if stable.is_none() && weight > Weight::NONE { Weight::ALL } else { weight };
    let mut routes = vec![];
    if let Some(stable) = stable {
        routes.push(Route { release: stable.clone(), weight: weight.rest() });
    }
    if weight > Weight::NONE {
        routes.push(Route { release: candidate.clone(), weight });
    }
    routes.retain(|route| route.weight > Weight::NONE);
    RouteTable {
        target,
        generation: Generation::default(),
        routes,
        stable: stable.cloned(),
        sticky: sticky.clone(),
    }
}

/// Raises the next generation, unless the table already says this.
pub(super) fn raise(d: &mut Draft, mut table: RouteTable, cause: &Text, run: Option<RunId>) -> Generation {
    if let Some(current) = d.target.table.as_ref().filter(|current| current.says_the_same(&table)) {
        return current.generation;
    }
    let current = d.target.table.as_ref().map_or(Generation::default(), |table| table.generation);
    table.generation = current.next();
    let generation = table.generation;
    d.emit(Event::GenerationRaised { table, cause: cause.clone(), run, at: d.now });
    generation
}

/// All traffic to one release, or to nobody.
pub(super) fn only(d: &Draft, release: Option<&Release>) -> RouteTable {
    let target = d.target.id.clone().expect("a target with a release has its name");
    let sticky = d.target.table.as_ref().map_or(Sticky::None, |table| table.sticky.clone());
    let routes = release.map(|release| Route { release: release.clone(), weight: Weight::ALL });
    RouteTable {
        target,
        generation: Generation::default(),
        routes: routes.into_iter().collect(),
        stable: release.cloned(),
        sticky,
    }
}

/// The last step of a rollout was observed and judged: its release is the live one.
pub(super) fn take_live(d: &mut Draft, run: RunId, release: &Release, keep_warm: Millis) -> Refused {
    let table = d.target.table.as_ref();
    let serves_all = table.is_some_and(|table| table.weight_of(release) == Weight::ALL);
    if d.target.slot != Some(run) || !serves_all {
        return Err(Rejection::NotUnderWay { run: run.to_string() });
    }
    let generation = table.map_or(Generation::default(), |table| table.generation);
    let from = d.target.live.as_ref().map(|live| live.release.clone());
    let retired = d.target.last_good.as_ref().map(|good| good.release.clone());
    let warm_until = from.as_ref().map(|_| d.now + keep_warm);
    d.emit(Event::LiveChanged {
        from: from.clone(),
        to: Some(release.clone()),
        generation,
        warm_until,
        at: d.now,
    });
    if let Some(former) = from.as_ref().and_then(|former| former.run) {
        d.tell(former, run::Input::Replaced { by: release.clone() });
    }
    if let Some(retired) =
        retired.filter(|retired| Some(retired) != from.as_ref()).and_then(|retired| retired.run)
    {
        d.tell(retired, run::Input::ReleaseEnded { why: "another release is the last good one".into() });
    }
    // The stable release stays the former one for as long as it is loaded: that is what a kill switch turns to.
    announce(d, Some(release), generation, &[from.and_then(|former| former.run)]);
    Ok(())
}

/// Tells the runs under way which release is live, but for those that were told otherwise.
fn announce(d: &mut Draft, live: Option<&Release>, generation: Generation, told: &[Option<RunId>]) {
    let others = d.target.under_way.iter().map(|entry| entry.run).filter(|run| !told.contains(&Some(*run)));
    for run in others.collect::<Vec<_>>() {
        d.tell(run, run::Input::LiveChanged { to: live.cloned(), generation });
    }
}

/// The live release's run wants it gone, by its workflow's own rule.
pub(super) fn leave_live(d: &mut Draft, run: RunId, cause: &Text) -> Refused {
    if !d.target.is_live_run(run) || d.target.leaving.is_some() {
        return Err(Rejection::NothingLive);
    }
    let Some(good) = d.target.last_good.as_ref().map(|good| good.release.clone()) else {
        d.tell(run, run::Input::ShiftRefused { why: run::ShiftRefusal::NoLastGood });
        return Ok(());
    };
    roll_back_live(d, Some(good), cause, None);
    Ok(())
}

/// The live release leaves, to `to` or to nobody. What it goes back to is loaded first; until then it serves.
pub(super) fn roll_back_live(d: &mut Draft, to: Option<Release>, cause: &Text, by: Option<&Subject>) {
    let Some(live) = d.target.live.clone() else { return };
    let holder = d.target.slot;
    let release = live.release.clone();
    d.emit(Event::ReleaseRolledBack {
        release: release.clone(),
        to: to.clone(),
        cause: cause.clone(),
        by: by.cloned(),
    });
    let ready = to.as_ref().is_none_or(|to| d.target.is_loaded(to));
    let generation = if ready {
        let table = only(d, to.as_ref());
        raise(d, table, cause, release.run)
    } else {
        Generation::default()
    };
    for run in [release.run, holder].into_iter().flatten() {
        d.tell(run, run::Input::LeaveOrdered { cause: cause.clone(), generation });
    }
    settle(d);
}

/// The live release is leaving already, and what it should go back to was killed.
pub(super) fn take_back_to_nobody(d: &mut Draft, release: Release, cause: &Text, by: &Subject) {
    d.emit(Event::ReleaseRolledBack { release, to: None, cause: cause.clone(), by: Some(by.clone()) });
    settle(d);
}

/// Goes on with a rollback of the live release: raised once what it goes back to is loaded, and done once every
/// gateway obeys.
pub(super) fn settle(d: &mut Draft) {
    let Some(leaving) = d.target.leaving.clone() else { return };
    let table = only(d, leaving.to.as_ref());
    let raised = d.target.table.as_ref().is_some_and(|current| current.says_the_same(&table));
    let ready = leaving.to.as_ref().is_none_or(|to| d.target.is_loaded(to));
    if !raised && ready {
        let generation = raise(d, table, &leaving.cause, leaving.release.run);
        if let Some(run) = leaving.release.run {
            d.tell(run, run::Input::ShiftAccepted { generation });
        }
    }
    let raised = d.target.table.as_ref().map(|table| table.generation);
    let Some(generation) = raised.filter(|generation| ready && d.target.observed >= *generation) else {
        return;
    };
    let (from, to) = (Some(leaving.release.clone()), leaving.to.clone());
    d.emit(Event::LiveChanged { from, to: to.clone(), generation, warm_until: None, at: d.now });
    if let Some(run) = to.as_ref().and_then(|to| to.run) {
        d.tell(run, run::Input::Restored { generation });
    }
    announce(d, to.as_ref(), generation, &[leaving.release.run, to.as_ref().and_then(|to| to.run)]);
    super::runs::grant_next(d);
}
