//! What a target has done by itself: releases loaded, gateways made to obey. Outstanding while what is observed is
//! not what is wanted, and repeated without limit.

use super::{Draft, Refused, missing, traffic};
use crate::decider::Decider as _;
use crate::evidence::Text;
use crate::run;
use crate::target::state::{ERRAND_BACKOFF_MAX, ERRAND_BACKOFF_MIN, Errand};
use crate::target::{Event, Rejection};
use crate::time::{Millis, Timestamp};
use crate::work::{GatewayObserved, Outcome, ServerLoaded};
use crate::workflow::Retry;

/// Issues what is outstanding; an open attempt at something else than what is wanted now is withdrawn.
pub(super) fn issue(d: &mut Draft) {
    for what in Errand::ALL {
        let state = d.target.errand(what).clone();
        let wanted_now = match what {
            Errand::Prepare => state.releases == d.target.keep_loaded(),
            Errand::Apply => Some(state.generation) == d.target.table.as_ref().map(|table| table.generation),
        };
        let outstanding = d.target.is_outstanding(what);
        if let Some((attempt, _)) = state.open.filter(|_| !wanted_now || !outstanding) {
            d.emit(Event::AttemptCancelled { attempt, what });
        }
        let state = d.target.errand(what);
        // A new wish does not wait for the backoff of an old one.
        if outstanding && state.open.is_none() && (state.retry_at.is_none() || !wanted_now) {
            let attempt = d.target.attempts_issued + 1;
            d.emit(Event::AttemptIssued { attempt, what, at: d.now });
        }
    }
}

fn find(d: &Draft, attempt: u32) -> Option<Errand> {
    Errand::ALL.into_iter().find(|what| d.target.errand(*what).open.is_some_and(|(open, _)| open == attempt))
}

/// A late answer is still news of what gateways and servers do.
pub(super) fn report(d: &mut Draft, attempt: u32, outcome: &Outcome) -> Refused {
    match (find(d, attempt), outcome) {
        (Some(Errand::Prepare), Outcome::Prepared { servers }) => {
            prepared(d, attempt, servers);
            Ok(())
        }
        (Some(Errand::Apply), Outcome::Applied { gateways }) => {
            applied(d, attempt, gateways);
            Ok(())
        }
        (Some(what), Outcome::CouldNotTell { code, reason, .. }) => {
            failed(d, attempt, what, code, reason);
            Ok(())
        }
        (None, Outcome::Prepared { servers }) => loaded_reported(d, servers),
        (None, Outcome::Applied { gateways }) => routes_reported(d, gateways),
        (None, _) => Err(Rejection::Late { attempt }),
        (Some(what), other) => {
            Err(Rejection::WrongOutcome { expected: what.as_str(), found: crate::run::outcome_name(other) })
        }
    }
}

fn retry_at(d: &Draft, what: Errand) -> Timestamp {
    let retry =
        Retry { attempts: u32::MAX, backoff_min: ERRAND_BACKOFF_MIN, backoff_max: ERRAND_BACKOFF_MAX };
    d.now + retry.backoff(d.target.errand(what).failures + 1)
}

pub(super) fn failed(d: &mut Draft, attempt: u32, what: Errand, code: &Text, reason: &Text) {
    let (code, reason, retry_at) = (code.clone(), reason.clone(), retry_at(d, what));
    d.emit(Event::AttemptFailed { attempt, what, code: code.clone(), reason: reason.clone(), retry_at });
    let waiting = d.target.wanted.as_ref().filter(|wanted| !d.target.is_loaded(wanted)).and(d.target.slot);
    if let (Errand::Prepare, Some(run)) = (what, waiting) {
        d.tell(run, run::Input::PrepareFailed { why: format!("{code}: {reason}").into() });
    }
}

