//! Targets: roll back, kill, freeze, adopt, kill switches, the last good release.

use super::world::*;
use crate::model::Release;
use crate::name::{Digest, StreamId, Version};
use crate::run::{End, Phase};
use crate::target::Input;
use crate::time::{Millis, Timestamp};
use crate::weight::Weight;
use crate::work::{Order, Outcome, ServerLoaded};
use crate::workflow::WhileRunning;

fn flow() -> crate::definition::Pinned<crate::workflow::Workflow> {
    canary(WhileRunning::Supersede, &[])
}

fn roll_back(to: Option<Digest>) -> Input {
    Input::RollBack { actor: actor("ops"), roles: roles(), to, reason: "worse".into() }
}
fn kill(bundle: Digest) -> Input {
    Input::Kill { actor: actor("ops"), roles: roles(), bundle, reason: "harmful".into() }
}
fn freeze(until: Option<crate::time::Timestamp>) -> Input {
    Input::Freeze { actor: actor("ops"), roles: roles(), until, reason: "holidays".into() }
}
fn unfreeze() -> Input {
    Input::Unfreeze { actor: actor("ops"), roles: roles(), reason: "back".into() }
}
fn servers(names: &[&str], bundles: &[Digest], heard_at: Timestamp) -> Vec<ServerLoaded> {
    let bundles = bundles.to_vec();
    let server = |name: &&str| ServerLoaded {
        server: (*name).into(),
        bundles: bundles.clone(),
        failed: vec![],
        heard_at,
    };
    names.iter().map(server).collect()
}
fn adopted() -> Release {
    Release { version: Version::parse("v0").unwrap(), bundle: Digest::of(b"adopted"), run: None }
}
fn adopt(release: &Release) -> Input {
    Input::Adopt {
        actor: actor("ops"),
        roles: roles(),
        target: target_id(),
        release: release.clone(),
        reason: "it runs".into(),
    }
}
fn served(world: &World) -> Option<Release> {
    let table = world.place().table.clone().unwrap();
    assert!(table.routes.len() <= 1, "{table:?}");
    table.routes.first().map(|route| route.release.clone())
}

#[test]
fn a_person_rolls_the_live_release_back_and_the_target_is_frozen() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    assert_eq!(world.tell_target(roll_back(None)).unwrap_err().code, "NOT_A_ROLLBACK");
    let second = world.bring_live("v2", &flow());
    let (good, bad) = (world.state(first).release().unwrap(), world.state(second).release().unwrap());
    assert_eq!(world.tell_target(roll_back(Some(bad.bundle))).unwrap_err().code, "NOT_A_ROLLBACK");
    world.tell_target(roll_back(Some(good.bundle))).unwrap();
    world.work();
    assert_eq!(served(&world), Some(good));
    assert_eq!(world.state(first).phase, Phase::Live);
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
    assert!(world.place().frozen.is_some());
    assert_eq!(world.tell_target(roll_back(Some(bad.bundle))).unwrap_err().code, "NOT_A_ROLLBACK");
}

#[test]
fn rolling_back_to_a_cold_release_loads_it_first() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.bring_live("v2", &flow());
    world.pass(Millis::hours(30));
    let (good, bad) = (world.state(first).release().unwrap(), world.state(second).release().unwrap());
    assert!(!world.place().is_loaded(&good), "cold after keep_warm");
    world.tell_target(roll_back(None)).unwrap();
    assert_eq!(served(&world), Some(bad), "it serves until the other is loaded");
    world.work();
    assert_eq!(served(&world), Some(good));
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
    assert_eq!(world.state(first).phase, Phase::Live);
}

#[test]
fn nobody_moves_traffic_while_the_live_release_is_taken_back() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.bring_live("v2", &flow());
    world.pass(Millis::hours(30));
    world.tell_target(roll_back(None)).unwrap();
    world.tell_target(unfreeze()).unwrap();
    let third = world.publish("v3", &flow());
    world.work_of_runs();
    assert_eq!((world.place().slot, &world.place().queue[..]), (None, &[third][..]), "it waits for its turn");
    let waits = crate::run::why(world.state(third));
    assert!(waits.iter().any(|wait| wait.text.contains("taken back")), "{waits:?}");
    assert_eq!(served(&world), world.state(second).release());
    world.work();
    assert_eq!(world.state(first).phase, Phase::Live);
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
    assert_eq!(world.place().slot, Some(third), "its turn comes when that is done");
    world.pass(Millis::hours(10));
    assert_eq!(world.state(third).phase, Phase::Live);
}

