//! What a quarantined target still does: it lowers, has that carried out, and notes what it hears of gateways and
//! servers. All else it holds, and what would raise anybody's share it refuses as if it were frozen.
//!
//! Small and total, on the last good state: it must not fail where the ordinary decision did. It tells runs nothing
//! but to leave; what they missed they hear when the last held input was released.

use std::cmp::Ordering;

use super::people::entitled;
use super::{Draft, Refused, errands, missing, ordinary, runs, traffic};
use crate::decider::{Decider as _, Decision};
use crate::definition::Pinned;
use crate::evidence::Text;
use crate::model::Release;
use crate::name::{Digest, RunId, Subject};
use crate::quarantine::{Holding, Origin};
use crate::roles::{Actor, RoleMap};
use crate::routes::Generation;
use crate::run;
use crate::target::state::{Errand, Target};
use crate::target::{Event, Input, Rejection};
use crate::time::Timestamp;
use crate::weight::Weight;
use crate::work::{GatewayObserved, Outcome, ServerLoaded};

pub(super) fn decide(
    target: &Target,
    holding: &Holding<Input>,
    input: &Input,
    now: Timestamp,
) -> Result<Decision<Event>, Rejection> {
    let mut draft = Draft { target: target.clone(), events: vec![], tells: vec![], now };
    let d = &mut draft;
    match input {
        Input::HeldDue { number } => return release(target, holding, *number, now),
        Input::Resolve { actor, roles, drop, reason } => resolve(d, holding, *drop, actor, roles, reason)?,
        Input::Kill { actor, roles, bundle, reason } => kill(d, actor, roles, *bundle, reason)?,
        Input::RollBack { actor, roles, to, reason } => roll_back(d, actor, roles, *to, reason)?,
        Input::LeaveLive { run, cause } => leave_live(d, *run, cause)?,
        Input::ShiftWeights { run, release, weight, cause, .. } => lower(d, *run, release, *weight, cause),
        Input::Report { attempt, outcome } => report(d, attempt.number, outcome)?,
        Input::ReportRoutes { gateways } => observed(d, gateways)?,
        Input::ReportLoaded { servers } => loaded(d, servers)?,
        Input::Leave { run } if !enters(holding, *run) => d.emit(Event::RunLeft { run: *run }),
        Input::LeaveSlot { run } if d.target.slot == Some(*run) => d.emit(Event::SlotLeft { run: *run }),
        Input::NoteQuarantine { run, quarantined } if !enters(holding, *run) => {
            runs::note_quarantine(d, *run, *quarantined)?;
        }
        Input::Decline { attempt, reason } => errands::decline(d, attempt.number, reason)?,
        Input::LeaseEnded { attempt, heard_at } => errands::expire(d, attempt.number, *heard_at)?,
        Input::BackoffOver { what } => errands::backoff_over(d, *what)?,
        input => hold(d, holding, input)?,
    }
    go_on(d);
    errands::issue(d);
    Ok(Decision { events: draft.events, tells: draft.tells })
}

/// Whether the run's entry is held: then its leaving comes after it.
fn enters(holding: &Holding<Input>, run: RunId) -> bool {
    holding.held.iter().any(|held| matches!(held, Input::Enter { run: entering, .. } if *entering == run))
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
    let by = entitled(&d.target, "resolve", actor, roles, reason)?;
    let nothing = |actual| Err(Rejection::NothingToResolve { actual });
    let Some(quarantine) = &holding.quarantine else { return nothing("it is resolved already") };
    let cause = holding.held.first().filter(|_| quarantine.holds_cause);
    if drop && cause.is_none() {
        return nothing("the input that failed is not held, so it cannot be dropped");
    }
    let dropped = cause.filter(|_| drop);
    let why: Text = format!("dropped by {by}: {reason}").into();
    let name = dropped.map(|input| input.name().into());
    d.emit(Event::QuarantineResolved { by, reason: reason.clone(), dropped: name, at: d.now });
    if let Some(input) = dropped {
        answer_dropped(d, input, why);
    }
    if d.target.holding.is_none() {
        catch_up(d);
    }
    Ok(())
}

