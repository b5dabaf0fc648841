//! Quarantine: a decision that fails costs its stream a wait, and nobody else anything.

use super::world::*;
use crate::definition::Pinned;
use crate::model::Release;
use crate::name::{Digest, RunId, StreamId, Version};
use crate::quarantine::{HELD_ALL_MAX, HELD_FULL, HELD_INPUTS_MAX};
use crate::run::{self, End, Phase};
use crate::target;
use crate::time::Millis;
use crate::weight::Weight;
use crate::work::{Order, Outcome, ServerLoaded};
use crate::workflow::{WhileRunning, Workflow};

fn flow() -> Pinned<Workflow> {
    canary(WhileRunning::Supersede, &[])
}

fn place() -> StreamId {
    StreamId::Target(target_id())
}

fn resolve(drop: bool) -> run::Input {
    run::Input::Resolve { actor: actor("ops"), roles: roles(), drop, reason: "mended".into() }
}

fn resolve_target(drop: bool) -> target::Input {
    target::Input::Resolve { actor: actor("ops"), roles: roles(), drop, reason: "mended".into() }
}

fn abort() -> run::Input {
    run::Input::Abort { actor: actor("ops"), roles: roles(), reason: "enough".into() }
}

fn pause(who: &str) -> run::Input {
    run::Input::Pause { actor: actor(who), roles: roles(), reason: "wait".into() }
}

fn kill(bundle: Digest) -> target::Input {
    target::Input::Kill { actor: actor("ops"), roles: roles(), bundle, reason: "harmful".into() }
}

fn adopt() -> target::Input {
    let release =
        Release { version: Version::parse("before").unwrap(), bundle: Digest::of(b"before"), run: None };
    target::Input::Adopt {
        target: target_id(),
        release,
        actor: actor("ops"),
        roles: roles(),
        reason: "r".into(),
    }
}

fn held(world: &World, run: RunId) -> Vec<&'static str> {
    let holding = world.state(run).holding.as_ref();
    holding.map(|holding| holding.held.iter().map(run::Input::name).collect()).unwrap_or_default()
}

fn held_there(world: &World) -> Vec<&'static str> {
    let holding = world.place().holding.as_ref();
    holding.map(|holding| holding.held.iter().map(target::Input::name).collect()).unwrap_or_default()
}

/// A canary at 10 %, with `v1` live.
fn in_canary(world: &mut World) -> (RunId, RunId) {
    let first = world.bring_live("v1", &flow());
    let second = world.publish("v2", &flow());
    world.work();
    let release = world.state(second).release().unwrap();
    let share = world.place().table.as_ref().unwrap().weight_of(&release);
    assert_eq!(share, Weight::basis_points(1_000).unwrap());
    (first, second)
}

#[test]
fn a_failed_decision_holds_its_input_and_it_is_decided_after_the_quarantine() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "Report"));
    let transition = {
        let attempt = world.commands()[0].attempt.clone();
        let outcome = crate::work::Outcome::CouldNotTell {
            code: "AWAY".into(),
            reason: "registry".into(),
            retry_after: None,
        };
        world.answer(&attempt, outcome).unwrap()
    };
    assert_eq!(transition.steps[0].event_names(), ["StreamQuarantined", "InputHeld"]);
    let quarantine = world.state(run).quarantine().unwrap();
    assert!(quarantine.why.contains("Report failed: panicked: a defect"), "{quarantine:?}");
    world.tell(run, pause("ops")).unwrap();
    assert_eq!(held(&world, run), ["Report", "Pause"], "later inputs wait behind it");
    assert_eq!(world.state(run).paused_at, None);
    assert!(world.next_moment().is_none(), "no moment comes; those of its state come again later");
    let waits = run::why(world.state(run));
    assert!(waits.iter().any(|waiting| waiting.kind == "quarantine"), "{waits:?}");

    world.defects.clear();
    world.tell(run, resolve(false)).unwrap();
    assert_eq!(held(&world, run), ["Report", "Pause"], "each is decided in a transition of its own");
    world.pass(Millis(0));
    assert_eq!(held(&world, run), [""; 0]);
    assert!(world.state(run).paused_at.is_some(), "the pause was decided");
    assert_eq!(world.state(run).stages[0].failures, 1, "and before it the report");
}

