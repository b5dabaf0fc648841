//! Streams cut into chapters: read from the last one on, the same as from the first, and held against each other.

use std::cell::Cell;
use std::sync::Mutex;

use domain::chapter::{Bounds as Chapters, Chapter};
use domain::name::TargetId;
use domain::target::{self, Target, Unfenced};
use domain::transition::{Changed, Failure, Step, Transition};
use wire::codec::state_digest;
use wire::record::{self, Body, Record};

use super::*;
use crate::port::log;
use crate::port::row::{RunRow, TargetRow};
use crate::port::store;
use crate::request::{Request, TargetAsk};
use crate::samples::{actor, define_roles, freeze, target, trained, trigger};

const OFTEN: Chapters = Chapters { target_events_max: 5, run_events_max: 4 };

fn config(chapters: Chapters) -> Config {
    let mut config = samples::config(1);
    config.bounds.chapters = chapters;
    config
}

type Change = fn(&mut Target);

/// Three releases, one after the other.
fn deliver(world: &mut World) {
    world.say(Lane::Requests, define_roles());
    for version in ["v1", "v2", "v3"] {
        world.say(Lane::Triggers, trained("flights", version));
        world.run_until(world.now + Millis::minutes(10)).unwrap();
    }
}

fn delivered(chapters: Chapters) -> World {
    let mut world = World::with(config(chapters));
    deliver(&mut world);
    world
}

fn reader(world: &World) -> replay::Reader {
    replay::Reader::new(world.config.identity(), world.config.parsers)
}

fn verified(world: &World) -> replay::Report {
    let records = replay::from_log(&*world.database, 0);
    replay::verify_with(records, reader(world), world.config.bounds.chapters).unwrap()
}

/// A view that notes from where streams are read.
#[derive(Debug)]
struct Spy {
    inner: Arc<memory::Embedded>,
    read_from: Mutex<Vec<(StreamId, u64)>>,
}

impl Store for Spy {
    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, store::Error> {
        self.read_from.lock().unwrap().push((stream.clone(), from));
        self.inner.stream(partition, stream, from, records_max)
    }
    fn head(&self, partition: u32) -> Result<Option<Head>, store::Error> {
        self.inner.head(partition)
    }
    fn commit(&self, commits: &[store::Commit]) -> Result<(), store::Error> {
        self.inner.commit(commits)
    }
    fn kept(&self, partition: u32, stream: &StreamId) -> Result<Option<store::KeptState>, store::Error> {
        self.inner.kept(partition, stream)
    }
    fn run(&self, run: RunId) -> Result<Option<RunRow>, store::Error> {
        self.inner.run(run)
    }
    fn runs(&self, query: &store::Query) -> Result<Vec<RunRow>, store::Error> {
        self.inner.runs(query)
    }
    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, store::Error> {
        self.inner.target(target)
    }
    fn targets(&self) -> Result<Vec<TargetRow>, store::Error> {
        self.inner.targets()
    }
    fn open(&self, partition: u32) -> Result<store::Open, store::Error> {
        self.inner.open(partition)
    }
    fn wakes(
        &self,
        partition: u32,
        after: Option<&store::Wake>,
        wakes_max: usize,
    ) -> Result<Vec<store::Wake>, store::Error> {
        self.inner.wakes(partition, after, wakes_max)
    }
    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, store::Error> {
        self.inner.request(partition, input_id)
    }
}

#[test]
fn a_stream_is_read_from_its_last_chapter_on_and_is_the_same() {
    let world = delivered(OFTEN);
    let report = verified(&world);
    assert!(report.is_clean(), "{:?} {:?}", report.differences, report.chapters);
    assert!(report.chapters.compared > 8, "{:?}", report.chapters);
    assert_eq!(report.rows_differing(0, &*world.database).unwrap(), [""; 0]);

    let spy = Arc::new(Spy { inner: Arc::clone(&world.database), read_from: Mutex::default() });
    let mut opened = Partition::open(world.config.clone(), Arc::clone(&spy) as Arc<dyn Store>).unwrap();
    let (mut cut, mut before) = (0, 0);
    for (id, whole) in &report.states.targets {
        let row = world.database.target(id).unwrap().unwrap();
        spy.read_from.lock().unwrap().clear();
        let folded = opened.streams.target(id).unwrap().folded.clone();
        assert_eq!(folded.state, whole.state);
        assert_eq!(folded.transitions, whole.transitions, "records are counted through chapters");
        assert_eq!((folded.chapter, folded.last_seq), (whole.chapter, whole.last_seq));
        let from = row.chapter.map_or(0, |chapter| chapter.seq);
        assert_eq!(*spy.read_from.lock().unwrap(), [(StreamId::Target(id.clone()), from)]);
        (cut, before) = (cut + from, before + row.chapter.map_or(0, |chapter| chapter.before));
    }
    for (id, whole) in &report.states.runs {
        spy.read_from.lock().unwrap().clear();
        let folded = opened.streams.run(*id).unwrap().folded.clone();
        assert_eq!((folded.state, folded.transitions), (Arc::clone(&whole.state), whole.transitions));
        let from = world.database.run(*id).unwrap().unwrap().chapter.map_or(0, |chapter| chapter.seq);
        assert_eq!(*spy.read_from.lock().unwrap(), [(StreamId::Run(*id), from)]);
        cut += from;
    }
    assert!(cut > 0 && before > 10, "nothing was left out: {cut} {before}");
}

