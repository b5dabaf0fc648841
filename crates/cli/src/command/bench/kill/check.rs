//! The end: the log verified, and held against the ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use domain::name::RunId;
use domain::run::{End, Event};
use domain::target;
use domain::transition::Step;
use engine::chain::Identity;
use engine::port::store::Store;
use engine::replay::{self, Reader};
use rocks::Folder;
use serde::Serialize;
use wire::record::Body;

use super::ledger::Ledger;
use crate::node::complete_view;

#[derive(Debug, Default, Serialize)]
pub(super) struct Verified {
    pub(super) records: u64,
    pub(super) transitions: u64,
    pub(super) runs: u64,
    pub(super) losers: u64,
    /// Nothing was heard of a worker for its lease, or it handed the command back.
    pub(super) attempts_given_up: u64,
    /// Inputs that would be decided differently, and rows of the view that are not what the log folds to.
    pub(super) differing: u64,
    pub(super) seconds: f64,
    pub(super) good: bool,
}

/// What the records say of a run, counted apart from what its state folds to.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    /// Of its trigger.
    number: u64,
    started: u32,
    went_live: u32,
    ended: Option<End>,
    /// The attempts that were issued, and those whose outcome was taken, by number.
    issued: u64,
    taken: u64,
    twice: bool,
}

/// Verifies the folder and holds it against the ledger, on as many threads as there are cores.
pub(super) fn check(folder: &Path, book: &mut Ledger) -> Result<Verified, String> {
    let began = Instant::now();
    let folder = Folder::open(folder).map_err(|error| error.to_string())?;
    complete_view(&folder).map_err(|error| error.to_string())?;
    let next = AtomicU32::new(0);
    let summed = Mutex::new((Verified { good: true, ..Verified::default() }, vec![], 0));
    let shared = Mutex::new(book);
    let work = || -> Result<(), String> {
        loop {
            let partition = next.fetch_add(1, Relaxed);
            if partition >= folder.partitions() {
                return Ok(());
            }
            let (one, found, given_up) = part(&folder, partition, &shared)?;
            let mut summed = lock(&summed);
            summed.0.add(&one);
            summed.1.extend(found);
            summed.2 += given_up;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread that verifies panicked".to_owned())?)
    })?;
    let (mut verified, mut found, given_up) = std::mem::take(&mut *lock(&summed));
    found.sort_unstable();
    lock(&shared).settle(&found, given_up);
    verified.attempts_given_up = given_up;
    verified.seconds = began.elapsed().as_secs_f64();
    Ok(verified)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One partition; the numbers of the runs in it, and how many attempts were given up.
fn part(
    folder: &Folder,
    partition: u32,
    book: &Mutex<&mut Ledger>,
) -> Result<(Verified, Vec<u64>, u64), String> {
    let database = folder.database();
    let identity = Identity { log_id: Some(folder.log_id()), partition, partitions: folder.partitions() };
    let reader = Reader::new(identity, wire::definitions::parsers());
    let mut counting = Counting { reader: reader.clone(), runs: BTreeMap::new(), given_up: 0 };
    let records = replay::from_log(&*database, partition)
        .inspect(|bytes| bytes.iter().for_each(|bytes| counting.count(bytes)));
    let report =
        replay::verify(records, reader).map_err(|error| format!("partition {partition}: {error:?}"))?;
    let store: &dyn Store = &*database;
    let rows = report.rows_differing(partition, store).map_err(|error| error.to_string())?;
    report.check_end().map_err(|error| format!("partition {partition}: {error:?}"))?;
    let found: Vec<u64> = counting.runs.values().map(|counted| counted.number).collect();
    for (run, counted) in &counting.runs {
        one(&mut lock(book), *run, counted);
    }
    let verified = Verified {
        records: report.head.seq,
        transitions: report.transitions,
        runs: found.len() as u64,
        losers: report.head.losers,
        differing: report.differing + rows.len() as u64,
        good: report.is_clean() && rows.is_empty() && report.withheld.is_empty(),
        ..Verified::default()
    };
    Ok((verified, found, counting.given_up))
}

impl Verified {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.transitions += other.transitions;
        self.runs += other.runs;
        self.losers += other.losers;
        self.differing += other.differing;
        self.good &= other.good;
    }
}

/// One run of the log against the ledger.
fn one(book: &mut Ledger, run: RunId, counted: &Counted) {
    let went_well = counted.went_live > 0 && counted.ended.is_none_or(|end| end == End::Retired);
    let number = counted.number;
    if !book.of(number).is_accepted || !went_well {
        book.faults.wrong += 1;
        book.faults.say(|| {
            format!("run {run} of trigger {number} ended wrong, or nobody asked for it: {counted:?}")
        });
    }
    if counted.started != 1 || counted.went_live > 1 || counted.twice {
        book.faults.decided_twice += 1;
        book.faults.say(|| format!("run {run} of trigger {number} was decided twice: {counted:?}"));
    }
}

struct Counting {
    reader: Reader,
    runs: BTreeMap<RunId, Counted>,
    given_up: u64,
}

impl Counting {
    fn count(&mut self, bytes: &[u8]) {
        // What cannot be read is found by the verification too, and said there.
        let Ok(replay::Step::Accepted(record)) = self.reader.read(bytes) else { return };
        let Body::Transition(recorded) = &record.body else { return };
        for step in &recorded.transition.steps {
            match step {
                Step::Definitions { .. } => {}
                Step::Run { run, events, .. } => {
                    let gone = |event: &&Event| {
                        matches!(event, Event::AttemptExpired { .. } | Event::AttemptDeclined { .. })
                    };
                    self.given_up += events.iter().filter(gone).count() as u64;
                    let counted = self.runs.entry(*run).or_default();
                    events.iter().for_each(|event| counted.note(event));
                }
                Step::Target { events, .. } => {
                    let gone = |event: &&target::Event| {
                        use target::Event::{AttemptDeclined, AttemptExpired};
                        matches!(event, AttemptExpired { .. } | AttemptDeclined { .. })
                    };
                    self.given_up += events.iter().filter(gone).count() as u64;
                }
            }
        }
    }
}

impl Counted {
    fn note(&mut self, event: &Event) {
        let bit = |attempt: u32| 1_u64.checked_shl(attempt).unwrap_or(0);
        match event {
            Event::Started { start, .. } => {
                self.started += 1;
                let version = start.trained.version.as_str();
                self.number = version.trim_start_matches('v').parse().unwrap_or(0);
            }
            Event::WentLive { restored: false, .. } => self.went_live += 1,
            Event::Ended { end, .. } => {
                self.twice |= self.ended.is_some();
                self.ended = Some(*end);
            }
            Event::AttemptIssued { attempt, .. } => {
                self.twice |= self.issued & bit(*attempt) != 0;
                self.issued |= bit(*attempt);
            }
            Event::EvidenceRecorded { attempt, .. }
            | Event::BundlePacked { attempt, .. }
            | Event::PlanMade { attempt, .. } => {
                self.twice |= self.taken & bit(*attempt) != 0;
                self.taken |= bit(*attempt);
            }
            _ => {}
        }
    }
}
