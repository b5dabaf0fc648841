//! The way of a model: the first goes live, a better one is promoted, a worse one is rolled back.

use super::world::*;
use crate::name::Digest;
use crate::run::{End, Input, Phase, StageState, WaitFor};
use crate::target;
use crate::time::Millis;
use crate::verdict::Verdict;
use crate::weight::Weight;
use crate::work::{Order, Outcome, ServerLoaded};
use crate::workflow::WhileRunning;

fn flow() -> crate::definition::Pinned<crate::workflow::Workflow> {
    canary(WhileRunning::Supersede, &[])
}

fn weight(world: &World, run: crate::name::RunId) -> Weight {
    let release = world.state(run).release().unwrap();
    world.place().table.as_ref().map_or(Weight::NONE, |table| table.weight_of(&release))
}

#[test]
fn the_first_release_gets_all_traffic_in_one_step_and_goes_live_after_its_bake() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.work();
    assert_eq!(weight(&world, run), Weight::ALL);
    assert_eq!(world.state(run).phase, Phase::Active);
    world.pass(Millis::minutes(9));
    assert_eq!(world.state(run).phase, Phase::Active, "its bake is not over");
    world.pass(Millis::minutes(2));
    assert_eq!(world.state(run).phase, Phase::Live);
    assert_eq!(world.place().live.as_ref().unwrap().release, world.state(run).release().unwrap());
    assert_eq!(world.place().slot, None);
}

#[test]
fn a_better_model_is_promoted_and_the_former_stays_as_the_last_good_one() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.work();
    assert_eq!(weight(&world, second), Weight::basis_points(1_000).unwrap());
    world.pass(Millis::hours(1));
    assert_eq!(world.state(second).phase, Phase::Live);
    assert_eq!(world.state(first).phase, Phase::Standby);
    assert_eq!(world.place().last_good.as_ref().unwrap().release, world.state(first).release().unwrap());
    let third = world.bring_live("v3", &flow());
    assert_eq!(world.state(first).phase, Phase::Ended(End::Retired));
    assert_eq!((world.state(second).phase, world.state(third).phase), (Phase::Standby, Phase::Live));
    assert_eq!(world.place().under_way.len(), 2);
}

#[test]
fn a_worse_model_is_rolled_back_at_the_next_look() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.work();
    world.traffic = Some(HARMFUL);
    world.pass(Millis::seconds(11));
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack), "{:#?}", world.story);
    assert_eq!(world.state(first).phase, Phase::Live);
    assert_eq!(weight(&world, first), Weight::ALL);
    assert_eq!(weight(&world, second), Weight::NONE);
    let tail: Vec<_> = world.story.iter().rev().take(12).map(String::as_str).collect();
    assert!(tail.contains(&"RollbackEnded") && tail.contains(&"RunLeft"), "{tail:?}");
}

#[test]
fn too_little_traffic_waits_and_says_what_for() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.traffic = Some(SCARCE);
    world.pass(Millis::hours(5));
    assert_eq!(world.state(second).phase, Phase::Active);
    let waits = crate::run::why(world.state(second));
    assert!(waits.iter().any(|wait| wait.kind == "samples"), "{waits:?}");
}

#[test]
fn a_live_release_that_gets_worse_goes_back_to_the_last_good_one() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.bring_live("v2", &flow());
    world.traffic = Some(HARMFUL);
    world.pass(Millis::hours(2));
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack), "{:#?}", world.story);
    assert_eq!(world.place().live.as_ref().unwrap().release, world.state(first).release().unwrap());
    assert_eq!(weight(&world, first), Weight::ALL);
    assert_eq!(world.state(first).phase, Phase::Live, "restored, and monitored again");
}

#[test]
fn a_live_release_without_a_last_good_one_goes_on_serving_with_an_incident() {
    let mut world = World::new();
    let run = world.bring_live("v1", &flow());
    world.traffic = Some(HARMFUL);
    world.pass(Millis::hours(5));
    assert_eq!(world.state(run).phase, Phase::Live);
    assert_eq!(world.state(run).incidents, 1, "one incident, however many windows");
}

#[test]
fn a_bundle_that_could_not_be_made_blocks_the_run_and_what_cannot_be_told_is_tried_again() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    for attempt in 0..3 {
        let command = world.commands().pop().unwrap();
        assert!(matches!(command.order, Order::Package(_)));
        let outcome = Outcome::CouldNotTell {
            code: "UNREACHABLE".into(),
            reason: "no route".into(),
            retry_after: None,
        };
        world.answer(&command.attempt, outcome).unwrap();
        if attempt < 2 {
            let (at, moment) = world.next_moment().unwrap();
            assert_eq!(moment.name(), "BackoffOver");
            world.now = at;
            world.say(moment).unwrap();
        }
    }
    assert_eq!(world.state(run).phase, Phase::Ended(End::Failed));
    assert!(matches!(world.state(run).stages[0].state, StageState::GaveUp(_)));
}