#[test]
fn what_fails_again_is_quarantined_again_and_can_be_dropped() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "Report"));
    world.work();
    assert_eq!(held(&world, run), ["Report"]);
    world.tell(run, pause("ops")).unwrap();
    world.tell(run, resolve(false)).unwrap();
    world.pass(Millis(0));
    assert!(world.state(run).quarantine().unwrap().why.contains("Report failed"), "it fails again");
    assert_eq!(held(&world, run), ["Report", "Pause"], "nothing is lost and nothing has overtaken it");

    world.defects.clear();
    let refused = world.tell(
        run,
        run::Input::Resolve { actor: actor("tim"), roles: roles(), drop: true, reason: "mine".into() },
    );
    assert_eq!(refused.unwrap_err().code, "NOT_ENTITLED");
    let transition = world.tell(run, resolve(true)).unwrap();
    let crate::transition::Step::Run { events, .. } = &transition.steps[0] else { panic!() };
    let run::Event::QuarantineResolved { dropped, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(dropped.as_deref(), Some("Report"), "the event says what was dropped");
    world.pass(Millis(0));
    assert!(world.state(run).holding.is_none());
    assert!(world.state(run).paused_at.is_some());
    assert!(world.state(run).attempts_issued > 1, "another attempt is made");
}

#[test]
fn a_moment_that_fails_is_not_held_since_it_comes_again() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "LeaseEnded"));
    let (at, moment) = world.next_moment().unwrap();
    world.now = at;
    world.say(moment).unwrap();
    assert!(world.state(run).quarantine().is_some());
    assert_eq!(held(&world, run), [""; 0]);
    assert_eq!(world.tell(run, resolve(true)).unwrap_err().code, "NOTHING_TO_RESOLVE", "nothing to drop");
    world.defects.clear();
    world.tell(run, resolve(false)).unwrap();
    let (_, moment) = world.next_moment().unwrap();
    assert_eq!(moment.name(), "LeaseEnded");
    world.say(moment).unwrap();
    assert_eq!(world.state(run).stages[0].failures, 1);
    assert_eq!(world.tell(run, resolve(false)).unwrap_err().code, "NOTHING_TO_RESOLVE");
}

#[test]
fn a_start_that_fails_is_visible_and_its_run_goes_on_or_ends() {
    for drop in [false, true] {
        let mut world = World::new();
        let mut other = World::new();
        let run = other.publish("v1", &flow());
        world.defects.push((StreamId::Run(run), "Start"));
        world.publish("v1", &flow());
        assert_eq!((world.state(run).phase, held(&world, run)), (Phase::Absent, vec!["Start"]));
        assert_eq!(world.state(run).start, other.state(run).start, "it is known what it would be");
        world.defects.clear();
        world.tell(run, resolve(drop)).unwrap();
        world.pass(Millis(0));
        if drop {
            assert_eq!(world.state(run).phase, Phase::Ended(End::Aborted));
        } else {
            world.pass(Millis::hours(3));
            assert_eq!(world.state(run).phase, Phase::Live);
        }
    }
}

#[test]
fn one_quarantined_run_keeps_its_place_and_the_target_goes_on() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "Report"));
    world.work();
    assert!(world.state(run).quarantine().is_some());
    let second = world.publish("v2", &flow());
    assert_eq!(world.place().under_way.len(), 2, "it is not superseded");
    assert_eq!(held(&world, run), ["Report"]);
    world.pass(Millis::hours(3));
    assert_eq!(world.state(second).phase, Phase::Live, "the other went live beside it");
    assert_eq!(held(&world, run), ["Report", "LiveChanged"], "what it is told waits with it");

    world.tell(run, abort()).unwrap();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Aborted));
    assert_eq!(world.place().under_way.len(), 1, "its place is free");
    assert!(world.state(run).holding.is_none());
}

/// Else it would be sent back by what it is told next, while its release has the traffic that it asked for.
#[test]
fn what_a_released_input_leads_to_is_not_held_behind_what_came_later() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "PrepareDone"));
    world.work();
    world.tell_target(adopt()).unwrap();
    assert_eq!(held(&world, run), ["PrepareDone", "LiveChanged"]);
    world.defects.clear();
    world.tell(run, resolve(false)).unwrap();
    world.pass(Millis(0));
    assert_eq!(held(&world, run), [""; 0]);
    assert!(world.state(run).raised.is_some(), "its traffic was raised before it heard of another release");
    world.pass(Millis::hours(10));
    assert_eq!(world.state(run).phase, Phase::Live);
}