#[test]
fn a_state_before_the_last_chapter_is_folded_from_the_start() {
    let mut world = delivered(OFTEN);
    let id = target("flights");
    let last = world.database.target(&id).unwrap().unwrap().chapter.unwrap();
    world.restart();
    for upto in 1..world.database.end(0).unwrap() {
        let records = replay::from_log(&*world.database, 0);
        let whole = replay::fold(records, reader(&world), upto).unwrap();
        let folded = world.partition.streams.target_at(&id, upto).unwrap();
        let expected = whole.targets.get(&id).cloned().unwrap_or_default();
        assert_eq!((folded.state, folded.transitions), (expected.state, expected.transitions), "{upto}");
        assert_eq!(folded.chapter.map(|chapter| chapter.seq), expected.chapter.map(|chapter| chapter.seq));
    }
    assert!(last.seq > 20, "{last:?}");
}

/// The log again with its records changed, and chained anew as a forger would.
fn forged(
    world: &World,
    mut change: impl FnMut(u64, &mut Record) -> bool,
) -> Vec<Result<Vec<u8>, log::Error>> {
    let mut reader = reader(world);
    let (mut prev, mut changed, mut records) = (record::NO_PREV, 0, vec![]);
    for bytes in replay::from_log(&*world.database, 0) {
        let replay::Step::Accepted(record) = reader.read(&bytes.unwrap()).unwrap() else { panic!("a loser") };
        let mut record = *record;
        record.prev = prev;
        changed += u64::from(change(record.seq, &mut record));
        let bytes = record::encode(&record);
        prev = record::hash(&bytes);
        records.push(Ok(bytes));
    }
    assert!(changed > 0, "nothing was changed");
    records
}

/// What the first chapters of a record carry.
fn carried(record: &mut Record) -> Option<&mut Target> {
    let Body::Transition(recorded) = &mut record.body else { return None };
    recorded.transition.steps.iter_mut().find_map(|step| match step {
        Step::Target { events, .. } => events.iter_mut().find_map(|event| match event {
            target::Event::ChapterOpened { carried, .. } => Some(Arc::make_mut(carried)),
            _ => None,
        }),
        Step::Run { .. } | Step::Definitions { .. } => None,
    })
}

#[test]
fn a_carried_state_that_was_tampered_with_is_found_though_all_was_hashed_anew() {
    let world = delivered(OFTEN);
    let last = world.database.target(&target("flights")).unwrap().unwrap().chapter.unwrap().seq;
    let tampers: [(&str, Change); 4] = [
        ("another release is live", |target| target.live = None),
        ("a bad bundle is added", |target| target.bad.push(Digest([1; 32]))),
        ("attempts are counted otherwise", |target| target.attempts_issued += 1),
        ("the chapter has another number", |target| target.chapter.opened += 1),
    ];
    for revision in [crate::DECIDE_REVISION, crate::DECIDE_REVISION - 1] {
        for (what, tamper) in tampers {
            let records = forged(&world, |seq, record| {
                // A forger may call it another revision's, whose decisions are not compared.
                if let Body::Transition(recorded) = &mut record.body {
                    recorded.decide_revision = revision;
                }
                let carried = carried(record).filter(|_| seq == last);
                carried.map(tamper).is_some()
            });
            let report = replay::verify_with(records, reader(&world), OFTEN).unwrap();
            assert!(!report.is_clean(), "{what}");
            assert_eq!(report.chapters.broken, 1, "{what}: {:?}", report.chapters);
            let broken = &report.chapters.broken_first[0];
            assert_eq!((broken.seq, &broken.stream), (last, &StreamId::Target(target("flights"))), "{what}");
            assert_ne!(broken.carried, broken.folded);
        }
    }
}

