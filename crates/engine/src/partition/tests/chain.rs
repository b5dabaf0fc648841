//! What a reader accepts, counts as a loser, and stops at.

use super::*;
use crate::code::Code;
use crate::port::log::Landed;
use crate::samples::trained;
use wire::record::{Body, Record, decode, encode, hash};

/// A world with some history, and its last record.
fn world() -> (World, Record) {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    world.turn().unwrap();
    let last = world.database.read(0, 0, usize::MAX).unwrap().pop().unwrap();
    let record = decode(&last.bytes, &world.partition.streams.known).unwrap();
    (world, record)
}

/// A record that fits after the last, with its body changed.
fn next(world: &World, last: &Record, change: impl FnOnce(&mut wire::record::Recorded)) -> Record {
    let mut body = last.body.clone();
    let Body::Transition(recorded) = &mut body else { panic!("the last record is a transition") };
    recorded.before = world.partition.head().positions;
    recorded.after = recorded.before;
    change(recorded);
    Record { seq: last.seq + 1, prev: world.partition.head().hash, body }
}

fn read(world: &mut World, record: &Record) -> Option<Stopped> {
    let offset = world.partition.head().next_offset;
    let landed = Landed { offset, bytes: encode(record) };
    world.database.append(&[Append { partition: 0, records: vec![landed.bytes.clone()] }]).unwrap();
    world.signal(Signal::RecordRead(landed)).unwrap();
    world.stopped.take()
}

#[test]
fn created_is_the_first_record_and_each_start_claims() {
    let (mut world, _) = world();
    world.restart();
    let known = world.partition.streams.known.clone();
    let records = world.database.read(0, 0, usize::MAX).unwrap();
    let bodies: Vec<Body> = records.iter().map(|it| decode(&it.bytes, &known).unwrap().body).collect();
    let created = Body::Created {
        log_id: [9; 16],
        partition: 0,
        partitions: 1,
        format: 1,
        in_flight_records_max: 1_024,
    };
    assert_eq!(bodies[0], created);
    assert!(matches!(bodies[1], Body::Claimed { .. }));
    assert!(matches!(bodies.last(), Some(Body::Claimed { .. })));
    assert_eq!(world.partition.head().epoch, records.len() as u64);
    for (pair, seq) in records.windows(2).zip(2..) {
        let record = decode(&pair[1].bytes, &known).unwrap();
        assert_eq!((record.seq, record.prev), (seq, hash(&pair[0].bytes)), "dense, each on the one before");
    }
}

#[test]
fn each_record_says_up_to_where_effects_were_dispatched() {
    let (mut world, last) = world();
    let Body::Transition(recorded) = last.body else { panic!() };
    assert!(recorded.dispatched >= 4, "the trigger's record: {}", recorded.dispatched);
    world.restart();
    assert!(world.partition.head().dispatched >= recorded.dispatched);
}

#[test]
fn a_record_that_does_not_fit_is_counted_and_never_applied() {
    let (mut world, last) = world();
    let before = world.verify().state;
    let mut loser = next(&world, &last, |_| {});
    loser.prev = Digest::of(b"another history");
    assert_eq!(read(&mut world, &loser), None);
    assert_eq!(world.partition.head().losers, 1);
    assert_eq!(world.partition.role(), Role::Reading, "another writes here: it no longer appends");
    world.restart();
    assert_eq!((world.verify().state, world.partition.head().losers), (before, 1));
}

#[test]
fn records_that_break_the_rules_stop_the_partition_with_a_named_code() {
    type Change = fn(&mut Record);
    fn recorded(record: &mut Record) -> &mut wire::record::Recorded {
        let Body::Transition(recorded) = &mut record.body else { panic!() };
        recorded
    }
    let cases: [(Code, Change); 10] = [
        (Code::HistoryGap, |record| {
            record.prev = Digest::of(b"unknown");
            record.seq += 1_024;
        }),
        (Code::HistoryGap, |record| {
            record.prev = Digest::of(b"unknown");
            record.seq += 1;
            record.body = Body::Claimed { nonce: [5; 16], binary: String::new(), lanes: vec![] };
        }),
        (Code::SeqBroken, |record| record.seq += 1),
        (Code::PositionBroken, |record| recorded(record).before[0] += 1),
        (Code::PositionBroken, |record| recorded(record).after[1] = 0),
        (Code::EpochBroken, |record| recorded(record).epoch += 1),
        (Code::TimeBroken, |record| recorded(record).now.0 -= 1),
        (Code::DispatchedBroken, |record| recorded(record).dispatched = record.seq),
        (Code::FormatBroken, |record| record.body = Body::FormatRaised { format: 1 }),
        (Code::ForeignLog, |record| {
            record.body = Body::Created {
                log_id: [9; 16],
                partition: 0,
                partitions: 1,
                format: 1,
                in_flight_records_max: 1,
            };
        }),
    ];
    for (code, change) in cases {
        let (mut world, last) = world();
        let mut record = next(&world, &last, |_| {});
        change(&mut record);
        let head = world.partition.head().seq;
        let stopped = read(&mut world, &record).unwrap_or_else(|| panic!("{code} was not found"));
        assert_eq!(stopped.code, code, "{stopped}");
        assert_eq!((world.partition.role(), world.partition.head().seq), (Role::Stopped, head));
        assert_eq!(world.partition.step(Signal::Assigned { nonce: [0; 16] }), [], "nothing is done any more");
    }
}

#[test]
fn within_the_bound_a_stray_record_is_a_loser() {
    let (mut world, last) = world();
    let mut record = next(&world, &last, |_| {});
    record.prev = Digest::of(b"unknown");
    record.seq += 1_023;
    assert_eq!(read(&mut world, &record), None);
}

#[test]
fn the_log_and_the_view_of_another_are_refused() {
    let (world, _) = world();
    let mut other = world.config.clone();
    other.log_id = [8; 16];
    let store = || Arc::clone(&world.database) as Arc<dyn Store>;
    assert!(matches!(Partition::open(other.clone(), store()), Err(OpenError::Foreign { partition: 0 })));
    assert!(world.partition.check_end(1).is_err_and(|stopped| stopped.code == Code::ForeignStore));
    world.database.forget_view();
    let mut reader = Partition::open(other, Arc::clone(&world.database) as Arc<dyn Store>).unwrap();
    let first = world.database.read(0, 0, 1).unwrap().remove(0);
    let actions = reader.step(Signal::RecordRead(first));
    assert!(matches!(&actions[..], [Action::Stop(Stopped { code: Code::ForeignLog, .. })]), "{actions:?}");
}

#[test]
fn bytes_that_are_no_record_stop_it() {
    let (mut world, _) = world();
    let offset = world.partition.head().next_offset;
    world.signal(Signal::RecordRead(Landed { offset, bytes: vec![0xff; 20] })).unwrap();
    assert_eq!(world.stopped.unwrap().code, Code::RecordUnreadable);
}