#[test]
fn a_silent_worker_is_given_up_and_its_late_outcome_is_rejected() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    let first = world.commands().pop().unwrap();
    world.now = world.now + first.lease;
    world.tell(run, Input::LeaseEnded { attempt: first.attempt.clone(), heard_at: None }).unwrap();
    let (at, moment) = world.next_moment().unwrap();
    world.now = at;
    world.say(moment).unwrap();
    let second = world.commands().pop().unwrap();
    assert_eq!(second.effect_key, first.effect_key, "the same work has the same key, whoever tries");
    assert_ne!(second.attempt, first.attempt);
    let late = Outcome::CouldNotTell { code: "X".into(), reason: "late".into(), retry_after: None };
    assert_eq!(world.answer(&first.attempt, late).unwrap_err().code, "LATE");
    world.pass(Millis::hours(1));
    assert_eq!(world.state(run).phase, Phase::Live);
}

#[test]
fn declining_is_no_failure() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    for _ in 0..10 {
        let command = world.commands().pop().unwrap();
        world.tell(run, Input::Decline { attempt: command.attempt, reason: "busy".into() }).unwrap();
    }
    world.work();
    assert_eq!(world.state(run).stages[0].state, StageState::Ended(Verdict::Pass));
}

#[test]
fn a_newer_run_supersedes_one_that_moved_no_traffic_and_waits_for_one_that_did() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let gated = canary(WhileRunning::Supersede, &[("ml", 1)]);
    let second = world.publish("v2", &gated);
    world.work();
    let third = world.publish("v3", &flow());
    world.work();
    assert_eq!(world.state(second).phase, Phase::Ended(End::Superseded));
    assert_eq!(world.place().slot, Some(third));
    let fourth = world.publish("v4", &flow());
    world.work();
    assert_eq!(world.state(third).phase, Phase::Active, "it moved traffic");
    assert!(crate::run::why(world.state(fourth)).iter().any(|wait| wait.kind == "slot"));
    world.pass(Millis::hours(3));
    assert_eq!(world.state(third).phase, Phase::Standby);
    assert_eq!(world.state(fourth).phase, Phase::Live);
}

#[test]
fn the_newer_workflow_may_refuse_or_queue() {
    let mut world = World::new();
    let first = world.publish("v1", &canary(WhileRunning::Supersede, &[("ml", 1)]));
    world.work();
    let refused = world.publish("v2", &canary(WhileRunning::Refuse, &[]));
    assert_eq!(world.state(refused).phase, Phase::Ended(End::Refused));
    let queued = world.publish("v3", &canary(WhileRunning::Queue, &[]));
    world.work();
    assert_eq!(world.state(first).phase, Phase::Active);
    assert_eq!(world.place().slot, Some(queued), "the one before waits for people, not for the slot");
    assert_ne!(Digest::of(b""), Digest::of(b"x"));
}

#[test]
fn the_same_artifact_is_released_once() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let trained = std::sync::Arc::new(crate::model::Trained { id: "again".into(), ..trained("v1") });
    let run = crate::name::RunId::derive("/training", "again", &target_id());
    let start = crate::run::Start { run, target: target_id(), trained, workflow: flow() };
    world.tell(run, Input::Start(Box::new(start))).unwrap();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Refused));
}

#[test]
fn after_a_restart_gateways_and_servers_are_brought_back_to_what_was_intended() {
    let mut world = World::new();
    let run = world.bring_live("v1", &flow());
    let generation = world.place().table.as_ref().unwrap().generation;
    let empty = crate::work::ServerLoaded {
        server: "s".into(),
        bundles: vec![],
        failed: vec![],
        heard_at: world.now,
    };
    world.tell_target(crate::target::Input::ReportLoaded { servers: vec![empty] }).unwrap();
    let gateway = world.gateway(0);
    world.tell_target(crate::target::Input::ReportRoutes { gateways: vec![gateway] }).unwrap();
    assert!(!world.place().is_loaded(&world.state(run).release().unwrap()));
    world.work();
    assert_eq!(world.place().observed, generation, "under the same generation");
    assert!(world.place().is_loaded(&world.state(run).release().unwrap()));
}

#[test]
fn a_release_that_a_server_lost_is_waited_for_and_goes_on() {
    let mut world = World::new();
    let run = world.publish("v1", &canary(WhileRunning::Queue, &[]));
    world.work();
    assert!(world.state(run).stages[3].rollout.observed.is_some());
    let server = ServerLoaded { server: "s".into(), bundles: vec![], failed: vec![], heard_at: world.now };
    world.tell_target(target::Input::ReportLoaded { servers: vec![server] }).unwrap();
    let prepare =
        world.commands().into_iter().find(|command| matches!(command.order, Order::Prepare(_))).unwrap();
    let away = Outcome::CouldNotTell { code: "AWAY".into(), reason: "no answer".into(), retry_after: None };
    world.answer(&prepare.attempt, away).unwrap();
    assert!(matches!(world.state(run).waits, Some(WaitFor::Prepare { .. })));
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live, "{:#?}", world.story);
}