/// Fails where it is told at once: then it is held like the others, and fails again.
#[test]
fn an_answer_that_fails_while_another_input_is_released_is_held() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "PrepareDone"));
    world.work();
    world.tell(run, pause("ops")).unwrap();
    world.defects = vec![(StreamId::Run(run), "ShiftAccepted")];
    world.tell(run, resolve(false)).unwrap();
    world.pass(Millis(0));
    assert_eq!(held(&world, run), ["ShiftAccepted", "ShiftObserved"]);
    assert!(world.state(run).quarantine().is_some() && world.state(run).paused_at.is_some());
    world.defects.clear();
    world.tell(run, resolve(false)).unwrap();
    world.pass(Millis(0));
    assert_eq!((held(&world, run), world.state(run).quarantine()), (vec![], None));
}

/// It asks when its plan is told, and may have been told while that was held: two answers, one slot.
#[test]
fn a_run_that_hears_of_its_slot_again_keeps_it() {
    let mut world = World::new();
    let (_, second) = in_canary(&mut world);
    world.tell(second, run::Input::SlotGranted).unwrap_err();
    assert_eq!(world.place().slot, Some(second));
    world.pass(Millis::hours(10));
    assert_eq!(world.state(second).phase, Phase::Live);
}

#[test]
fn a_resolved_run_can_be_superseded_again() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "Report"));
    world.work();
    world.defects.clear();
    world.tell(run, resolve(false)).unwrap();
    world.pass(Millis(0));
    world.publish("v2", &flow());
    let phase = world.state(run).phase;
    assert!(phase == Phase::Ended(End::Superseded) || world.state(run).raised.is_some(), "{phase:?}");
}

#[test]
fn aborting_a_quarantined_candidate_takes_its_traffic_away() {
    let mut world = World::new();
    let (first, second) = in_canary(&mut world);
    world.defects.push((StreamId::Run(second), "BakeOver"));
    world.defects.push((StreamId::Run(second), "MeasureDue"));
    world.pass(Millis::minutes(1));
    assert!(world.state(second).quarantine().is_some());
    world.tell(second, abort()).unwrap();
    let (live, release) = (world.state(first).release().unwrap(), world.state(second).release().unwrap());
    let table = world.place().table.clone().unwrap();
    assert_eq!((table.weight_of(&live), table.weight_of(&release)), (Weight::ALL, Weight::NONE));
    assert_eq!(world.state(second).phase, Phase::Ended(End::Aborted));
    world.work();
    assert_eq!(world.place().observed, table.generation, "the target carries it out without the run");
    assert_eq!(world.place().slot, None);
}

/// It does not know that it is live; the target does.
#[test]
fn aborting_a_run_that_failed_when_it_went_live_takes_the_live_release_back() {
    for (has_former, serves) in [(true, Some("v1")), (false, None)] {
        let mut world = World::new();
        let first = has_former.then(|| world.bring_live("v1", &flow()));
        let run = world.publish("v2", &flow());
        world.defects.push((StreamId::Run(run), "LiveChanged"));
        world.work();
        world.pass(Millis::hours(3));
        assert!(world.state(run).quarantine().is_some(), "{:?}", world.state(run).phase);
        assert!(world.place().is_live_run(run));
        world.tell(run, abort()).unwrap();
        world.work();
        assert!(world.state(run).is_ended());
        let live = world.place().live.as_ref().map(|live| live.release.version.as_str());
        assert_eq!(live, serves);
        let release = world.state(run).release().unwrap();
        let share = world.place().table.as_ref().map_or(Weight::NONE, |table| table.weight_of(&release));
        assert_eq!(share, Weight::NONE, "nobody is led to it");
        if let Some(first) = first {
            assert_eq!(world.state(first).phase, Phase::Live);
        }
    }
}

#[test]
fn a_target_holds_what_its_runs_ask_and_answers_when_it_is_resolved() {
    let mut world = World::new();
    let first = world.bring_live("v1", &flow());
    world.defects.push((place(), "Enter"));
    let second = world.publish("v2", &flow());
    assert!(world.place().quarantine().is_some());
    assert_eq!(held_there(&world), ["Enter"]);
    assert_eq!(world.state(second).phase, Phase::Active, "the run is not quarantined: it waits");
    world.pass(Millis::hours(3));
    assert_eq!(world.state(first).phase, Phase::Live, "the live release serves and is watched");
    world.defects.clear();
    world.tell_target(resolve_target(false)).unwrap();
    world.pass(Millis::hours(3));
    assert_eq!(world.state(second).phase, Phase::Live, "{:#?}", world.story);
}