/// A run whose ask is dropped would wait for ever: it ends.
fn answer_dropped(d: &mut Draft, input: &Input, cause: Text) {
    match input {
        Input::Enter { run, .. } => d.tell(*run, run::Input::EntryRefused { why: cause }),
        Input::AskSlot { run } | Input::PrepareRelease { run, .. } | Input::TakeLive { run, .. } => {
            let generation = generation(d);
            d.tell(*run, run::Input::LeaveOrdered { cause, generation });
        }
        _ => {}
    }
}

/// Decides the first input held, as if it came now.
fn release(
    target: &Target,
    holding: &Holding<Input>,
    number: u64,
    now: Timestamp,
) -> Result<Decision<Event>, Rejection> {
    let (true, Some(first)) = (holding.next() == Some(number), holding.held.first()) else {
        return Err(Rejection::MomentOver);
    };
    let input: Text = first.name().into();
    let released = |refused| Event::InputReleased { number, input: input.clone(), refused };
    let Ok(after) = target.clone().evolve(&released(None)) else { return Err(Rejection::MomentOver) };
    let (refused, decided) = match ordinary(&after, first, now) {
        Ok(decided) => (None, decided),
        Err(no) => (Some(no.to_string().into()), Decision { events: vec![], tells: vec![] }),
    };
    let mut d = Draft { target: target.clone(), events: vec![], tells: decided.tells, now };
    d.emit(released(refused));
    for event in decided.events {
        d.emit(event);
    }
    if d.target.holding.is_none() {
        catch_up(&mut d);
        errands::issue(&mut d);
    }
    Ok(Decision { events: d.events, tells: d.tells })
}

/// What the runs missed: who is loaded, who is obeyed, and that they may ask again.
fn catch_up(d: &mut Draft) {
    let generation = d.target.observed;
    let leaving = d.target.leaving.as_ref().and_then(|leaving| leaving.release.run);
    let mut waiting: Vec<_> = [d.target.raised_for, d.target.slot, leaving].into_iter().flatten().collect();
    waiting.sort_unstable();
    waiting.dedup();
    let raised = d.target.table.as_ref().map(|table| table.generation);
    let left = d.target.leaving.as_ref().filter(|leaving| {
        d.target.table.as_ref().is_some_and(|table| table.weight_of(&leaving.release) == Weight::NONE)
    });
    if let (Some(run), Some(generation)) = (left.and_then(|leaving| leaving.release.run), raised) {
        d.tell(run, run::Input::ShiftAccepted { generation });
    }
    if raised.is_some_and(|raised| generation >= raised) {
        for run in waiting {
            d.tell(run, run::Input::ShiftObserved { generation });
        }
    }
    if let Some(run) = d.target.slot {
        if d.target.wanted.as_ref().is_some_and(|wanted| d.target.is_loaded(wanted)) {
            d.tell(run, run::Input::PrepareDone);
        }
        if d.target.frozen.is_none() {
            d.tell(run, run::Input::Thawed);
        }
    }
    runs::grant_next(d);
    traffic::settle(d);
    errands::serve_adopted(d);
}

/// Out at once, wherever it has or may get traffic.
fn kill(d: &mut Draft, actor: &Actor, roles: &Pinned<RoleMap>, bundle: Digest, reason: &Text) -> Refused {
    let by = entitled(&d.target, "kill", actor, roles, reason)?;
    let cause: Text = format!("killed by {by} while quarantined: {reason}").into();
    let live = d.target.live.as_ref().map(|live| live.release.clone());
    let routes = d.target.table.iter().flat_map(|table| &table.routes).map(|route| route.release.clone());
    let good = d.target.last_good.as_ref().map(|good| good.release.clone());
    let mut known = live.iter().cloned().chain(routes).chain(d.target.wanted.clone()).chain(good);
    let Some(release) = known.find(|release| release.bundle == bundle) else {
        return Err(Rejection::NotServing { release: bundle.short() });
    };
    d.emit(Event::ReleaseKilled { release: release.clone(), by: by.clone(), reason: reason.clone() });
    freeze(d, &by, &cause);
    let leaving = d.target.leaving.clone().filter(|leaving| leaving.to.as_ref() == Some(&release));
    if let Some(leaving) = leaving {
        // What the live release is taken back to is no way back any more: nobody answers instead.
        let (leaves, by) = (leaving.release, Some(by));
        d.emit(Event::ReleaseRolledBack { release: leaves, to: None, cause: cause.clone(), by });
        go_on(d);
        if let Some(run) = release.run {
            d.tell(run, run::Input::ReleaseEnded { why: cause });
        }
    } else if live.as_ref() == Some(&release) {
        let to = d.target.last_good.as_ref().map(|good| good.release.clone());
        leave(d, &release, to, &cause, Some(&by));
    } else {
        let generation = take_out(d, &release, &cause);
        if let Some(run) = release.run {
            d.tell(run, run::Input::LeaveOrdered { cause, generation });
        }
    }
    Ok(())
}