#[test]
fn who_waited_for_a_release_that_no_run_brought_gets_its_turn_too() {
    let mut world = World::new();
    world.tell_target(adopt(&adopted())).unwrap();
    world.work();
    world.tell_target(kill(adopted().bundle)).unwrap();
    world.tell_target(unfreeze()).unwrap();
    let run = world.publish("v1", &flow());
    world.work_of_runs();
    assert_eq!((world.place().slot, &world.place().queue[..]), (None, &[run][..]));
    world.work();
    assert!(world.place().leaving.is_none());
    assert_eq!(world.place().slot, Some(run), "nobody left, whose leaving would have given it on");
}

#[test]
fn killing_the_only_release_leaves_nobody_loudly() {
    let mut world = World::new();
    let run = world.bring_live("v1", &flow());
    world.tell_target(kill(world.state(run).release().unwrap().bundle)).unwrap();
    world.work();
    assert_eq!(served(&world), None);
    assert_eq!(world.state(run).phase, Phase::Ended(End::RolledBack));
    assert!(world.place().live.is_none());
}

/// Whether it is loaded yet or not, and whether gateways obey already or not.
#[test]
fn what_is_killed_while_it_comes_back_does_not_come_back() {
    for rest in [Millis(0), Millis::hours(30)] {
        let mut world = World::new();
        let (first, second) = (world.bring_live("v1", &flow()), world.bring_live("v2", &flow()));
        world.pass(rest);
        let good = world.state(first).release().unwrap();
        world.tell_target(roll_back(None)).unwrap();
        assert!(world.place().leaving.is_some());
        world.tell_target(kill(good.bundle)).unwrap();
        world.work();
        assert_eq!((served(&world), &world.place().live, &world.place().leaving), (None, &None, &None));
        assert!(world.state(first).is_ended());
        assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
        assert!(!world.place().is_loaded(&good), "it is not kept for anybody");
        let third = world.publish("v3", &flow());
        world.tell_target(unfreeze()).unwrap();
        world.pass(Millis::hours(10));
        assert_eq!(world.state(third).phase, Phase::Live);
    }
}

/// What it was planned against is gone: its turn comes again when it has planned anew.
#[test]
fn a_turn_that_comes_while_a_run_plans_anew_is_given_on() {
    let mut world = World::new();
    let first = world.publish("v1", &ungated());
    world.work();
    let second = world.publish("v2", &ungated());
    world.work_of_runs();
    assert_eq!((world.place().slot, &world.place().queue[..]), (Some(first), &[second][..]));
    let plan = world.work_until(|order| matches!(order, Order::Plan(_)));
    assert_eq!(world.state(first).phase, Phase::Live);
    assert_eq!((plan.attempt.owner, world.place().slot), (StreamId::Run(second), None));
    world.pass(Millis::hours(10));
    assert_eq!(world.state(second).phase, Phase::Live);
}

#[test]
fn killing_a_candidate_keeps_the_live_release() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.work();
    world.tell_target(kill(world.state(second).release().unwrap().bundle)).unwrap();
    world.work();
    assert_eq!(served(&world), world.state(first).release());
    assert!(world.state(second).is_ended());
    assert_eq!(world.state(first).phase, Phase::Live);
    let unknown = world.tell_target(kill(Digest::of(b"unknown"))).unwrap_err();
    assert_eq!(unknown.code, "NOT_SERVING");
}

#[test]
fn a_frozen_target_refuses_growth_and_lets_go_on_when_thawed() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    world.tell_target(freeze(None)).unwrap();
    assert_eq!(world.tell_target(freeze(None)).unwrap_err().code, "ALREADY_FROZEN");
    let run = world.publish("v2", &flow());
    world.pass(Millis::minutes(20));
    assert!(crate::run::why(world.state(run)).iter().any(|wait| wait.kind == "thaw"));
    assert_eq!(
        world.place().table.as_ref().unwrap().weight_of(&world.state(run).release().unwrap()),
        Weight::NONE
    );
    world.tell_target(unfreeze()).unwrap();
    world.pass(Millis::hours(1));
    assert_eq!(world.state(run).phase, Phase::Live);
    assert_eq!(world.tell_target(unfreeze()).unwrap_err().code, "NOT_FROZEN");
}

#[test]
fn a_freeze_ends_at_its_time() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    world.tell_target(freeze(Some(world.now + Millis::hours(1)))).unwrap();
    let run = world.publish("v2", &flow());
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live);
}

