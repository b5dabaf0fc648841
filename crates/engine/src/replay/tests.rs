use std::cell::Cell;
use std::sync::Arc;

use domain::chapter;
use domain::time::{Millis, Timestamp};

use super::read::landed;
use super::shelf::RUNS_KEPT_MAX;
use super::verify::walked;
use super::walk::{Walk, again, fold_log_keeping};
use super::*;
use crate::embedded::Engine;
use crate::port::clock::Reading;
use crate::port::log::{self, Append, Landed, Log};
use crate::port::memory;
use crate::port::store::{Embedded, Head};
use crate::request::{Report as Reported, Said, WorkerAnswer};
use crate::samples::{self, START, trained};
use wire::record::{self, Body, Lane, Record};

const MODELS: [&str; 3] = ["a", "b", "c"];
const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];
const PASSES_MAX: usize = 2_000;

/// A log in which versions of several models go live one after another, and each replaces the one before.
fn log() -> Arc<memory::Embedded> {
    let database = Arc::new(memory::Embedded::new(1));
    let store = Arc::clone(&database) as Arc<dyn Embedded>;
    let mut engine = Engine::open(&samples::config(1), store, [1; 16]).unwrap();
    let mut now = START;
    for version in VERSIONS {
        for model in MODELS {
            engine.offer(0, Lane::Triggers, trained(model, version), None, None).unwrap();
        }
        now = settle(&mut engine, now) + Millis::hours(1);
    }
    database
}

fn settle(engine: &mut Engine, from: Timestamp) -> Timestamp {
    let mut now = from;
    for _ in 0..PASSES_MAX {
        let passed = engine.pass(Reading { wall: now, monotonic: Millis(now.0) }).unwrap();
        let is_idle = passed.orders.is_empty() && !engine.is_waiting();
        for order in passed.orders {
            let answer = WorkerAnswer::Done(samples::answer(&order.command.order, now));
            let report = Reported { attempt: order.command.attempt, token: order.token, answer };
            engine.offer(0, Lane::Outcomes, Said::Report(Box::new(report)), None, None).unwrap();
        }
        match engine.wake_at() {
            Some(wake) if is_idle && wake < from + Millis::minutes(30) => now = now.max(wake),
            _ if is_idle => return now,
            _ => {}
        }
    }
    panic!("the engine does not come to rest");
}

fn reader() -> Reader {
    let config = samples::config(1);
    Reader::new(config.identity(), config.parsers)
}

/// Verifies with so many runs at hand; gives how many records were read again.
fn verified(log: &dyn Log, kept_max: usize) -> (Report, u64) {
    let (read, source) = (Cell::new(0), again(log, 0));
    let again = |offset| {
        read.set(read.get() + 1);
        source(offset)
    };
    let walk = Walk::laying_aside(reader(), kept_max, &again);
    let report = walked(walk, landed(log, 0), chapter::Bounds::default(), &|_| {}).unwrap();
    (report, read.get())
}

#[test]
fn runs_that_are_laid_aside_come_to_the_same() {
    let log = log();
    let whole = verify(from_log(&*log, 0), reader()).unwrap();
    assert_eq!(whole.states.runs.len(), MODELS.len() * VERSIONS.len());
    for kept_max in [0, 1, 2, 5] {
        let (report, read_again) = verified(&*log, kept_max);
        assert!(report.states.runs.len() <= kept_max, "{} are kept of {kept_max}", report.states.runs.len());
        assert!(read_again > 0, "no run was touched after it was laid aside, of {kept_max} kept");
        assert_eq!(report.laid.len() + report.states.runs.len(), whole.states.runs.len());
        assert_eq!((report.state, &report.head), (whole.state, &whole.head));
        assert_eq!((report.transitions, report.decided), (whole.transitions, whole.decided));
        assert_eq!(report.differences, []);
        assert_eq!(report.rows_differing(0, &*log).unwrap(), Vec::<String>::new());
    }
    for kept_max in [0, 1, RUNS_KEPT_MAX] {
        let folding = fold_log_keeping(&*log, 0, reader(), kept_max, &|_| {}).unwrap();
        assert_eq!((folding.state, folding.transitions), (whole.state, whole.transitions));
    }
}

