//! Timers, leases and the clock.

use super::*;
use crate::samples::{trained, trigger};

/// A world whose worker took the package order and says nothing.
fn silent() -> (World, RunId) {
    let mut world = World::new();
    world.answer = |_, _| None;
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    (world, trigger("flights", "v1").run())
}

fn attempt(run: RunId, number: u32) -> AttemptId {
    AttemptId { owner: StreamId::Run(run), number }
}

fn open_attempts(world: &mut World, run: RunId) -> Vec<u32> {
    world.run(run).attempts_open.iter().map(|open| open.number).collect()
}

#[test]
fn a_silent_attempt_expires_and_the_next_is_issued() {
    let (mut world, run) = silent();
    let lease_ends = world.partition.wake_at().unwrap();
    world.now = Timestamp(lease_ends.0 - 1);
    world.turn().unwrap();
    assert_eq!(open_attempts(&mut world, run), [1], "no moment fires before its time");
    world.now = lease_ends;
    world.turn().unwrap();
    assert_eq!(open_attempts(&mut world, run), [0_u32; 0], "expired; the next after a backoff");
    assert_eq!(world.cancelled, [attempt(run, 1)]);
    world.now = world.partition.wake_at().unwrap();
    world.turn().unwrap();
    assert_eq!(open_attempts(&mut world, run), [2]);
    world.verify();
}

#[test]
fn a_lease_is_renewed_by_a_heartbeat_without_a_record() {
    let (mut world, run) = silent();
    let lease_ends = world.partition.wake_at().unwrap();
    let heard_at = Timestamp(lease_ends.0 - 1_000);
    world.signal(Signal::Heard { attempt: attempt(run, 1), at: heard_at }).unwrap();
    let records = world.records();
    world.now = lease_ends;
    world.turn().unwrap();
    assert_eq!((world.records(), open_attempts(&mut world, run)), (records, vec![1]));
    world.now = world.partition.wake_at().unwrap();
    assert_eq!(world.now - heard_at, lease_ends - START, "the lease counts from the last heartbeat");
    world.turn().unwrap();
    assert_eq!(open_attempts(&mut world, run), [0_u32; 0]);
    let records = world.database.read(0, 0, usize::MAX).unwrap();
    let known = &world.partition.streams.known;
    let last = wire::record::decode(&records.last().unwrap().bytes, known).unwrap();
    let wire::record::Body::Transition(recorded) = last.body else { panic!() };
    let expected = Input::Run(
        run,
        domain::run::Input::LeaseEnded { attempt: attempt(run, 1), heard_at: Some(heard_at) },
    );
    assert_eq!(outside(&recorded.transition), Some(expected), "the input says when it was last heard of");
}

#[test]
fn after_a_restart_leases_count_from_the_new_dispatch() {
    let (mut world, run) = silent();
    let lease_ends = world.partition.wake_at().unwrap();
    world.now = lease_ends + Millis::minutes(3);
    world.restart();
    world.sent.clear();
    world.turn().unwrap();
    assert_eq!(open_attempts(&mut world, run), [1], "it was just sent out again");
    assert_eq!(world.partition.wake_at(), Some(world.now + (lease_ends - START)));
}

#[test]
fn a_step_decides_a_bounded_number_of_moments() {
    let mut config = samples::config(1);
    config.bounds = Bounds { timers_per_step_max: 2, ..Bounds::default() };
    let mut world = World::with(config);
    world.answer = |_, _| None;
    for model in ["a", "b", "c", "d", "e"] {
        world.say(Lane::Triggers, trained(model, "v1"));
    }
    world.turn().unwrap();
    let records = world.records();
    world.now = world.partition.wake_at().unwrap();
    world.turn().unwrap();
    assert_eq!(world.records(), records + 2);
}

#[test]
fn recorded_time_never_goes_back() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    world.now = Timestamp(START.0 - 60_000);
    world.say(Lane::Triggers, trained("flights", "v2"));
    world.turn().unwrap();
    assert_eq!(world.partition.head().now, START);
    world.verify();
}