fn roll_back(
    d: &mut Draft,
    actor: &Actor,
    roles: &Pinned<RoleMap>,
    to: Option<Digest>,
    reason: &Text,
) -> Refused {
    let by = entitled(&d.target, "roll back", actor, roles, reason)?;
    let Some(live) = d.target.live.as_ref().map(|live| live.release.clone()) else {
        return Err(Rejection::NothingLive);
    };
    let good = d.target.last_good.as_ref().map(|good| good.release.clone());
    let wanted = good.filter(|good| to.is_none_or(|to| to == good.bundle));
    let Some(good) = wanted.filter(|_| d.target.leaving.is_none()) else {
        let release = to.map_or("the last good release".to_owned(), |to| to.short());
        return Err(Rejection::NotARollback { release, actual: "not the last good release, or on its way" });
    };
    let cause: Text = format!("rolled back by {by} while quarantined: {reason}").into();
    freeze(d, &by, &cause);
    leave(d, &live, Some(good), &cause, Some(&by));
    Ok(())
}

/// The live release's run wants it gone, by its workflow's own rule.
fn leave_live(d: &mut Draft, run: RunId, cause: &Text) -> Refused {
    let live = d.target.live.as_ref().map(|live| live.release.clone());
    let Some(live) = live.filter(|live| live.run == Some(run) && d.target.leaving.is_none()) else {
        return Err(Rejection::NothingLive);
    };
    let Some(good) = d.target.last_good.as_ref().map(|good| good.release.clone()) else {
        d.tell(run, run::Input::ShiftRefused { why: run::ShiftRefusal::NoLastGood });
        return Ok(());
    };
    leave(d, &live, Some(good), cause, None);
    Ok(())
}

/// A run lowers its own release; to raise it, it has to wait as for a frozen target.
fn lower(d: &mut Draft, run: RunId, release: &Release, weight: Weight, cause: &Text) {
    let has = d.target.table.as_ref().map_or(Weight::NONE, |table| table.weight_of(release));
    let answer = match weight.cmp(&has) {
        Ordering::Greater => run::Input::ShiftRefused { why: run::ShiftRefusal::Frozen },
        Ordering::Equal => run::Input::ShiftAccepted { generation: generation(d) },
        Ordering::Less => run::Input::ShiftAccepted { generation: take_out(d, release, cause) },
    };
    d.tell(run, answer);
}

fn generation(d: &Draft) -> Generation {
    d.target.table.as_ref().map(|table| table.generation).unwrap_or_default()
}

/// Takes a candidate out: what keeps the rest gets all.
fn take_out(d: &mut Draft, release: &Release, cause: &Text) -> Generation {
    let serves = d.target.table.as_ref().is_some_and(|table| table.weight_of(release) > Weight::NONE);
    if !serves || d.target.id.is_none() {
        return generation(d);
    }
    let rest = d.target.keeps_the_rest().filter(|rest| rest.bundle != release.bundle).cloned();
    let table = traffic::only(d, rest.as_ref());
    traffic::raise(d, table, cause, release.run)
}