/// It was ordered to leave before there was a generation, and the one that came was raised while nobody was told.
#[test]
fn a_run_that_leaves_hears_of_its_generation_when_the_target_is_resolved() {
    for is_carried_out in [true, false] {
        let mut world = World::new();
        world.bring_live("v1", &flow());
        let second = world.bring_live("v2", &flow());
        let lost = ServerLoaded { server: "s".into(), bundles: vec![], failed: vec![], heard_at: world.now };
        world.tell_target(target::Input::ReportLoaded { servers: vec![lost] }).unwrap();
        world.defects.push((place(), "RollBack"));
        let (actor, roles) = (actor("ops"), roles());
        world
            .tell_target(target::Input::RollBack { actor, roles, to: None, reason: "worse".into() })
            .unwrap();
        assert!(world.place().quarantine().is_some());
        assert_eq!(world.state(second).phase, Phase::Leaving);
        if is_carried_out {
            world.work();
        } else {
            let prepare = world.work_until(|order| matches!(order, Order::Prepare(_)));
            let Order::Prepare(order) = &prepare.order else { unreachable!() };
            let bundles = order.releases.iter().map(|release| release.bundle).collect();
            let loaded = ServerLoaded { server: "s".into(), bundles, failed: vec![], heard_at: world.now };
            world.answer(&prepare.attempt, Outcome::Prepared { servers: vec![loaded] }).unwrap();
        }
        let share = world.place().table.as_ref().unwrap().weight_of(&world.state(second).release().unwrap());
        assert_eq!(share, Weight::NONE, "it was taken away while the target was quarantined");
        assert_eq!(world.state(second).leaving.as_ref().unwrap().generation, None, "and it was not told");
        world.defects.clear();
        world.tell_target(resolve_target(false)).unwrap();
        let told = world.state(second).leaving.as_ref().unwrap().generation;
        assert_eq!(told, world.place().table.as_ref().map(|table| table.generation));
        world.pass(Millis::minutes(1));
        assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack), "{:#?}", world.story);
    }
}

#[test]
fn a_run_that_leaves_and_knows_its_generation_is_not_told_twice() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let second = world.bring_live("v2", &flow());
    world.defects.push((place(), "RollBack"));
    let (actor, roles) = (actor("ops"), roles());
    world.tell_target(target::Input::RollBack { actor, roles, to: None, reason: "worse".into() }).unwrap();
    let told = world.state(second).leaving.as_ref().unwrap().generation;
    assert_eq!(told, world.place().table.as_ref().map(|table| table.generation));
    let asked = |world: &World| world.story.iter().filter(|name| *name == "WeightRequested").count();
    let before = asked(&world);
    world.defects.clear();
    world.tell_target(resolve_target(false)).unwrap();
    assert_eq!(asked(&world), before);
    world.pass(Millis::minutes(1));
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack), "{:#?}", world.story);
}

#[test]
fn a_quarantined_target_raises_nobody_and_goes_on_when_it_is_resolved() {
    let mut world = World::new();
    let (_, second) = in_canary(&mut world);
    world.defects.push((place(), "ShiftWeights"));
    world.pass(Millis::hours(1));
    assert!(world.place().quarantine().is_some());
    let share = |world: &World| {
        let release = world.state(second).release().unwrap();
        world.place().table.as_ref().unwrap().weight_of(&release)
    };
    assert_eq!(share(&world), Weight::basis_points(1_000).unwrap(), "the share stays as it was");
    world.defects.clear();
    world.tell_target(resolve_target(false)).unwrap();
    world.pass(Millis::hours(3));
    assert_eq!(world.state(second).phase, Phase::Live, "{:#?}", run::why(world.state(second)));
}

#[test]
fn a_candidate_that_does_harm_is_taken_out_of_a_quarantined_target() {
    let mut world = World::new();
    let (first, second) = in_canary(&mut world);
    world.defects.push((place(), "Freeze"));
    let freeze =
        target::Input::Freeze { actor: actor("ops"), roles: roles(), until: None, reason: "x".into() };
    world.tell_target(freeze).unwrap();
    assert_eq!(held_there(&world), ["Freeze"]);
    world.traffic = Some(HARMFUL);
    world.pass(Millis::minutes(30));
    let live = world.state(first).release().unwrap();
    assert_eq!(world.place().table.as_ref().unwrap().weight_of(&live), Weight::ALL);
    world.defects.clear();
    world.tell_target(resolve_target(true)).unwrap();
    world.pass(Millis::hours(1));
    let phase = world.state(second).phase;
    assert!(matches!(phase, Phase::Ended(End::Blocked | End::RolledBack)), "{phase:?}");
}

