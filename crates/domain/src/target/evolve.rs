//! What is true of a target after an event. Frozen once an event is released; parses nothing.

use super::state::{
    BAD_MAX, Errand, ErrandState, Frozen, LastGood, LeavingRelease, Live, Target, UnderWay, Unfenced,
};
use super::{Event, Input};
use crate::decider::IllegalEvent;
use crate::model::Release;
use crate::name::Digest;
use crate::quarantine::{Holding, Quarantine};
use crate::routes::Generation;
use crate::weight::Weight;
use crate::work::{GatewayObserved, ServerLoaded};

pub(super) fn evolve(target: &mut Target, event: &Event) -> Result<(), IllegalEvent> {
    apply(target, event).ok_or_else(|| {
        let state = target.id.as_ref().map_or("unknown".to_owned(), ToString::to_string);
        IllegalEvent { event: event.name(), state }
    })
}

/// Nothing when the event does not fit: an unknown attempt, a generation that does not grow.
fn apply(target: &mut Target, event: &Event) -> Option<()> {
    match event {
        Event::RunEntered { target: id, run, version, artifact } => {
            target.id.get_or_insert_with(|| id.clone());
            let (run, version, artifact) = (*run, version.clone(), *artifact);
            target.under_way.push(UnderWay { run, version, artifact, moved: false, quarantined: false });
        }
        Event::RunSuperseded { run, .. } | Event::RunLeft { run } => {
            target.under_way.retain(|entry| entry.run != *run);
            leave_slot(target, *run);
        }
        Event::QuarantineNoted { run, quarantined } => {
            target.under_way.iter_mut().find(|entry| entry.run == *run)?.quarantined = *quarantined;
        }
        Event::SlotGranted { run } => {
            if target.slot.is_some() {
                return None;
            }
            target.slot = Some(*run);
            target.queue.retain(|waiting| waiting != run);
        }
        Event::RunQueued { run, .. } => target.queue.push(*run),
        Event::SlotLeft { run } => leave_slot(target, *run),
        Event::ReleaseWanted { release, .. } => target.wanted = Some(release.clone()),
        Event::ReleaseLoaded { servers, attempt } => {
            // One that failed was closed by that; what it found loaded is told nevertheless.
            if let Some(attempt) = attempt.filter(|_| target.prepare.open.is_some()) {
                close(&mut target.prepare, attempt)?;
                target.prepare.failures = 0;
                target.prepare.last_failure = None;
            }
            hear_servers(target, servers);
            if attempt.is_some() {
                note_fenced(target, servers);
            }
        }
        Event::GenerationRaised { table, run, at, .. } => {
            let current = target.table.as_ref().map_or(Generation::default(), |table| table.generation);
            if table.generation <= current || !table.is_sound() {
                return None;
            }
            if let Some(entry) = target.under_way.iter_mut().find(|entry| Some(entry.run) == *run) {
                entry.moved |= table
                    .routes
                    .iter()
                    .any(|route| route.release.run == Some(entry.run) && route.weight > Weight::NONE);
            }
            target.table = Some(table.clone());
            target.raised_at = *at;
            target.raised_for = *run;
        }
        Event::RoutesObserved { gateways, attempt } => {
            if let Some(attempt) = attempt {
                close(&mut target.apply, *attempt)?;
                target.apply.failures = 0;
                target.apply.last_failure = None;
            }
            for gateway in gateways {
                replace(&mut target.gateways, gateway.clone(), |gateway: &GatewayObserved| {
                    gateway.gateway.clone()
                });
            }
            target.observed = least_observed(target);
        }
        Event::GatewayMissing { gateway, .. } => {
            let place = target.gateways.iter().position(|known| known.gateway == *gateway)?;
            target.gateways.remove(place);
            target.observed = least_observed(target);
        }
        Event::ServerMissing { server, .. } => {
            let place = target.servers.iter().position(|known| known.server == *server)?;
            target.servers.remove(place);
        }
        Event::LiveChanged { from, to, generation, warm_until, at } => {
            let restored = target.last_good.as_ref().is_some_and(|good| Some(&good.release) == to.as_ref());
            let good = from.clone().filter(|from| !target.bad.contains(&from.bundle));
            if let Some(release) = good {
                target.last_good = Some(LastGood { release, warm_until: *warm_until, cold: false });
            } else if restored {
                target.last_good = None;
            }
            target.leaving = None;
            let (since, generation) = (*at, *generation);
            target.live = to.clone().map(|release| Live { release, since, generation });
        }
        Event::ReleaseRolledBack { release, to, cause, .. } => {
            remember_bad(target, release.bundle);
            target.leaving =
                Some(LeavingRelease { release: release.clone(), to: to.clone(), cause: cause.clone() });
        }
        Event::ReleaseKilled { release, .. } => {
            remember_bad(target, release.bundle);
            let is_killed = |other: &Release| other.bundle == release.bundle;
            target.last_good = target.last_good.take().filter(|good| !is_killed(&good.release));
            target.wanted = target.wanted.take().filter(|wanted| !is_killed(wanted));
        }
        Event::ReleaseAdopted { target: id, release, at, .. } => {
            target.id.get_or_insert_with(|| id.clone());
            let (release, generation) = (release.clone(), Generation::default());
            target.live = Some(Live { release, since: *at, generation });
        }
        Event::ReleaseCooled { .. } => target.last_good.as_mut()?.cold = true,
        Event::OverrideObserved { .. } => {}
        Event::TargetFrozen { until, by, reason } => {
            target.frozen = Some(Frozen { until: *until, by: by.clone(), reason: reason.clone() });
        }
        Event::TargetUnfrozen { .. } => target.frozen = None,
        Event::AttemptIssued { attempt, what, at } => {
            if *attempt != target.attempts_issued + 1 {
                return None;
            }
            target.attempts_issued = *attempt;
            let releases = target.keep_loaded();
            if *what == Errand::Prepare {
                note_unfenced(target, &releases);
            }
            let generation = target.table.as_ref().map(|table| table.generation).unwrap_or_default();
            let errand = errand_mut(target, *what);
            errand.open = Some((*attempt, *at));
            errand.retry_at = None;
            match what {
                Errand::Prepare => errand.releases = releases,
                Errand::Apply => errand.generation = generation,
            }
        }
        Event::AttemptFailed { attempt, what, code, reason, retry_at } => {
            let errand = errand_mut(target, *what);
            close(errand, *attempt)?;
            errand.failures += 1;
            errand.retry_at = Some(*retry_at);
            errand.last_failure = Some(format!("{code}: {reason}").into());
        }
        Event::AttemptExpired { attempt, what, retry_at, .. } => {
            let errand = errand_mut(target, *what);
            close(errand, *attempt)?;
            errand.failures += 1;
            errand.retry_at = Some(*retry_at);
            errand.last_failure = Some("no worker was heard of".into());
        }
        Event::AttemptDeclined { attempt, what, .. } | Event::AttemptCancelled { attempt, what } => {
            close(errand_mut(target, *what), *attempt)?;
        }
        Event::StreamQuarantined { why, holds_cause, at } => {
            let quarantine = Quarantine { why: why.clone(), since: *at, holds_cause: *holds_cause };
            Holding::quarantine(&mut target.holding, quarantine);
        }
        Event::InputHeld { input, .. } => {
            if let Input::Enter { target: id, .. } | Input::Adopt { target: id, .. } = &**input {
                target.id.get_or_insert_with(|| id.clone());
            }
            Holding::hold(&mut target.holding, Input::clone(input));
        }
        Event::QuarantineResolved { dropped, at, .. } => {
            Holding::resolve(&mut target.holding, dropped.is_some(), *at);
        }
        Event::InputReleased { .. } => Holding::release(&mut target.holding),
        Event::ChapterOpened { carried, .. } => {
            target.clone_from(carried);
            return Some(());
        }
    }
    target.chapter.count();
    Some(())
}

