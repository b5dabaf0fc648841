//! Gateways and servers that are not heard any more.

use super::world::*;
use crate::run::Phase;
use crate::target::{Errand, Input};
use crate::time::{Millis, Timestamp};
use crate::work::{GatewayObserved, Order, Outcome, ServerLoaded};
use crate::workflow::WhileRunning;

fn gateway(world: &World, name: &str, generation: u64, heard_at: Timestamp) -> GatewayObserved {
    GatewayObserved { gateway: name.into(), heard_at, ..world.gateway(generation) }
}

fn obeyed(world: &World) -> u64 {
    world.place().table.as_ref().unwrap().generation.0
}

fn gateways(world: &World) -> Vec<String> {
    world.place().gateways.iter().map(|gateway| gateway.gateway.to_string()).collect()
}

/// A live release behind two gateways.
fn behind_two() -> World {
    let mut world = World::new();
    world.bring_live("v1", &canary(WhileRunning::Queue, &[]));
    let generation = obeyed(&world);
    let both = ["a", "g"].map(|name| gateway(&world, name, generation, world.now)).to_vec();
    world.tell_target(Input::ReportRoutes { gateways: both }).unwrap();
    assert_eq!((gateways(&world), world.place().observed.0), (vec!["a".into(), "g".into()], generation));
    world
}

#[test]
fn a_gateway_that_has_gone_is_named_and_holds_up_nobody() {
    let mut world = behind_two();
    world.pass(Millis::minutes(1));
    let run = world.publish("v2", &canary(WhileRunning::Queue, &[]));
    // Only `g` answers from here on.
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live, "{:#?}", world.story);
    assert_eq!(gateways(&world), ["g"], "the other one was named as missing");
    // It comes back as it was, and is made to obey.
    let back = gateway(&world, "a", 1, world.now);
    world.tell_target(Input::ReportRoutes { gateways: vec![back] }).unwrap();
    assert_eq!(world.place().observed.0, 1);
    assert!(world.place().is_outstanding(Errand::Apply));
}

#[test]
fn a_gateway_that_is_silent_for_a_moment_is_waited_for_without_haste() {
    let mut world = behind_two();
    let run = world.publish("v2", &canary(WhileRunning::Queue, &[]));
    for moment in 1..=3 {
        let apply = world.work_until(|order| matches!(order, Order::Apply(_)));
        let heard = gateway(&world, "g", obeyed(&world), world.now);
        // The other one was heard when the two were.
        let both_at = world.place().gateways[0].heard_at;
        assert!(world.now - both_at <= Millis::seconds(10), "the test is within the time");
        world.answer(&apply.attempt, Outcome::Applied { gateways: vec![heard] }).unwrap();
        let place = world.place();
        assert_eq!((gateways(&world).len(), place.apply.failures), (2, moment), "it is waited for");
        assert!(place.apply.open.is_none() && place.apply.retry_at.is_some(), "not at once again");
    }
    assert!(world.state(run).stages[3].rollout.observed.is_none());
}

#[test]
fn a_server_that_has_gone_is_named_and_what_it_had_counts_no_more() {
    let mut world = World::new();
    let run = world.bring_live("v1", &canary(WhileRunning::Queue, &[]));
    let bundles = vec![world.state(run).release().unwrap().bundle];
    let server = |name: &str, heard_at| ServerLoaded {
        server: name.into(),
        bundles: bundles.clone(),
        failed: vec![],
        heard_at,
    };
    let both = vec![server("r", world.now), server("s", world.now)];
    world.tell_target(Input::ReportLoaded { servers: both }).unwrap();
    assert_eq!(world.place().servers.len(), 2);
    let next = world.publish("v2", &canary(WhileRunning::Queue, &[]));
    // Only `s` answers, a moment after `r` was heard.
    let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
    let Order::Prepare(order) = &prepare.order else { unreachable!() };
    let mut wanted: Vec<_> = order.releases.iter().map(|release| release.bundle).collect();
    wanted.sort_unstable();
    let alone = ServerLoaded { bundles: wanted, ..server("s", world.now) };
    world.answer(&prepare.attempt, Outcome::Prepared { servers: vec![alone] }).unwrap();
    let place = world.place();
    assert!(place.prepare.last_failure.as_ref().unwrap().starts_with("SERVER_SILENT"));
    assert_eq!(
        (place.servers.len(), place.prepare.open),
        (2, None),
        "waited for, and not asked at once again"
    );
    world.pass(Millis::hours(3));
    assert_eq!(world.state(next).phase, Phase::Live, "{:#?}", world.story);
    assert_eq!(world.place().servers.iter().map(|it| it.server.to_string()).collect::<Vec<_>>(), ["s"]);
    assert!(!world.place().is_outstanding(Errand::Prepare), "what the other one had is nobody's");
}