/// Who wrote it could not know which attempts at loading may still act. Where the chapter before is one that does, and
/// none of them ended, only that one is broken.
#[test]
fn a_chapter_of_before_is_held_against_what_was_known_then() {
    let mut world = delivered(OFTEN);
    for _ in 0..6 {
        world.say(Lane::Requests, freeze("flights", "ann", "holidays"));
        world.turn().unwrap();
        let ask = TargetAsk::Unfreeze { reason: "back".into() };
        let asked = Request::Target { target: target("flights"), actor: actor("ann"), ask };
        world.say(Lane::Requests, Said::Request(Box::new(asked)));
        world.turn().unwrap();
    }
    let mut all = 0;
    forged(&world, |_, record| {
        all += u64::from(carried(record).is_some());
        true
    });
    let broken = |place: u64, revision: u32| {
        let mut chapters = 0;
        let records = forged(&world, |_, record| {
            if let Body::Transition(recorded) = &mut record.body {
                recorded.decide_revision = revision;
            }
            let Some(carried) = carried(record) else { return false };
            chapters += 1;
            if chapters == place {
                carried.unfenced = Some(Unfenced::default());
            }
            chapters == place
        });
        replay::verify_with(records, reader(&world), OFTEN).unwrap().chapters.broken
    };
    let found: Vec<(u64, u64)> = (1..=all)
        .map(|place| (broken(place, crate::UNFENCED_SINCE - 1), broken(place, crate::UNFENCED_SINCE)))
        .collect();
    assert!(found.iter().all(|(before, _)| *before == 1), "{found:?}");
    assert!(found.iter().any(|(_, since)| *since == 2), "{found:?}");
}

thread_local! {
    static FORGETS: Cell<Change> = const { Cell::new(|_| {}) };
}

/// A core with a defect: what a chapter carries lacks something.
fn forgetful(
    streams: &mut Streams,
    input: Input,
    now: Timestamp,
) -> Result<(Transition, Changed), Failure<Unavailable>> {
    let (mut transition, mut changed) = domain::transition::transact(streams, input, now)?;
    for step in &mut transition.steps {
        let Step::Target { target, events, .. } = step else { continue };
        if let Some(target::Event::ChapterOpened { carried, .. }) = events.last_mut() {
            FORGETS.get()(Arc::make_mut(carried));
            changed.targets.insert(target.clone(), Arc::clone(carried));
        }
    }
    Ok((transition, changed))
}

/// The negative control: whatever is left out of what a chapter carries, verification is red.
#[test]
fn a_chapter_that_lacks_anything_is_red() {
    let fields: [(&str, Change); 13] = [
        ("nothing", |_| {}),
        ("under_way", |target| target.under_way.clear()),
        ("live", |target| target.live = None),
        ("last_good", |target| target.last_good = None),
        ("table", |target| target.table = None),
        ("raised_at", |target| target.raised_at = Timestamp(0)),
        ("raised_for", |target| target.raised_for = None),
        ("observed", |target| target.observed = domain::routes::Generation(0)),
        ("gateways", |target| target.gateways.clear()),
        ("servers", |target| target.servers.clear()),
        ("attempts_issued", |target| target.attempts_issued = 0),
        ("prepare", |target| target.prepare = target::ErrandState::default()),
        ("apply", |target| target.apply = target::ErrandState::default()),
    ];
    for (field, forget) in fields {
        FORGETS.set(forget);
        let mut world = World::with(config(OFTEN));
        let store = Arc::clone(&world.database) as Arc<dyn Store>;
        world.partition = Partition::open_deciding(world.config.clone(), store, forgetful).unwrap();
        world.signal(Signal::Assigned { nonce: [2; 16] }).unwrap();
        world.say(Lane::Requests, define_roles());
        for version in ["v1", "v2", "v3"] {
            world.say(Lane::Triggers, trained("flights", version));
            for _ in 0..40 {
                world.turn().unwrap();
                world.now = world.now + Millis::seconds(10);
            }
        }
        let report = verified(&world);
        assert!(report.chapters.compared > 3, "{field}: {:?}", report.chapters);
        assert_eq!(report.is_clean(), field == "nothing", "{field}: {:?}", report.chapters);
        assert_eq!(report.chapters.broken > 0, field != "nothing", "{field}");
    }
}