pub(super) fn hear_servers(target: &mut Target, servers: &[ServerLoaded]) {
    for server in servers {
        replace(&mut target.servers, server.clone(), |server: &ServerLoaded| server.server.clone());
    }
}

/// An attempt was issued: it keeps nothing but these.
fn note_unfenced(target: &mut Target, releases: &[Release]) {
    let loaded = releases.iter().filter(|release| target.is_loaded(release));
    target.unfenced = Some(Unfenced { kept: loaded.map(|release| release.bundle).collect() });
}

/// The last attempt that was issued has ended, and has been at these servers.
fn note_fenced(target: &mut Target, servers: &[ServerLoaded]) {
    let is_heard = |known: &ServerLoaded| servers.iter().any(|server| server.server == known.server);
    if servers.is_empty() || !target.servers.iter().all(is_heard) {
        return;
    }
    let has = |bundle: &Digest| target.servers.iter().all(|server| server.bundles.contains(bundle));
    let wanted = target.prepare.releases.iter().map(|release| release.bundle);
    let kept: Vec<Digest> = wanted.filter(has).collect();
    target.unfenced = (kept.len() < target.prepare.releases.len()).then_some(Unfenced { kept });
}

fn least_observed(target: &Target) -> Generation {
    target.gateways.iter().map(|gateway| gateway.generation).min().unwrap_or_default()
}

fn errand_mut(target: &mut Target, what: Errand) -> &mut ErrandState {
    match what {
        Errand::Prepare => &mut target.prepare,
        Errand::Apply => &mut target.apply,
    }
}

fn close(errand: &mut ErrandState, attempt: u32) -> Option<()> {
    if errand.open.is_none_or(|(open, _)| open != attempt) {
        return None;
    }
    errand.open = None;
    Some(())
}

fn leave_slot(target: &mut Target, run: crate::name::RunId) {
    target.queue.retain(|waiting| *waiting != run);
    if target.slot == Some(run) {
        target.slot = None;
        target.wanted = None;
    }
}

fn remember_bad(target: &mut Target, bundle: Digest) {
    if !target.bad.contains(&bundle) {
        target.bad.push(bundle);
    }
    if target.bad.len() > BAD_MAX {
        target.bad.remove(0);
    }
}

/// Puts `new` in the place of the one with its name, keeping them sorted by name.
fn replace<T, K: Ord>(all: &mut Vec<T>, new: T, name: impl Fn(&T) -> K) {
    match all.binary_search_by_key(&name(&new), &name) {
        Ok(place) => all[place] = new,
        Err(place) => all.insert(place, new),
    }
}
