//! What the world must be doing for a target: releases loaded, gateways told, and the moments of its own.

use super::decide::LEASE;
use super::state::{Errand, Target};
use super::{Effect, Input};
use crate::name::{AttemptId, StreamId};
use crate::time::Timestamp;
use crate::work::{self, Command, Order};

pub(super) fn effects(target: &Target) -> Vec<Effect> {
    let Some(id) = &target.id else { return vec![] };
    let mut effects = vec![];
    let owner = StreamId::Target(id.clone());
    for what in Errand::ALL {
        let errand = target.errand(what);
        if let Some((number, issued_at)) = errand.open {
            let command = command(target, &owner, what, number, issued_at);
            let input = Input::LeaseEnded { attempt: command.attempt.clone(), heard_at: None };
            effects.push(Effect::WakeAt { at: issued_at + LEASE, input });
            effects.push(Effect::Command(Box::new(command)));
        }
        if let Some(at) = errand.retry_at.filter(|_| errand.open.is_none() && target.is_outstanding(what)) {
            effects.push(Effect::WakeAt { at, input: Input::BackoffOver { what } });
        }
    }
    if let Some(holding) = &target.holding {
        let next = holding.next().map(|number| Input::HeldDue { number });
        effects.extend(next.map(|input| Effect::WakeAt { at: holding.resolved_at, input }));
        return effects;
    }
    if let Some(at) = target.frozen.as_ref().and_then(|frozen| frozen.until) {
        effects.push(Effect::WakeAt { at, input: Input::FreezeOver });
    }
    let warm = target.last_good.as_ref().filter(|good| !good.cold && target.leaving.is_none());
    if let Some(at) = warm.and_then(|good| good.warm_until) {
        effects.push(Effect::WakeAt { at, input: Input::WarmOver });
    }
    effects
}

fn command(target: &Target, owner: &StreamId, what: Errand, number: u32, issued_at: Timestamp) -> Command {
    let id = target.id.clone().expect("an errand belongs to a target that has its name");
    let errand = target.errand(what);
    let (order, step) = match what {
        Errand::Prepare => {
            (Order::Prepare(work::Prepare { releases: errand.releases.clone() }), u64::from(number))
        }
        Errand::Apply => {
            let table = target.table.clone().expect("gateways are told of a table that was raised");
            (Order::Apply(work::Apply { table }), 0)
        }
    };
    Command {
        effect_key: work::effect_key(owner, what.as_str(), step, errand.generation),
        attempt: AttemptId { owner: owner.clone(), number },
        target: id,
        order,
        issued_at,
        lease: LEASE,
        traceparent: None,
    }
}
