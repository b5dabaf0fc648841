//! A defect of the core costs its stream a wait, and the partition goes on: across restarts, with the view deleted,
//! and also when the event that does not fit stands in the log already.

use domain::model::Release;
use domain::name::Version;
use domain::refusal::Kind as RefusalKind;
use domain::run::{self, Phase};
use domain::transition::{self, Changed, Failure, Transition, transact_watched};
use wire::record::{self, Body, Record, Recorded};

use super::*;
use crate::request::{Request, RunAsk};
use crate::samples::{abort, actor, define_roles, trained, trigger};
use domain::quarantine::{HELD_FULL, HELD_INPUTS_MAX};

/// Fails on every report to the runs of one model.
fn defective(
    streams: &mut Streams,
    input: Input,
    now: Timestamp,
) -> Result<(Transition, Changed), Failure<Unavailable>> {
    let bad = StreamId::Run(trigger("bad", "v1").run());
    let watch = |stream: &StreamId, name: &'static str| {
        if *stream == bad && (name == "Report" || name == "Abort") {
            std::panic::resume_unwind(Box::new("a defect"));
        }
    };
    transact_watched(streams, input, now, Some(&watch))
}

fn resolve(run: RunId, drop: bool) -> Said {
    let ask = RunAsk::Resolve { drop, reason: "mended".into() };
    Said::Request(Box::new(Request::Run { run, actor: actor("ann"), ask }))
}

fn ask(run: RunId, ask: RunAsk) -> Said {
    Said::Request(Box::new(Request::Run { run, actor: actor("ann"), ask }))
}

/// `bad` is quarantined by its first report; `flights` is not.
fn quarantined() -> (World, RunId) {
    let mut world = World::new();
    world.partition.decide = defective;
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Triggers, trained("bad", "v1"));
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.run_until(START + Millis::minutes(10)).unwrap();
    (world, trigger("bad", "v1").run())
}

#[test]
fn one_run_is_quarantined_and_the_rest_of_the_partition_goes_on() {
    let (mut world, bad) = quarantined();
    assert_eq!(world.run(trigger("flights", "v1").run()).phase, Phase::Live);
    let alarm = &world.alarms[0];
    assert_eq!((alarm.code, &alarm.stream), (refused::QUARANTINED, &StreamId::Run(bad)));
    assert!(alarm.text.contains("Report failed: panicked: a defect"), "{alarm:?}");
    let row = world.database.run(bad).unwrap().unwrap();
    assert!(row.withheld.quarantined.unwrap().contains("a defect"));
    assert_eq!((row.withheld.held, row.ended), (1, false));
    assert_eq!(world.answers().iter().filter(|answer| !refused_code(answer).is_empty()).count(), 0);
    assert_eq!(world.verify().withheld.len(), 1, "and verify says so");
}

#[test]
fn a_quarantine_survives_a_restart_and_ends_when_it_is_resolved() {
    for forget in [false, true] {
        let (mut world, bad) = quarantined();
        if forget {
            world.database.forget_view();
        }
        // The new binary is mended; the stream waits for a person all the same.
        world.restart();
        world.run_until(START + Millis::minutes(20)).unwrap();
        assert_eq!(world.run(bad).holding.as_ref().unwrap().held.len(), 1);
        world.say(Lane::Requests, resolve(bad, false));
        world.run_until(START + Millis::minutes(30)).unwrap();
        assert_eq!(world.run(bad).phase, Phase::Live, "what was held is decided, and it goes on");
        let report = world.verify();
        assert_eq!(report.withheld, []);
        assert!(world.database.run(bad).unwrap().unwrap().withheld.quarantined.is_none());
        assert!(world.done.values().all(|attempts| attempts.len() == 1), "nothing was done twice");
    }
}

#[test]
fn what_fails_again_after_a_resolve_can_be_dropped() {
    let (mut world, bad) = quarantined();
    world.say(Lane::Requests, resolve(bad, false));
    world.run_until(START + Millis::minutes(20)).unwrap();
    assert_eq!(world.run(bad).holding.as_ref().unwrap().held.len(), 1, "it failed again");
    world.say(Lane::Requests, resolve(bad, true));
    world.turn().unwrap();
    assert!(world.run(bad).holding.is_none());
    // What was dropped was the worker's answer: another is asked for.
    world.restart();
    world.run_until(START + Millis::minutes(40)).unwrap();
    assert_eq!(world.run(bad).phase, Phase::Live);
    world.verify();
}

#[test]
fn a_crash_at_any_place_keeps_what_is_held() {
    let (reference, bad) = quarantined();
    for dies_in in 0..reference.actions_done {
        let mut world = World::new();
        world.partition.decide = defective;
        world.dies_in = Some(dies_in);
        world.say(Lane::Requests, define_roles());
        world.say(Lane::Triggers, trained("bad", "v1"));
        world.say(Lane::Triggers, trained("flights", "v1"));
        if world.run_until(START + Millis::minutes(10)).is_err() {
            world.restart();
            world.partition.decide = defective;
            world.run_until(START + Millis::minutes(15)).unwrap();
        }
        assert!(world.run(bad).quarantine().is_some(), "died after {dies_in} actions");
        world.restart();
        world.say(Lane::Requests, resolve(bad, false));
        world.run_until(START + Millis::minutes(30)).unwrap();
        assert_eq!(world.run(bad).phase, Phase::Live, "died after {dies_in} actions");
        world.verify();
    }
}