fn prepared(d: &mut Draft, attempt: u32, servers: &[ServerLoaded]) {
    let kept = d.target.keep_loaded();
    let lacking = kept
        .iter()
        .find(|release| servers.is_empty() || servers.iter().any(|s| !s.bundles.contains(&release.bundle)));
    let Some(lacking) = lacking.cloned() else {
        let Some(silent) = missing::silent_server(&d.target, servers) else {
            loaded(d, servers, Some(attempt));
            return;
        };
        if news_of_servers(d, servers) {
            loaded(d, servers, None);
        }
        let who = format!("server {silent} was not heard, and not for long enough to be missing");
        failed(d, attempt, Errand::Prepare, &"SERVER_SILENT".into(), &who.into());
        return;
    };
    let finding = servers.iter().flat_map(|server| &server.failed).next();
    let (code, reason) = match finding {
        Some(finding) => (finding.code.clone(), finding.text.clone()),
        None => ("NOT_LOADED".into(), format!("{} is not loaded", lacking.version).into()),
    };
    failed(d, attempt, Errand::Prepare, &code, &reason);
    if news_of_servers(d, servers) || makes_sure(d, servers, attempt) {
        loaded(d, servers, Some(attempt));
    }
}

/// Whether something is known to be kept from here on, since the attempt that failed has been at every server.
pub(super) fn makes_sure(d: &Draft, servers: &[ServerLoaded], attempt: u32) -> bool {
    let told = Event::ReleaseLoaded { servers: servers.to_vec(), attempt: Some(attempt) };
    let after = d.target.clone().evolve(&told);
    after.is_ok_and(|after| after.unfenced != d.target.unfenced)
}

pub(super) fn news_of_servers(d: &Draft, servers: &[ServerLoaded]) -> bool {
    let missing = missing::missing_servers(&d.target, servers).next().is_some();
    missing
        || servers.iter().any(|server| {
            let known = d.target.servers.iter().find(|known| known.server == server.server);
            known.is_none_or(|known| known.bundles != server.bundles)
        })
}

/// What a server has loaded, and what follows: the slot's holder goes on, a rollback goes on, what is live serves.
fn loaded(d: &mut Draft, servers: &[ServerLoaded], attempt: Option<u32>) {
    let had = d.target.wanted.as_ref().is_some_and(|wanted| d.target.is_loaded(wanted));
    missing::note_servers(d, servers);
    d.emit(Event::ReleaseLoaded { servers: servers.to_vec(), attempt });
    let has = d.target.wanted.as_ref().is_some_and(|wanted| d.target.is_loaded(wanted));
    if let (true, false, Some(run)) = (has, had, d.target.slot) {
        d.tell(run, run::Input::PrepareDone);
    }
    traffic::settle(d);
    serve_adopted(d);
}

/// What was adopted gets its traffic as soon as it is loaded.
pub(super) fn serve_adopted(d: &mut Draft) {
    let nobody = d.target.table.as_ref().is_none_or(|table| table.routes.is_empty());
    let live = d.target.live.as_ref().map(|live| live.release.clone());
    if let Some(live) = live.filter(|live| nobody && d.target.leaving.is_none() && d.target.is_loaded(live)) {
        let table = traffic::only(d, Some(&live));
        traffic::raise(d, table, &"adopted".into(), None);
    }
}

fn applied(d: &mut Draft, attempt: u32, gateways: &[GatewayObserved]) {
    if let Some(who) = not_obeyed(d, gateways) {
        failed(d, attempt, Errand::Apply, &"NOT_OBEYED".into(), &who.into());
        if news_of_gateways(d, gateways) {
            observed(d, gateways, None);
        }
    } else {
        observed(d, gateways, Some(attempt));
    }
}

/// Who does not obey, when not everybody does.
pub(super) fn not_obeyed(d: &Draft, gateways: &[GatewayObserved]) -> Option<String> {
    let wanted = d.target.table.as_ref().map(|table| table.generation).unwrap_or_default();
    if gateways.is_empty() {
        return Some("no gateway answered".to_owned());
    }
    if let Some(behind) = gateways.iter().find(|gateway| gateway.generation < wanted) {
        let GatewayObserved { gateway, generation, .. } = behind;
        return Some(format!("gateway {gateway} obeys generation {generation}, not {wanted}"));
    }
    let GatewayObserved { gateway, generation, .. } = missing::silent_gateway(&d.target, gateways)?;
    Some(format!(
        "gateway {gateway}, which obeyed generation {generation}, was not heard, and not for long enough to be missing"
    ))
}

pub(super) fn news_of_gateways(d: &Draft, gateways: &[GatewayObserved]) -> bool {
    let missing = missing::missing_gateways(&d.target, gateways).next().is_some();
    missing
        || gateways.iter().any(|gateway| {
            let known = d.target.gateways.iter().find(|known| known.gateway == gateway.gateway);
            known.is_none_or(|known| known.generation != gateway.generation || known.killed != gateway.killed)
        })
}

