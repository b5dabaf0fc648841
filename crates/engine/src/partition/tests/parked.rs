//! A record that a newer binary wrote parks the streams whose part cannot be read; the others go on.

use domain::run::{self, Phase};
use domain::transition::{Step, Transition};
use prost::Message as _;
use wire::generated::v1;
use wire::record::{self, Body, Record, Recorded};

use super::*;
use crate::port::store::Commit;
use crate::request::{Request, TargetAsk};
use crate::samples::{abort, actor, define_roles, trained, trigger};

/// Both live.
fn world() -> World {
    let mut world = World::new();
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.say(Lane::Triggers, trained("fraud", "v1"));
    world.run_until(START + Millis::minutes(10)).unwrap();
    world.answers();
    world
}

/// A newer binary writes an event that this one does not know, for the run of `flights`.
fn append_newer(world: &mut World) -> RunId {
    let run = trigger("flights", "v1").run();
    let events = vec![run::Event::LiveNoted { live: None }];
    let step = Step::Run { run, input: run::Input::Thawed, events };
    let head = world.partition.head().clone();
    let recorded = Recorded {
        now: world.now,
        epoch: head.epoch,
        engine_version: "99.0.0".into(),
        decide_revision: 99,
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
    let mut proto = v1::Record::decode(&*bytes).unwrap();
    let Some(v1::record::Body::Transition(transition)) = &mut proto.body else { panic!() };
    let Some(v1::step::Step::Run(step)) = &mut transition.steps[0].step else { panic!() };
    step.events[0].event = None;
    world.database.append(&[Append { partition: 0, records: vec![proto.encode_to_vec()] }]).unwrap();
    run
}

fn report(world: &World) -> replay::Report {
    let reader = replay::Reader::new(world.config.identity(), world.config.parsers);
    let report = replay::verify(replay::from_log(&*world.database, 0), reader).unwrap();
    assert!(report.is_clean());
    assert_eq!(report.rows_differing(0, &*world.database).unwrap(), [""; 0]);
    report
}

#[test]
fn a_stream_with_a_newer_record_is_parked_and_the_others_go_on() {
    let mut world = world();
    let run = append_newer(&mut world);
    for forget in [false, true] {
        if forget {
            world.database.forget_view();
        }
        world.restart();
        let row = world.database.run(run).unwrap().unwrap();
        assert!(row.withheld.parked.as_ref().unwrap().contains("needs upgrade"), "{row:?}");
        assert!(row.waits.contains("newer binary"), "{row:?}");
        assert_eq!((row.outstanding, row.wake_at), (0, None), "nobody can tell what is outstanding");
        assert_eq!(world.partition.withheld().count(), 1);
        assert_eq!(report(&world).withheld.len(), 1);
    }
    let records = world.records();
    world.say(Lane::Requests, abort(run));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), refused::NEEDS_UPGRADE);
    assert_eq!(world.records(), records, "what nobody can decide is not recorded");
    world.say(Lane::Triggers, trained("spam", "v1"));
    world.say(Lane::Triggers, trained("fraud", "v2"));
    world.run_until(START + Millis::minutes(20)).unwrap();
    for (model, id) in [("spam", "v1"), ("fraud", "v2")] {
        assert_eq!(world.run(trigger(model, id).run()).phase, Phase::Live, "{model}");
    }
    report(&world);
}

#[test]
fn what_a_parked_run_serves_can_be_killed() {
    let mut world = world();
    let run = append_newer(&mut world);
    world.restart();
    let target = samples::target("flights");
    let (_, bundle) = world.database.target(&target).unwrap().unwrap().live.unwrap();
    let kill = TargetAsk::Kill { bundle, reason: "harmful".into() };
    let request = Request::Target { target: target.clone(), actor: actor("ann"), ask: kill };
    world.say(Lane::Requests, Said::Request(Box::new(request)));
    world.run_until(START + Millis::minutes(20)).unwrap();
    assert!(world.database.target(&target).unwrap().unwrap().live.is_none());
    assert!(world.database.run(run).unwrap().unwrap().withheld.parked.is_some());
    report(&world);
}

#[test]
fn a_binary_that_can_read_it_takes_it_up_where_it_is() {
    let mut world = World::new();
    world.answer = |_, _| None;
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    let run = trigger("flights", "v1").run();
    // The row as a binary left it that could not read the run.
    let head = world.database.head(0).unwrap().unwrap();
    let mut row = world.database.run(run).unwrap().unwrap();
    row.withheld.parked = Some("an event of a newer format".into());
    (row.outstanding, row.wake_at) = (0, None);
    let commit = Commit {
        partition: 0,
        after: head.seq,
        head,
        records: vec![],
        runs: vec![row],
        targets: vec![],
        requests: vec![],
        kept: vec![],
        requests_from: 0,
        lacks_rows: false,
    };
    world.database.commit(&[commit]).unwrap();
    world.answer = |order, now| Some(samples::answer(order, now));
    world.restart();
    assert_eq!(world.database.run(run).unwrap().unwrap().withheld.parked, None);
    world.run_until(START + Millis::minutes(10)).unwrap();
    assert_eq!(world.run(run).phase, Phase::Live, "its work was sent out again");
    report(&world);
}
