//! Crashes between any two actions: nothing lost, nothing decided differently, nothing done twice under another key.

use super::*;
use crate::samples::{define_roles, freeze, trained, trigger};
use domain::run::Phase;

const END: Timestamp = Timestamp(START.0 + 600_000);

/// Three runs at two targets, one superseded or waiting, and a request.
fn begin(world: &mut World) {
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.say(Lane::Triggers, trained("fraud", "v1"));
    world.say(Lane::Triggers, trained("flights", "v2"));
    world.say_as(Lane::Requests, freeze("spam", "ann", "holiday"), Some("r1"));
}

/// What must not depend on crashes.
fn outcome(world: &mut World) -> Vec<(Phase, u32, Option<Digest>)> {
    let report = world.verify();
    let runs = report.states.runs.values().map(|folded| &folded.state);
    runs.map(|run| (run.phase, run.attempts_issued, run.bundle.as_ref().map(|bundle| bundle.digest)))
        .collect()
}

#[test]
fn a_crash_between_any_two_actions_changes_nothing() {
    let mut whole = World::new();
    let began_with = whole.actions_done;
    begin(&mut whole);
    whole.run_until(END).unwrap();
    let expected = outcome(&mut whole);
    assert!(expected.iter().any(|(phase, ..)| *phase == Phase::Live), "{expected:?}");
    let actions = whole.actions_done - began_with;
    assert!(actions > 50, "only {actions} places to crash at");
    let mut crashes = 0;
    for dies_in in 0..actions {
        let mut world = World::new();
        begin(&mut world);
        world.dies_in = Some(dies_in);
        if world.run_until(END) == Err(Crash) {
            crashes += 1;
            world.restart();
            world.run_until(END).unwrap();
        }
        assert_eq!(outcome(&mut world), expected, "after a crash before action {dies_in}");
        for (key, attempts) in &world.done {
            assert_eq!(attempts.len(), 1, "{key} was done by {attempts:?}, crash before action {dies_in}");
        }
        // Refused, since nothing was ever released there, and remembered under its id.
        let answered = world.database.request(0, "r1").unwrap();
        let refused = answered.and_then(|row| row.refused).map(|refusal| refusal.code);
        assert_eq!(refused.as_deref(), Some("UNKNOWN_TARGET"), "the request, crash before action {dies_in}");
    }
    assert!(crashes > 50, "only {crashes} crashes happened");
}

#[test]
fn crashing_again_and_again_comes_to_the_same_end() {
    let mut whole = World::new();
    begin(&mut whole);
    whole.run_until(END).unwrap();
    let expected = outcome(&mut whole);
    let mut world = World::new();
    begin(&mut world);
    let mut crashes = 0;
    for round in 0.. {
        world.dies_in = Some(4 + round % 5);
        match world.run_until(END) {
            Ok(()) => break,
            Err(Crash) => crashes += 1,
        }
        // It dies while it starts, too.
        world.dies_in = Some(round % 3);
        while world.start() == Err(Crash) {
            crashes += 1;
            world.dies_in = Some(4);
        }
        assert!(round < 200, "it does not come to an end");
    }
    assert!(crashes > 10, "only {crashes} crashes");
    world.dies_in = None;
    assert_eq!(outcome(&mut world), expected);
}

#[test]
fn the_view_can_be_deleted_and_is_the_same_again() {
    let mut world = World::new();
    begin(&mut world);
    world.run_until(END).unwrap();
    let rows = |world: &World| {
        let database = &world.database;
        (every_run(database), database.targets().unwrap(), database.wakes(0, None, usize::MAX).unwrap())
    };
    let before = rows(&world);
    world.database.forget_view();
    world.restart();
    assert_eq!(rows(&world), before);
    world.verify();
}

#[test]
fn what_was_committed_and_not_dispatched_is_sent_with_the_same_attempt() {
    let mut world = World::new();
    world.answer = |_, _| None;
    world.say(Lane::Triggers, trained("flights", "v1"));
    // Append, two commits, then the dispatch that is lost.
    world.dies_in = Some(3);
    assert_eq!(world.turn(), Err(Crash));
    assert!(world.sent.is_empty());
    world.dies_in = None;
    world.start().unwrap();
    let attempts: Vec<_> = world.sent.iter().map(|order| order.command.attempt.clone()).collect();
    assert_eq!(attempts, [AttemptId { owner: StreamId::Run(trigger("flights", "v1").run()), number: 1 }]);
    assert_eq!(world.sent[0].epoch, world.partition.head().epoch, "under the new claim");
}

/// Dies when one order is with its topic, as the log knows, and another is not.
fn between_two_orders() -> World {
    let mut config = samples::config(1);
    config.redispatch = Redispatch::AboveDispatched;
    let mut world = World::with(config);
    world.answer = |_, _| None;
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    // The next record carries that the first order is with its topic; its own order is lost.
    world.say(Lane::Triggers, trained("fraud", "v1"));
    world.dies_in = Some(2);
    assert_eq!(world.turn(), Err(Crash));
    world.sent.clear();
    world.dies_in = None;
    world
}

fn sent(world: &World) -> Vec<String> {
    world.sent.iter().map(|order| order.command.target.to_string()).collect()
}

#[test]
fn on_kafka_only_what_is_above_dispatched_is_sent_again() {
    let mut world = between_two_orders();
    world.start().unwrap();
    assert_eq!(sent(&world), ["fraud@production"]);
}

#[test]
fn after_a_move_to_other_topics_all_that_is_outstanding_is_sent_again() {
    let mut world = between_two_orders();
    world.lane_topics = Some(["r2", "o2", "t2"]);
    world.lanes = Default::default();
    world.start().unwrap();
    let mut both = sent(&world);
    both.sort_unstable();
    assert_eq!(both, ["flights@production", "fraud@production"]);
    // Once it owns there, a restart is as any other.
    world.say(Lane::Triggers, trained("prices", "v1"));
    world.turn().unwrap();
    world.sent.clear();
    world.start().unwrap();
    assert_eq!(sent(&world).iter().filter(|target| *target == "flights@production").count(), 0);
}

#[test]
fn in_doubt_it_goes_back_to_what_is_accepted_and_decides_the_same_again() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    for input in world.lanes[Lane::Triggers.index()].clone() {
        world.signal(Signal::Input(Box::new(input))).unwrap();
    }
    let reading = Reading { wall: START, monotonic: Millis(0) };
    let lost = world.partition.step(Signal::Tick(reading));
    assert!(matches!(&lost[..], [Action::Append(_)]), "never written");
    world.signal(Signal::InDoubt).unwrap();
    assert_eq!((world.partition.role(), world.partition.positions()), (Role::Reading, [0, 0, 0]));
    assert_eq!(world.partition.wake_at(), None, "nothing speculative is left");
    world.signal(Signal::Assigned { nonce: [2; 16] }).unwrap();
    world.run_until(END).unwrap();
    assert_eq!(world.run(trigger("flights", "v1").run()).phase, Phase::Live);
    world.verify();
}