/// What gateways obey, and what follows for those who wait for it.
fn observed(d: &mut Draft, gateways: &[GatewayObserved], attempt: Option<u32>) {
    let before = d.target.observed;
    let overridden: Vec<GatewayObserved> = gateways
        .iter()
        .filter(|gateway| !gateway.killed.is_empty())
        .filter(|gateway| {
            let known = d.target.gateways.iter().find(|known| known.gateway == gateway.gateway);
            known.is_none_or(|known| known.killed != gateway.killed)
        })
        .cloned()
        .collect();
    missing::note_gateways(d, gateways);
    d.emit(Event::RoutesObserved { gateways: gateways.to_vec(), attempt });
    let generation = d.target.observed;
    if generation > before {
        let leaving = d.target.leaving.as_ref().and_then(|leaving| leaving.release.run);
        let mut waiting: Vec<_> =
            [d.target.raised_for, d.target.slot, leaving].into_iter().flatten().collect();
        waiting.sort_unstable();
        waiting.dedup();
        for run in waiting {
            d.tell(run, run::Input::ShiftObserved { generation });
        }
        traffic::settle(d);
    }
    for gateway in overridden {
        obey_override(d, &gateway);
    }
}

/// Somebody pulled a gateway's own kill switch: the target follows, so that every gateway does.
fn obey_override(d: &mut Draft, gateway: &GatewayObserved) {
    let to = gateway.override_to.clone();
    d.emit(Event::OverrideObserved { gateway: gateway.gateway.clone(), release: to.clone() });
    let cause: Text = format!("the kill switch of gateway {} was pulled", gateway.gateway).into();
    if d.target.frozen.is_none() {
        d.emit(Event::TargetFrozen { until: None, by: None, reason: cause.clone() });
    }
    let live = d.target.live.as_ref().map(|live| live.release.clone());
    match (live, d.target.slot) {
        (Some(live), _) if gateway.killed.contains(&live.bundle) => {
            let good = d.target.last_good.as_ref().map(|good| good.release.clone());
            let to = good.filter(|good| !gateway.killed.contains(&good.bundle));
            traffic::roll_back_live(d, to, &cause, None);
        }
        (live, Some(holder)) => {
            let table = traffic::only(d, live.as_ref());
            let generation = traffic::raise(d, table, &cause, Some(holder));
            d.tell(holder, run::Input::LeaveOrdered { cause, generation });
        }
        (_, None) => {}
    }
}

pub(super) fn routes_reported(d: &mut Draft, gateways: &[GatewayObserved]) -> Refused {
    if !news_of_gateways(d, gateways) {
        return Err(Rejection::NothingNew);
    }
    observed(d, gateways, None);
    Ok(())
}

pub(super) fn loaded_reported(d: &mut Draft, servers: &[ServerLoaded]) -> Refused {
    if !news_of_servers(d, servers) {
        return Err(Rejection::NothingNew);
    }
    loaded(d, servers, None);
    Ok(())
}

/// Handed back without having been begun: the next attempt is issued at once.
pub(super) fn decline(d: &mut Draft, attempt: u32, reason: &Text) -> Refused {
    let what = find(d, attempt).ok_or(Rejection::Late { attempt })?;
    d.emit(Event::AttemptDeclined { attempt, what, reason: reason.clone() });
    Ok(())
}

pub(super) fn expire(d: &mut Draft, attempt: u32, heard_at: Option<Timestamp>) -> Refused {
    let what = find(d, attempt).ok_or(Rejection::Late { attempt })?;
    let retry_at = retry_at(d, what);
    d.emit(Event::AttemptExpired { attempt, what, heard_at, retry_at });
    Ok(())
}

pub(super) fn backoff_over(d: &mut Draft, what: Errand) -> Refused {
    let due = d.target.errand(what).retry_at.is_some_and(|at| d.now >= at);
    if !due || !d.target.is_outstanding(what) {
        return Err(Rejection::MomentOver);
    }
    let attempt = d.target.attempts_issued + 1;
    d.emit(Event::AttemptIssued { attempt, what, at: d.now });
    Ok(())
}

/// Without a sign of life for this long an attempt at an errand is given up.
pub(in crate::target) const LEASE: Millis = Millis::seconds(30);