#[test]
fn a_clock_far_behind_the_record_suspends_decisions_until_it_is_right() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.run_until(START).unwrap();
    world.now = Timestamp(START.0 - CLOCK_SLACK.0 - 1);
    world.say(Lane::Triggers, trained("flights", "v2"));
    let records = world.records();
    world.turn().unwrap();
    world.turn().unwrap();
    assert_eq!((&world.suspensions[..], world.records()), (&[refused::CLOCK_SUSPECT][..], records));
    world.now = START;
    world.turn().unwrap();
    assert_eq!(world.suspensions[1], "resumed");
    assert!(world.records() > records);
}

#[test]
fn a_clock_that_went_back_while_nothing_was_recorded_may_come_again() {
    let mut world = World::new();
    world.turn().unwrap();
    let tick = |minutes: u64, back: Millis| {
        let monotonic = Millis(START.0) + Millis::minutes(minutes);
        Signal::Tick(Reading { wall: Timestamp(START.0 + Millis::minutes(minutes).0 - back.0), monotonic })
    };
    world.signal(tick(60, Millis(0))).unwrap();
    world.signal(tick(61, Millis::minutes(30))).unwrap();
    world.signal(tick(62, Millis(0))).unwrap();
    assert_eq!(world.suspensions, [""; 0]);
    let ahead = Reading {
        wall: START + Millis::minutes(63) + CLOCK_SLACK + Millis(1),
        monotonic: Millis(START.0) + Millis::minutes(63),
    };
    world.signal(Signal::Tick(ahead)).unwrap();
    assert_eq!(world.suspensions, [refused::CLOCK_SUSPECT]);
}

#[test]
fn a_clock_that_jumps_ahead_suspends_decisions() {
    let mut world = World::new();
    world.turn().unwrap();
    world.say(Lane::Triggers, trained("flights", "v1"));
    let jumped = Reading { wall: START + CLOCK_SLACK + Millis(1), monotonic: Millis(START.0) };
    world.signal(Signal::Tick(jumped)).unwrap();
    assert_eq!(world.suspensions, [refused::CLOCK_SUSPECT]);
}

/// Ten runs whose workers say nothing, some of them a sign of life: until everything has expired several times.
fn many_waiting(timers_near_max: usize, restarts: bool) -> (World, usize) {
    let mut config = samples::config(1);
    config.bounds = Bounds { timers_near_max, ..Bounds::default() };
    let mut world = World::with(config);
    world.answer = |_, _| None;
    let mut most = 0;
    for number in 0..10 {
        let model = format!("model-{number}");
        world.say(Lane::Triggers, trained(&model, "v1"));
        world.turn().unwrap();
        if number % 3 == 0 {
            let heard = Signal::Heard { attempt: attempt(trigger(&model, "v1").run(), 1), at: world.now };
            world.now = world.now + Millis::seconds(3);
            world.signal(heard).unwrap();
        }
        world.now = world.now + Millis::seconds(5);
        most = most.max(world.partition.timers.len());
    }
    let end = world.now + Millis::minutes(60);
    for _ in 0..TURNS_MAX {
        let Some(at) = world.partition.wake_at().filter(|at| *at < end) else { break };
        world.now = world.now.max(at);
        let records = world.records();
        world.turn().unwrap();
        most = most.max(world.partition.timers.len());
        if restarts && world.records() > records {
            world.restart();
        }
    }
    assert!(world.partition.wake_at().is_none_or(|at| at >= end), "it does not come to an end");
    world.verify();
    (world, most)
}

#[test]
fn moments_left_to_the_view_come_in_their_time() {
    let (whole, all) = many_waiting(1_024, false);
    assert!(whole.records() > 30 && all >= 10, "{} records, {all} timers", whole.records());
    for near_max in [1, 2, 3] {
        let (world, most) = many_waiting(near_max, false);
        assert_eq!(world.partition.head().hash, whole.partition.head().hash, "the same log");
        assert!(most < all, "{most} of {all}");
    }
    // Each start is in the log, and leases count from it.
    let (restarted, _) = many_waiting(1_024, true);
    let (near, _) = many_waiting(1, true);
    assert_eq!(near.partition.head().hash, restarted.partition.head().hash);
}