/// The live release leaves, to `to` or to nobody.
fn leave(d: &mut Draft, live: &Release, to: Option<Release>, cause: &Text, by: Option<&Subject>) {
    let holder = d.target.slot.filter(|run| Some(*run) != live.run);
    let (release, by) = (live.clone(), by.cloned());
    d.emit(Event::ReleaseRolledBack { release, to, cause: cause.clone(), by });
    go_on(d);
    let leaving = d.target.table.as_ref().filter(|table| table.weight_of(live) == Weight::NONE);
    let generation = leaving.map(|table| table.generation).unwrap_or_default();
    for run in [live.run, holder].into_iter().flatten() {
        d.tell(run, run::Input::LeaveOrdered { cause: cause.clone(), generation });
    }
}

/// Raises the table of a release that leaves once what it goes back to is loaded.
fn go_on(d: &mut Draft) {
    let Some(leaving) = d.target.leaving.clone().filter(|_| d.target.id.is_some()) else { return };
    if leaving.to.as_ref().is_none_or(|to| d.target.is_loaded(to)) {
        let table = traffic::only(d, leaving.to.as_ref());
        traffic::raise(d, table, &leaving.cause, leaving.release.run);
    }
}

fn freeze(d: &mut Draft, by: &Subject, cause: &Text) {
    if d.target.frozen.is_none() {
        d.emit(Event::TargetFrozen { until: None, by: Some(by.clone()), reason: cause.clone() });
    }
}

/// What an errand's worker found: noted, and tried again until it is as wanted.
fn report(d: &mut Draft, attempt: u32, outcome: &Outcome) -> Refused {
    let open = |what: Errand| d.target.errand(what).open.is_some_and(|(open, _)| open == attempt);
    let what = Errand::ALL.into_iter().find(|what| open(*what));
    match (what, outcome) {
        (Some(Errand::Prepare), Outcome::Prepared { servers }) => {
            let has =
                |release: &Release| servers.iter().all(|server| server.bundles.contains(&release.bundle));
            let silent = missing::silent_server(&d.target, servers).is_some();
            if !servers.is_empty() && !silent && d.target.keep_loaded().iter().all(has) {
                missing::note_servers(d, servers);
                d.emit(Event::ReleaseLoaded { servers: servers.clone(), attempt: Some(attempt) });
                return Ok(());
            }
            failed(d, attempt, Errand::Prepare, "NOT_LOADED");
            if errands::news_of_servers(d, servers) || errands::makes_sure(d, servers, attempt) {
                missing::note_servers(d, servers);
                d.emit(Event::ReleaseLoaded { servers: servers.clone(), attempt: Some(attempt) });
            }
            Ok(())
        }
        (Some(Errand::Apply), Outcome::Applied { gateways }) => {
            if errands::not_obeyed(d, gateways).is_none() {
                missing::note_gateways(d, gateways);
                d.emit(Event::RoutesObserved { gateways: gateways.clone(), attempt: Some(attempt) });
                return Ok(());
            }
            failed(d, attempt, Errand::Apply, "NOT_OBEYED");
            observed(d, gateways).or(Ok(()))
        }
        (Some(what), Outcome::CouldNotTell { code, .. }) => {
            failed(d, attempt, what, code);
            Ok(())
        }
        (None, Outcome::Prepared { servers }) => loaded(d, servers),
        (None, Outcome::Applied { gateways }) => observed(d, gateways),
        _ => Err(Rejection::Late { attempt }),
    }
}

fn failed(d: &mut Draft, attempt: u32, what: Errand, code: &str) {
    errands::failed(d, attempt, what, &code.into(), &"the target is quarantined".into());
}

fn loaded(d: &mut Draft, servers: &[ServerLoaded]) -> Refused {
    if !errands::news_of_servers(d, servers) {
        return Err(Rejection::NothingNew);
    }
    missing::note_servers(d, servers);
    d.emit(Event::ReleaseLoaded { servers: servers.to_vec(), attempt: None });
    Ok(())
}

fn observed(d: &mut Draft, gateways: &[GatewayObserved]) -> Refused {
    if !errands::news_of_gateways(d, gateways) {
        return Err(Rejection::NothingNew);
    }
    missing::note_gateways(d, gateways);
    d.emit(Event::RoutesObserved { gateways: gateways.to_vec(), attempt: None });
    Ok(())
}