#[test]
fn aborting_a_quarantined_run_needs_no_ordinary_decision() {
    let (mut world, bad) = quarantined();
    world.say(Lane::Requests, abort(bad));
    world.turn().unwrap();
    assert!(world.run(bad).is_ended(), "deciding Abort would have failed, too");
    assert!(world.database.target(&samples::target("bad")).unwrap().unwrap().under_way == 0);
    world.verify();
}

#[test]
fn what_is_held_is_bounded_and_what_is_more_is_not_recorded() {
    let (mut world, bad) = quarantined();
    for number in 0..HELD_INPUTS_MAX - 1 {
        world.say(Lane::Requests, ask(bad, RunAsk::Pause { reason: format!("{number}").into() }));
    }
    world.turn().unwrap();
    world.answers();
    let records = world.records();
    world.say_as(Lane::Requests, ask(bad, RunAsk::Pause { reason: "one more".into() }), Some("r"));
    world.turn().unwrap();
    let [Answer::Refused(refusal)] = &world.answers()[..] else { panic!("refused, unrecorded") };
    assert_eq!((refusal.code.as_str(), refusal.kind), (HELD_FULL, RefusalKind::Busy));
    assert!(refusal.hint.as_ref().unwrap().contains("modelrail resolve"));
    assert_eq!(world.records(), records);
    // The same request again is taken once there is room.
    world.partition.decide = transition::transact;
    world.say(Lane::Requests, resolve(bad, true));
    world.run_until(START + Millis::minutes(20)).unwrap();
    world.say_as(Lane::Requests, ask(bad, RunAsk::Resume { reason: "go on".into() }), Some("s"));
    world.run_until(START + Millis::minutes(40)).unwrap();
    assert_eq!(world.run(bad).phase, Phase::Live);
}

#[test]
fn a_panic_outside_of_every_stream_costs_its_input_and_nothing_else() {
    fn broken(
        streams: &mut Streams,
        input: Input,
        now: Timestamp,
    ) -> Result<(Transition, Changed), Failure<Unavailable>> {
        if let Input::Run(_, run::Input::Start(start)) = &input
            && start.target.model.as_str() == "bad"
        {
            std::panic::resume_unwind(Box::new("a defect"));
        }
        transition::transact(streams, input, now)
    }
    let mut world = World::new();
    world.partition.decide = broken;
    for model in ["flights", "bad", "fraud"] {
        world.say(Lane::Triggers, trained(model, "v1"));
    }
    world.turn().unwrap();
    let answers = world.answers();
    assert!(matches!(answers[0], Answer::Recorded { refused: None, .. }));
    assert_eq!(refused_code(&answers[1]), refused::DEFECT);
    assert!(matches!(answers[2], Answer::Recorded { refused: None, .. }));
    assert_eq!(world.alarms[0].code, refused::DEFECT);
    world.verify();
}

#[test]
fn an_event_in_the_log_that_does_not_fit_quarantines_its_stream_at_its_last_good_state() {
    let mut world = World::new();
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.run_until(START + Millis::minutes(10)).unwrap();
    let run = trigger("flights", "v1").run();
    let before = world.run(run);
    // As a binary with a defect would have written it.
    let by = Release { version: Version::parse("v2").unwrap(), bundle: Digest::of(b"v2"), run: None };
    let events = vec![
        run::Event::LiveNoted { live: None },
        run::Event::Started { start: before.start.clone().unwrap(), at: world.now },
    ];
    let step = transition::Step::Run { run, input: run::Input::Replaced { by }, events };
    let head = world.partition.head().clone();
    let recorded = Recorded {
        now: world.now,
        epoch: head.epoch,
        engine_version: "0.0.0".into(),
        decide_revision: 0,
        lane: None,
        before: head.positions,
        after: head.positions,
        dispatched: head.dispatched,
        input_id: None,
        traceparent: None,
        transition: Transition { steps: vec![step], refused: None },
        unread: vec![],
    };
    let body = Body::Transition(Box::new(recorded));
    let bytes = record::encode(&Record { seq: head.seq + 1, prev: head.hash, body });
    world.database.append(&[Append { partition: 0, records: vec![bytes] }]).unwrap();
    for forget in [false, true] {
        if forget {
            world.database.forget_view();
        }
        world.restart();
        let after = world.run(run);
        assert!(after.quarantine().unwrap().why.contains("Started does not fit"), "{after:?}");
        let but_for_that = Run { holding: None, chapter: before.chapter, ..Run::clone(&after) };
        assert_eq!(but_for_that, *before, "nothing of that record counts");
        let reader = replay::Reader::new(world.config.identity(), world.config.parsers);
        let report = replay::verify(replay::from_log(&*world.database, 0), reader).unwrap();
        assert!(report.is_clean(), "a fault of another revision is none of this one");
        assert_eq!(report.withheld[0].0, StreamId::Run(run));
        assert_eq!(report.rows_differing(0, &*world.database).unwrap(), [""; 0]);
    }
    world.answers();
    world.say(Lane::Requests, resolve(run, true));
    world.say(Lane::Requests, resolve(run, false));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), "NOTHING_TO_RESOLVE", "no input is to blame");
    assert!(world.run(run).holding.is_none(), "it goes on from there");
}