#[test]
fn a_quarantined_target_can_be_killed_and_rolled_back() {
    for roll_back in [true, false] {
        let mut world = World::new();
        let first = world.bring_live("v1", &flow());
        let second = world.bring_live("v2", &flow());
        let (good, bad) = (world.state(first).release().unwrap(), world.state(second).release().unwrap());
        // Even its ordinary decision fails: the small one on the last good state does not.
        world.defects.push((place(), "AskSlot"));
        world.publish("v3", &flow());
        world.pass(Millis::minutes(1));
        assert!(world.place().quarantine().is_some(), "{:#?}", world.story);
        let input = if roll_back {
            target::Input::RollBack { actor: actor("ops"), roles: roles(), to: None, reason: "worse".into() }
        } else {
            kill(bad.bundle)
        };
        world.tell_target(input).unwrap();
        world.work();
        let table = world.place().table.clone().unwrap();
        assert_eq!(table.weight_of(&good), Weight::ALL);
        assert_eq!(world.place().observed, table.generation, "every gateway obeys");
        assert!(world.place().frozen.is_some());
        world.defects.clear();
        world.tell_target(resolve_target(false)).unwrap();
        world.pass(Millis::hours(3));
        assert_eq!(world.state(first).phase, Phase::Live, "it hears that it serves again");
        assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
        assert_eq!(world.place().live.as_ref().unwrap().release, good);
    }
}

#[test]
fn what_is_killed_while_it_comes_back_to_a_quarantined_target_does_not_come_back() {
    let mut world = World::new();
    let (first, second) = (world.bring_live("v1", &flow()), world.bring_live("v2", &flow()));
    let (good, bad) = (world.state(first).release().unwrap(), world.state(second).release().unwrap());
    world.tell_target(kill(bad.bundle)).unwrap();
    world.defects.push((place(), "Freeze"));
    let again = target::Input::Unfreeze { actor: actor("ops"), roles: roles(), reason: "x".into() };
    world.tell_target(again).unwrap();
    let freeze =
        target::Input::Freeze { actor: actor("ops"), roles: roles(), until: None, reason: "x".into() };
    world.tell_target(freeze).unwrap();
    assert!(world.place().quarantine().is_some() && world.place().leaving.is_some());
    world.tell_target(kill(good.bundle)).unwrap();
    world.work();
    assert_eq!(world.place().table.as_ref().unwrap().routes, []);
    assert!(world.state(first).is_ended());
    world.defects.clear();
    world.tell_target(resolve_target(true)).unwrap();
    world.pass(Millis::hours(3));
    assert_eq!((&world.place().live, &world.place().leaving), (&None, &None));
    assert_eq!(world.state(second).phase, Phase::Ended(End::RolledBack));
}

#[test]
fn a_kill_whose_decision_fails_is_carried_out() {
    let mut world = World::new();
    let run = world.bring_live("v1", &flow());
    let bundle = world.state(run).release().unwrap().bundle;
    world.defects.push((place(), "Kill"));
    let transition = world.tell_target(kill(bundle)).unwrap();
    let names = transition.steps[0].event_names();
    assert_eq!(names[..2], ["StreamQuarantined", "ReleaseKilled"], "{names:?}");
    world.work();
    assert_eq!(world.place().table.as_ref().unwrap().routes, []);
    assert!(world.place().observed == world.place().table.as_ref().unwrap().generation);
}

#[test]
fn what_a_stream_holds_is_bounded_and_says_so() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.defects.push((StreamId::Run(run), "Pause"));
    for _ in 0..HELD_INPUTS_MAX {
        world.tell(run, pause("ops")).unwrap();
    }
    let refusal = world.tell(run, pause("ops")).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.kind), (HELD_FULL, crate::refusal::Kind::Busy));
    assert!(refusal.hint.unwrap().contains("resolve"));
    // Its target may still tell it something, up to the greater bound.
    let live = run::Input::LiveChanged { to: None, generation: crate::routes::Generation(1) };
    for _ in HELD_INPUTS_MAX..HELD_ALL_MAX {
        world.tell(run, live.clone()).unwrap();
    }
    assert_eq!(world.tell(run, live).unwrap_err().code, HELD_FULL);
    world.defects.clear();
    world.tell(run, abort()).unwrap();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Aborted), "and aborting needs no room");
}