/// A log as a mirror has it: others' records between were left out.
#[derive(Debug)]
struct Mirror(Vec<Landed>);

impl Mirror {
    fn of(log: &memory::Embedded) -> Self {
        let places = (0..).map(|number: u64| number + number / 3 * 2 + number / 7);
        let records = from_log(log, 0).map(Result::unwrap);
        Self(places.zip(records).map(|(offset, bytes)| Landed { offset, bytes }).collect())
    }
}

impl Log for Mirror {
    fn partitions(&self) -> u32 {
        1
    }
    fn end(&self, _: u32) -> Result<u64, log::Error> {
        Ok(self.0.last().map_or(0, |landed| landed.offset + 1))
    }
    fn append(&self, _: &[Append]) -> Result<(), log::Error> {
        Err(log::Error::Mirror)
    }
    fn read(&self, _: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, log::Error> {
        let wanted = self.0.iter().filter(|landed| landed.offset >= from).take(records_max);
        Ok(wanted.cloned().collect())
    }
}

#[test]
fn a_mirror_with_holes_comes_to_the_same_as_its_log() {
    let log = log();
    let mirror = Mirror::of(&log);
    let whole = verify(from_log(&*log, 0), reader()).unwrap();
    let end = mirror.end(0).unwrap();
    assert!(end > whole.head.next_offset, "it has holes");
    for kept_max in [0, 2, RUNS_KEPT_MAX] {
        let (report, read_again) = verified(&mirror, kept_max);
        assert_eq!(
            read_again > 0,
            kept_max < RUNS_KEPT_MAX,
            "runs laid aside are read again at their places"
        );
        assert_eq!(report.state, whole.state);
        assert_eq!(report.head, Head { next_offset: end, ..whole.head.clone() }, "where the log has its end");
        assert!(report.is_clean() && report.decided == whole.decided);
        let folding = fold_log_keeping(&mirror, 0, reader(), kept_max, &|_| {}).unwrap();
        assert_eq!((folding.state, folding.head), (whole.state, report.head));
    }
}

#[test]
fn the_row_of_a_run_that_was_laid_aside_is_compared() {
    let log = log();
    let (report, _) = verified(&*log, 0);
    let none = memory::Embedded::new(1);
    let differing = report.rows_differing(0, &none).unwrap();
    assert_eq!(differing.len(), report.laid.len() + report.states.targets.len());
}

#[test]
fn records_that_came_to_something_else_the_second_time_are_an_error() {
    let log = log();
    let end = log.end(0).unwrap();
    // The last record instead of each: another run's, or another place of this one's.
    let other = |_| Ok(log.read(0, end - 1, 1).unwrap().remove(0).bytes);
    let walk = Walk::laying_aside(reader(), 0, &other);
    let error = walked(walk, landed(&*log, 0), chapter::Bounds::default(), &|_| {}).unwrap_err();
    assert!(matches!(error, ReadError::Changed { .. }), "{error}");
}

#[test]
fn an_event_that_does_not_fit_is_folded_as_by_every_reader() {
    let log = log();
    // A run's first record once more, well chained: its start does not fit any more.
    let mut reader_of_all = reader();
    let mut start = None;
    for bytes in from_log(&*log, 0) {
        if let Step::Accepted(record) = reader_of_all.read(&bytes.unwrap()).unwrap()
            && let Body::Transition(recorded) = record.body
            && recorded.transition.steps.iter().any(|step| step.event_names().contains(&"Started"))
        {
            start.get_or_insert(recorded);
        }
    }
    let head = reader_of_all.head();
    let mut again = start.unwrap();
    (again.before, again.after, again.now) = (head.positions, head.positions, head.now);
    (again.epoch, again.dispatched) = (head.epoch, head.dispatched);
    let record = Record { seq: head.seq + 1, prev: head.hash, body: Body::Transition(again) };
    log.append(&[Append { partition: 0, records: vec![record::encode(&record)] }]).unwrap();
    let whole = fold(from_log(&*log, 0), reader(), u64::MAX).unwrap();
    assert!(!whole.withheld().is_empty(), "it did fit");
    let folding = fold_log(&*log, 0, reader(), &|_| {}).unwrap();
    assert_eq!((folding.state, folding.withheld), (whole.hash(), whole.withheld()));
}

fn copied(from: &memory::Embedded, to: &memory::Embedded) -> Result<Copied, CopyError> {
    copy(from, to, 0, samples::config(1).parsers, |_| {})
}

fn records_of(log: &memory::Embedded) -> Vec<Vec<u8>> {
    landed(log, 0).map(|landed| landed.unwrap().bytes).collect()
}

fn append(log: &memory::Embedded, records: &[Vec<u8>]) {
    log.append(&[Append { partition: 0, records: records.to_vec() }]).unwrap();
}

#[test]
fn a_copy_has_every_accepted_record_and_goes_on_where_it_was_cut_short() {
    let from = log();
    let records = records_of(&from);
    for there in [0, 1, records.len() / 2, records.len()] {
        let to = memory::Embedded::new(1);
        append(&to, &records[..there]);
        let copied = copied(&from, &to).unwrap();
        assert_eq!((copied.records, copied.head.seq), ((records.len() - there) as u64, records.len() as u64));
        assert_eq!(records_of(&to), records);
    }
}

#[test]
fn losers_are_not_copied() {
    let records = records_of(&log());
    let from = memory::Embedded::new(1);
    let (before, after) = records.split_at(10);
    append(&from, before);
    // Somebody who was replaced wrote it again.
    append(&from, &before[5..6]);
    append(&from, after);
    let to = memory::Embedded::new(1);
    assert_eq!(copied(&from, &to).unwrap().head.losers, 1);
    assert_eq!(records_of(&to), records);
}

#[test]
fn nothing_is_copied_behind_another_log_nor_from_one_that_is_damaged() {
    let from = log();
    let records = records_of(&from);
    let other = memory::Embedded::new(1);
    // It forked: its second record is another.
    append(&other, &[records[0].clone(), records[2].clone()]);
    assert!(matches!(copied(&from, &other), Err(CopyError::Differs { partition: 0, seq: 2 })));
    assert_eq!(records_of(&other).len(), 2);
    let ahead = memory::Embedded::new(1);
    append(&ahead, &records);
    let shorter = memory::Embedded::new(1);
    append(&shorter, &records[..5]);
    assert!(matches!(copied(&shorter, &ahead), Err(CopyError::Ahead { known: 5, .. })));
    let damaged = memory::Embedded::new(1);
    append(&damaged, &records[..5]);
    append(&damaged, &records[6..7]);
    let damaged = OfOneWriter(damaged);
    let to = memory::Embedded::new(1);
    let broken = copy(&damaged, &to, 0, samples::config(1).parsers, |_| {});
    assert!(matches!(broken, Err(CopyError::Read(ReadError::Broken { after: 5, .. }))), "{broken:?}");
}

#[derive(Debug)]
struct OfOneWriter(memory::Embedded);

impl Log for OfOneWriter {
    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    fn end(&self, partition: u32) -> Result<u64, log::Error> {
        self.0.end(partition)
    }

    fn append(&self, appends: &[Append]) -> Result<(), log::Error> {
        self.0.append(appends)
    }

    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, log::Error> {
        self.0.read(partition, from, records_max)
    }

    fn has_one_writer(&self) -> bool {
        true
    }
}