#[test]
fn a_log_of_before_there_were_chapters_is_verified_as_it_was_decided_and_cut_from_then_on() {
    let world = delivered(Chapters::NEVER);
    let records = forged(&world, |_, record| match &mut record.body {
        Body::Transition(recorded) => {
            recorded.decide_revision = crate::CHAPTERS_SINCE - 1;
            true
        }
        Body::Created { .. } | Body::Claimed { .. } | Body::FormatRaised { .. } => false,
    });
    let records: Vec<Vec<u8>> = records.into_iter().map(Result::unwrap).collect();
    let infallible = records.iter().cloned().map(Ok::<_, std::convert::Infallible>);
    let report = replay::verify_with(infallible, reader(&world), OFTEN).unwrap();
    assert!(report.differences.is_empty() && report.other_revisions > 0, "{:?}", report.differences);

    let mut upgraded = World::with(config(OFTEN));
    upgraded.database = Arc::new(memory::Embedded::new(1));
    upgraded.database.append(&[Append { partition: 0, records }]).unwrap();
    upgraded.lanes = world.lanes.clone();
    upgraded.now = world.now;
    upgraded.start().unwrap();
    assert_eq!(upgraded.database.target(&target("flights")).unwrap().unwrap().chapter, None);
    upgraded.say(Lane::Requests, freeze("flights", "ann", "holidays"));
    upgraded.turn().unwrap();
    let row = upgraded.database.target(&target("flights")).unwrap().unwrap();
    assert_eq!(row.chapter.map(|chapter| chapter.seq), Some(row.last_seq), "the first chance is taken");
    let report = verified(&upgraded);
    assert!(report.is_clean() && report.chapters.compared > 0, "{:?}", report.differences);
    assert_eq!(report.rows_differing(0, &*upgraded.database).unwrap(), [""; 0]);
}

/// A crash at any place leaves the same chapters.
#[test]
fn a_crash_between_any_two_actions_leaves_the_same_chapters() {
    let digests = |world: &World| {
        let report = verified(world);
        assert!(report.is_clean(), "{:?} {:?}", report.differences, report.chapters);
        assert_eq!(report.rows_differing(0, &*world.database).unwrap(), [""; 0]);
        let targets: Vec<(Chapter, Digest)> = (report.states.targets.values())
            .map(|folded| (folded.state.chapter, state_digest(&*folded.state)))
            .collect();
        let runs: Vec<Digest> =
            report.states.runs.values().map(|folded| state_digest(&*folded.state)).collect();
        (targets, runs, report.chapters.compared)
    };
    let story = |world: &mut World| {
        world.say(Lane::Requests, define_roles());
        world.say(Lane::Triggers, trained("flights", "v1"));
        world.run_until(START + Millis::minutes(10))
    };
    let mut whole = World::with(config(OFTEN));
    let began_with = whole.actions_done;
    story(&mut whole).unwrap();
    let (expected, actions) = (digests(&whole), whole.actions_done - began_with);
    assert!(expected.2 >= 3, "{expected:?}");
    for dies_in in 0..actions {
        let mut world = World::with(config(OFTEN));
        world.dies_in = Some(dies_in);
        if story(&mut world) == Err(Crash) {
            world.restart();
            world.run_until(START + Millis::minutes(10)).unwrap();
        }
        assert_eq!(digests(&world), expected, "after a crash before action {dies_in}");
    }
}

#[test]
fn chapters_change_no_answer_and_no_command() {
    let (cut, whole) = (delivered(OFTEN), delivered(Chapters::NEVER));
    let orders = |world: &World| world.done.clone();
    assert_eq!(orders(&cut), orders(&whole));
    let answers = |mut world: World| world.answers();
    assert_eq!(answers(cut), answers(whole), "each input has its one record");
}

/// An attempt is answered in another chapter than it was issued in: it is still the first answer that counts.
#[test]
fn a_late_answer_is_late_in_the_next_chapter_too() {
    let mut world = delivered(Chapters { target_events_max: 1, run_events_max: 1 });
    let run = trigger("flights", "v3").run();
    let state = world.run(run);
    assert!(state.chapter.opened > 0);
    let attempt = AttemptId { owner: StreamId::Run(run), number: 1 };
    let token = token::sign(world.config.key, &attempt);
    world.answers();
    let answer = WorkerAnswer::Declined("busy".into());
    world.say(Lane::Outcomes, Said::Report(Box::new(Report { attempt, token, answer })));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), "LATE");
    assert_eq!(world.run(run).chapter, state.chapter, "what is refused is no event");
}