#[test]
fn what_already_serves_is_adopted_and_is_what_the_next_is_held_against() {
    let mut world = World::new();
    let release = adopted();
    world.tell_target(adopt(&release)).unwrap();
    world.work();
    assert_eq!(served(&world), Some(release.clone()));
    assert_eq!(world.tell_target(adopt(&release)).unwrap_err().code, "ALREADY_LIVE");
    let run = world.publish("v1", &flow());
    world.work();
    assert_eq!(world.state(run).live, Some(release.clone()));
    world.traffic = Some(HARMFUL);
    world.pass(Millis::minutes(1));
    assert_eq!(world.state(run).phase, Phase::Ended(End::RolledBack));
    assert_eq!(served(&world), Some(release));
}

#[test]
fn a_gateway_kill_switch_is_obeyed_by_the_target() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.work();
    let mut gateway = world.gateway(world.place().observed.0);
    gateway.override_to = world.state(first).release();
    gateway.killed = world.state(second).release().iter().map(|release| release.bundle).collect();
    world.tell_target(Input::ReportRoutes { gateways: vec![gateway] }).unwrap();
    world.work();
    assert_eq!(served(&world), world.state(first).release());
    assert!(world.state(second).is_ended());
    assert!(world.place().frozen.is_some());
}

#[test]
fn what_cannot_be_loaded_ends_the_run_at_the_deadline() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    for _ in 0..3 {
        for command in world.commands() {
            let is_prepare = matches!(command.order, crate::work::Order::Prepare(_));
            if is_prepare {
                let (code, reason) = ("OUT_OF_MEMORY".into(), "no room".into());
                let outcome = crate::work::Outcome::CouldNotTell { code, reason, retry_after: None };
                world.answer(&command.attempt, outcome).unwrap();
            }
        }
        if !world.commands().is_empty() {
            break;
        }
    }
    assert!(!world.state(run).is_ended());
}

#[test]
fn a_target_that_nobody_released_to_is_unknown() {
    let mut world = World::new();
    assert_eq!(world.tell_target(freeze(None)).unwrap_err().code, "UNKNOWN_TARGET");
    assert_eq!(world.tell_target(roll_back(None)).unwrap_err().code, "UNKNOWN_TARGET");
}

/// A run whose release is being loaded when another one is adopted, which sends it back to its plan.
fn sent_back_while_its_release_is_loaded() -> (World, crate::name::RunId, crate::work::Command) {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
    world.tell_target(adopt(&adopted())).unwrap();
    assert_eq!(world.place().slot, None, "it was sent back");
    (world, run, prepare)
}

/// What an attempt does not keep that was withdrawn and has not heard so may be gone at any moment.
#[test]
fn a_release_is_not_led_to_while_a_withdrawn_attempt_may_unload_it() {
    let (mut world, run, first) = sent_back_while_its_release_is_loaded();
    let release = world.state(run).release().unwrap();
    let second = world.work_until(|order| matches!(order, Order::Prepare(_)));
    assert!(second.attempt.number > first.attempt.number, "which does not keep it");
    // The first attempt, which was withdrawn, did load it, and its answer comes now.
    let loaded = servers(&["s"], &[release.bundle], world.now);
    world.answer(&first.attempt, Outcome::Prepared { servers: loaded }).unwrap();
    world.work_of_runs();
    assert_eq!(world.place().wanted, Some(release.clone()), "it is wanted again");
    assert!(!world.place().is_loaded(&release), "the second attempt may be about to unload it");
    let third = world.work_until(|order| matches!(order, Order::Prepare(_)));
    assert!(third.attempt.number > second.attempt.number);
    let loaded = servers(&["s"], &[release.bundle, adopted().bundle], world.now);
    world.tell_target(Input::ReportLoaded { servers: loaded.clone() }).unwrap();
    assert!(!world.place().is_loaded(&release), "so may it be until the third was there");
    world.answer(&third.attempt, Outcome::Prepared { servers: loaded }).unwrap();
    assert!(world.place().is_loaded(&release));
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live, "{:#?}", world.story);
}

/// One that was not at every server fences nobody off at the others.
#[test]
fn an_attempt_fences_others_off_where_it_was() {
    let both = ["a", "s"];
    for (heard, fenced) in [(&both[..], true), (&both[1..], false)] {
        let mut world = World::new();
        let first = world.bring_live("v1", &flow());
        let release = world.state(first).release().unwrap();
        world.tell_target(Input::ReportLoaded { servers: servers(&both, &[], world.now) }).unwrap();
        let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
        world
            .tell_target(Input::ReportLoaded { servers: servers(&both, &[release.bundle], world.now) })
            .unwrap();
        let told = servers(heard, &[release.bundle], world.now);
        world.answer(&prepare.attempt, Outcome::Prepared { servers: told }).unwrap();
        assert_eq!(world.place().unfenced.is_none(), fenced, "{heard:?}");
        assert_eq!(world.place().is_loaded(&release), fenced, "{heard:?}");
    }
}