/// What a newer binary wrote before the chapter need not be read to go on after it.
#[test]
fn a_chapter_that_can_be_read_ends_the_parking_of_its_stream() {
    let world = delivered(OFTEN);
    let id = target("flights");
    let stream = StreamId::Target(id.clone());
    let whole = verified(&world).states.targets[&id].clone();
    let opened_at = whole.chapter.unwrap();
    let fold = |state: &_, steps: &[Step], now| crate::fold::target_after(state, &id, steps, now);
    let mut folded = crate::fold::Folded::<Target>::default();
    for (seq, bytes) in world.database.stream(0, &stream, 0, usize::MAX).unwrap() {
        let known = &world.partition.streams.known;
        let Body::Transition(mut recorded) = record::decode(&bytes, known).unwrap().body else { panic!() };
        if folded.transitions + 1 == opened_at.before {
            recorded.transition.steps.retain(|step| step.stream() != stream);
            recorded.unread.push((stream.clone(), "it is newer".to_owned()));
        }
        folded = folded.and(&stream, seq, &recorded, fold);
        assert_eq!(folded.parked.is_some(), folded.transitions == opened_at.before, "record {seq}");
    }
    assert_eq!((folded.state, folded.transitions), (whole.state, whole.transitions));
    assert_eq!(folded.chapter, whole.chapter);
}

/// Three releases, of which the view keeps states.
fn delivered_and_kept(keep_every: u64) -> World {
    let mut config = config(Chapters::default());
    config.bounds.keep_every = keep_every;
    let mut world = World::with(config);
    deliver(&mut world);
    world
}

/// Of the target after a start: its state's digest, and from where it was read.
fn folded_anew(world: &World, store: &Arc<Spy>) -> (Digest, u64, u64) {
    let store = Arc::clone(store);
    let mut opened = Partition::open(world.config.clone(), Arc::clone(&store) as Arc<dyn Store>).unwrap();
    store.read_from.lock().unwrap().clear();
    let folded = opened.streams.target(&target("flights")).unwrap().folded.clone();
    let read_from = store.read_from.lock().unwrap().first().map_or(0, |(_, from)| *from);
    (state_digest(&*folded.state), folded.transitions, read_from)
}

#[test]
fn a_long_stream_is_read_from_its_kept_state_on_and_is_the_same() {
    let whole = delivered_and_kept(u64::MAX);
    let spy =
        |world: &World| Arc::new(Spy { inner: Arc::clone(&world.database), read_from: Mutex::default() });
    let (expected, transitions, from) = folded_anew(&whole, &spy(&whole));
    assert_eq!(from, 0, "none is kept");
    for keep_every in [1, 2, 5] {
        let world = delivered_and_kept(keep_every);
        assert_eq!(world.partition.head().hash, whole.partition.head().hash, "the log knows nothing of it");
        let stream = StreamId::Target(target("flights"));
        let kept = world.database.kept(0, &stream).unwrap().unwrap();
        assert!(kept.transitions + keep_every.max(kept.state.len() as u64 / 256) > transitions, "kept again");
        let (digest, folded, from) = folded_anew(&world, &spy(&world));
        assert_eq!((digest, folded), (expected, transitions));
        assert_eq!(from, kept.seq + 1, "nothing before it is read");
    }
}

#[test]
fn a_kept_state_that_is_not_of_this_release_or_does_not_read_back_is_none() {
    let world = delivered_and_kept(2);
    let (expected, transitions, _) = folded_anew(
        &world,
        &Arc::new(Spy { inner: Arc::clone(&world.database), read_from: Mutex::default() }),
    );
    let stream = StreamId::Target(target("flights"));
    let kept = world.database.kept(0, &stream).unwrap().unwrap();
    // Folded by another release to something that this one would not come to.
    let empty = wire::codec::Canonical::canonical(&Target::default());
    let other = store::KeptState { version: "0.0.0".into(), state: empty, ..kept.clone() };
    for changed in [other, store::KeptState { state: b"no state".to_vec(), ..kept }] {
        let database = Arc::new(world.database.copy());
        let head = world.partition.head().clone();
        let commit = store::Commit {
            partition: 0,
            after: head.seq,
            head,
            records: vec![],
            runs: vec![],
            targets: vec![],
            requests: vec![],
            kept: vec![changed],
            requests_from: 0,
            lacks_rows: false,
        };
        database.commit(&[commit]).unwrap();
        let spy = Arc::new(Spy { inner: database, read_from: Mutex::default() });
        assert_eq!(folded_anew(&world, &spy), (expected, transitions, 0), "folded from the log");
    }
}