/// A server may say that it has it while the attempt that loads it has not seen it answer.
#[test]
fn a_release_is_ready_when_an_attempt_says_so_and_not_before() {
    for quarantined in [false, true] {
        let mut world = World::new();
        let first = world.bring_live("v1", &flow());
        let run = world.publish("v2", &flow());
        let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
        if quarantined {
            world.defects.push((StreamId::Target(target_id()), "Freeze"));
            world.tell_target(freeze(None)).unwrap();
        }
        let [live, wanted] = [first, run].map(|run| world.state(run).release().unwrap());
        let said = servers(&["s"], &[live.bundle, wanted.bundle], world.now);
        world.tell_target(Input::ReportLoaded { servers: said }).unwrap();
        assert!(world.place().is_loaded(&live) && !world.place().is_loaded(&wanted));
        assert!(world.place().prepare.open.is_some(), "the attempt goes on");
        // It does not answer: it is taken out again, and whatever else is there is there.
        let found = servers(&["s"], &[live.bundle], world.now);
        world.answer(&prepare.attempt, Outcome::Prepared { servers: found }).unwrap();
        assert!(world.place().is_loaded(&live) && !world.place().is_loaded(&wanted));
        assert_eq!(world.place().prepare.failures, 1);
    }
}

/// Whatever cannot be loaded holds up nothing that can, where the attempt that says so was at every server.
#[test]
fn a_release_that_cannot_be_loaded_does_not_keep_another_from_being_ready() {
    let both = ["a", "s"];
    for (quarantined, heard) in
        [(false, &both[..]), (true, &both[..]), (false, &both[1..]), (true, &both[1..])]
    {
        let mut world = World::new();
        let good = world.bring_live("v1", &flow());
        let live = world.bring_live("v2", &flow());
        let third = world.publish("v3", &flow());
        let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
        if quarantined {
            world.defects.push((StreamId::Target(target_id()), "Freeze"));
            world.tell_target(freeze(None)).unwrap();
        }
        let empty = servers(&both, &[], world.now);
        world.tell_target(Input::ReportLoaded { servers: empty }).unwrap();
        let (code, reason) = ("AWAY".into(), "it starts again".into());
        world.answer(&prepare.attempt, Outcome::CouldNotTell { code, reason, retry_after: None }).unwrap();
        let next = world.work_until(|order| matches!(order, Order::Prepare(_)));
        let loaded = [good, live].map(|run| world.state(run).release().unwrap());
        let bundles = loaded.clone().map(|release| release.bundle);
        let found = servers(&both, &bundles, world.now);
        world.tell_target(Input::ReportLoaded { servers: found }).unwrap();
        assert!(!loaded.iter().any(|release| world.place().is_loaded(release)));
        let found = servers(heard, &bundles, world.now);
        world.answer(&next.attempt, Outcome::Prepared { servers: found }).unwrap();
        let all = loaded.iter().all(|release| world.place().is_loaded(release));
        assert_eq!(all, heard.len() == both.len(), "{quarantined} {heard:?}");
        assert_eq!(world.place().prepare.failures, 2, "the third one is tried again");
        // Whoever loaded it now was fenced off nowhere, or is nobody that the target knows.
        let release = world.state(third).release().unwrap();
        let found = servers(&both, &[bundles[0], bundles[1], release.bundle], world.now);
        world.tell_target(Input::ReportLoaded { servers: found }).unwrap();
        assert!(!world.place().is_loaded(&release));
    }
}

#[test]
fn an_attempt_that_was_nowhere_makes_nothing_sure() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
    world.answer(&prepare.attempt, Outcome::Prepared { servers: vec![] }).unwrap();
    let release = world.state(run).release().unwrap();
    let found = servers(&["s"], &[release.bundle], world.now);
    world.tell_target(Input::ReportLoaded { servers: found }).unwrap();
    assert!(!world.place().is_loaded(&release));
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live, "{:#?}", world.story);
}

#[test]
fn a_run_that_was_sent_back_waits_for_nothing_that_it_asked_before() {
    let (mut world, run, _) = sent_back_while_its_release_is_loaded();
    let late = crate::run::Input::PrepareFailed { why: "AWAY: no server".into() };
    assert_eq!(world.tell(run, late).unwrap_err().code, "MOMENT_OVER");
    world.pass(Millis::hours(3));
    assert_eq!(world.state(run).phase, Phase::Live, "{:#?}", world.story);
}
