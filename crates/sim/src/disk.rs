//! The one database of the process: its log is durable when a write returns, its view some time later, and its
//! journal with the next write.
//!
//! ```text
//!  log      ......................|   synced with every write
//!  view     ..............|           `written`: what a start after a crash finds, or a little more of it
//!  behind                 |.......|   read as if written, gone with the process
//!  journal  ...................|..|   the last calls outlive the process, and not a power loss
//! ```
//!
//! A write is atomic: all of it lands or nothing. A real torn batch is found by its checksum, and is nothing; what of
//! the journal stands before it in the same write-ahead log is cut off anywhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::name::{AttemptId, RunId, StreamId, TargetId};
use domain::run;
use domain::time::Timestamp;
use domain::transition::{Step, Transition};
use engine::port::log::{self, Append, Landed, Log};
use engine::port::memory;
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::{
    self, Accepted, Batch, Commit, Embedded, Head, KeptState, Open, Query, RequestRow, Store, Wake,
};
use wire::codec::Definitions;
use wire::record::{self, Body, Record};

use crate::chance::Chance;
use crate::journal::Unsynced;
use crate::options::Sabotage;

/// How the next write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Lost,
    Landed,
}

/// How many writes the view is behind by at most.
const BEHIND_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Disk {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// What every reader sees.
    database: Arc<memory::Embedded>,
    /// The log, and the view as it is written.
    written: memory::Embedded,
    /// What the view lacks, write by write.
    behind: VecDeque<Vec<Commit>>,
    /// After so many writes the view is written.
    writes_max: usize,
    /// Acknowledged and not synced, for a disk that does so.
    unsynced: Option<Vec<Append>>,
    journal: Arc<Unsynced>,
    armed: Option<Failure>,
    sabotage: Option<Sabotage>,
    /// The clock, for a writer that believes it.
    wall: Timestamp,
    /// An attempt that was heard of, for an engine that records it.
    heard: Option<AttemptId>,
}

/// What a crash cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Writes that the view is behind by.
    pub(crate) view_writes: usize,
    /// Calls of the journal.
    pub(crate) journal_calls: usize,
}

impl Disk {
    pub(crate) fn new(partitions: u32, sabotage: Option<Sabotage>) -> Self {
        Self {
            kept: Mutex::new(Kept {
                database: Arc::new(memory::Embedded::new(partitions)),
                written: memory::Embedded::new(partitions),
                behind: VecDeque::new(),
                writes_max: BEHIND_MAX,
                unsynced: None,
                journal: Arc::default(),
                armed: None,
                sabotage,
                wall: Timestamp(0),
                heard: None,
            }),
        }
    }

    pub(crate) fn journal(&self) -> Arc<Unsynced> {
        Arc::clone(&self.kept().journal)
    }

    /// The next write that holds something fails like this.
    pub(crate) fn arm(&self, failure: Option<Failure>) {
        self.kept().armed = failure;
    }

    pub(crate) fn set_wall(&self, wall: Timestamp) {
        self.kept().wall = wall;
    }

    pub(crate) fn set_heard(&self, attempt: &AttemptId) {
        self.kept().heard = Some(attempt.clone());
    }

    /// How long the view is left behind from now on.
    pub(crate) fn put_off(&self, writes_max: usize) {
        self.kept().writes_max = writes_max.min(BEHIND_MAX);
    }

    /// Of another shape than the binary that starts knows: it is built again.
    pub(crate) fn forget_view(&self) {
        let kept = self.kept();
        kept.written.forget_view();
        kept.database.forget_view();
    }

    /// The process is gone, and with it what the view lacks; with the power also what was not synced.
    pub(crate) fn crash(&self, power: bool, chance: &mut Chance) -> Result<Cost, String> {
        let text = |error: store::Error| error.to_string();
        let mut kept = self.kept();
        // How much of it was written is not known.
        let writes = chance.below(kept.behind.len() as u64 + 1) as usize;
        for commits in kept.behind.drain(..writes).collect::<Vec<_>>() {
            kept.written.commit(&commits).map_err(text)?;
        }
        let view_writes = kept.behind.len();
        if kept.sabotage == Some(Sabotage::HeadNotReached) {
            kept.claim_heads().map_err(text)?;
        }
        kept.behind.clear();
        if !power && let Some(appends) = kept.unsynced.take() {
            kept.written.append(&appends).map_err(|error| error.to_string())?;
        }
        kept.unsynced = None;
        kept.database = Arc::new(kept.written.copy());
        let journal_calls =
            if power { kept.journal.lose_power(chance).map_err(|error| error.to_string())? } else { 0 };
        if kept.sabotage == Some(Sabotage::JournalInMemory) {
            kept.journal.lose_all();
        }
        Ok(Cost { view_writes, journal_calls })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while the disk is held")
    }

    fn database(&self) -> Arc<memory::Embedded> {
        Arc::clone(&self.kept().database)
    }
}

impl Kept {
    /// Takes what landed in the log and is seen in the view.
    fn take(&mut self, batch: &Batch) -> Result<(), store::Error> {
        let io = |error: log::Error| store::Error::Io(error.into());
        if self.sabotage == Some(Sabotage::AcknowledgedBeforeSync) {
            if let Some(former) = self.unsynced.replace(batch.appends.clone()) {
                self.written.append(&former).map_err(io)?;
            }
        } else {
            self.written.append(&batch.appends).map_err(io)?;
        }
        if !batch.commits.is_empty() {
            self.behind.push_back(batch.commits.clone());
        }
        self.journal.sync();
        if self.behind.len() > self.writes_max {
            self.write_view()?;
        }
        Ok(())
    }

    fn write_view(&mut self) -> Result<(), store::Error> {
        if let Some(appends) = self.unsynced.take() {
            self.written.append(&appends).map_err(|error| store::Error::Io(error.into()))?;
        }
        for commits in std::mem::take(&mut self.behind) {
            self.written.commit(&commits)?;
        }
        self.journal.sync();
        Ok(())
    }

    /// The written view says that it stands where it is only read to.
    fn claim_heads(&self) -> Result<(), store::Error> {
        for commit in self.behind.iter().flatten() {
            let rows = Commit {
                records: vec![],
                runs: vec![],
                targets: vec![],
                requests: vec![],
                kept: vec![],
                ..commit.clone()
            };
            self.written.commit(&[rows])?;
        }
        Ok(())
    }
}

impl Log for Disk {
    fn partitions(&self) -> u32 {
        self.database().partitions()
    }
    fn end(&self, partition: u32) -> Result<u64, log::Error> {
        self.database().end(partition)
    }
    fn append(&self, appends: &[Append]) -> Result<(), log::Error> {
        self.database().append(appends)
    }
    fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, log::Error> {
        self.database().read(partition, from, records_max)
    }
}

impl Store for Disk {
    fn head(&self, partition: u32) -> Result<Option<Head>, store::Error> {
        self.database().head(partition)
    }
    fn commit(&self, commits: &[Commit]) -> Result<(), store::Error> {
        self.database().commit(commits)
    }
    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, store::Error> {
        self.database().stream(partition, stream, from, records_max)
    }
    fn kept(&self, partition: u32, stream: &StreamId) -> Result<Option<KeptState>, store::Error> {
        let mut kept = self.database().kept(partition, stream)?;
        if self.kept().sabotage == Some(Sabotage::KeptStateMissesARecord) {
            let next =
                self.database().stream(partition, stream, kept.as_ref().map_or(0, |kept| kept.seq + 1), 1)?;
            if let (Some(kept), Some((seq, _))) = (&mut kept, next.first()) {
                (kept.seq, kept.transitions) = (*seq, kept.transitions + 1);
            }
        }
        Ok(kept)
    }
    fn run(&self, run: RunId) -> Result<Option<RunRow>, store::Error> {
        self.database().run(run)
    }
    fn runs(&self, query: &Query) -> Result<Vec<RunRow>, store::Error> {
        self.database().runs(query)
    }
    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, store::Error> {
        self.database().target(target)
    }
    fn targets(&self) -> Result<Vec<TargetRow>, store::Error> {
        self.database().targets()
    }
    fn open(&self, partition: u32) -> Result<Open, store::Error> {
        let mut open = self.database().open(partition)?;
        if self.kept().sabotage == Some(Sabotage::RowWithoutEffects) {
            open.runs.iter_mut().for_each(|row| row.outstanding = 0);
            open.targets.iter_mut().for_each(|row| row.outstanding = 0);
        }
        Ok(open)
    }
    fn wakes(
        &self,
        partition: u32,
        after: Option<&Wake>,
        wakes_max: usize,
    ) -> Result<Vec<Wake>, store::Error> {
        if self.kept().sabotage == Some(Sabotage::MomentsNotReadOn) && after.is_some() {
            return Ok(vec![]);
        }
        self.database().wakes(partition, after, wakes_max)
    }
    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, store::Error> {
        self.database().request(partition, input_id)
    }
}

impl Embedded for Disk {
    fn write_sync(&self, batch: &Batch) -> Result<(), store::Error> {
        let mut kept = self.kept();
        let armed = if batch.is_empty() { None } else { kept.armed.take() };
        let failed = || store::Error::Io("the write did not come back".into());
        if armed == Some(Failure::Lost) {
            return Err(failed());
        }
        let forged = match kept.sabotage {
            Some(Sabotage::ClockWithoutMax) => as_the_clock_says(&kept.database, batch, kept.wall),
            Some(Sabotage::HeartbeatAsInput) => {
                let heard = kept.heard.take();
                heard.and_then(|attempt| with_a_heartbeat(&kept.database, batch, attempt))
            }
            _ => None,
        };
        let written = forged.as_ref().unwrap_or(batch);
        kept.database.write_sync(written)?;
        kept.take(written)?;
        if armed == Some(Failure::Landed) || forged.is_some() { Err(failed()) } else { Ok(()) }
    }

    fn settle(&self) -> Result<(), store::Error> {
        let mut kept = self.kept();
        if kept.writes_max < BEHIND_MAX { kept.write_view() } else { Ok(()) }
    }
}

/// The batch with the last record of a partition dated by a clock that went back; nothing when it did not.
fn as_the_clock_says(database: &memory::Embedded, batch: &Batch, wall: Timestamp) -> Option<Batch> {
    let mut forged = batch.clone();
    for append in &mut forged.appends {
        let commit = forged.commits.iter_mut().find(|commit| commit.partition == append.partition)?;
        let stored = database.head(append.partition).ok()??;
        if stored.now <= wall || append.records.len() != 1 {
            continue;
        }
        let mut record = last_of(database, append)?;
        let Body::Transition(recorded) = &mut record.body else { continue };
        recorded.now = wall;
        let bytes = record::encode(&record);
        commit.head.hash = record::hash(&bytes);
        commit.records.last_mut()?.bytes.clone_from(&bytes);
        *append.records.last_mut()? = bytes;
        return Some(forged);
    }
    None
}

/// The batch, and behind the last record of a partition one more: that an attempt was heard of.
fn with_a_heartbeat(database: &memory::Embedded, batch: &Batch, attempt: AttemptId) -> Option<Batch> {
    let StreamId::Run(run) = attempt.owner else { return None };
    let partition = database.run(run).ok()??.partition;
    let mut forged = batch.clone();
    let append = forged.appends.iter_mut().find(|append| append.partition == partition)?;
    let commit = forged.commits.iter_mut().find(|commit| commit.partition == partition)?;
    let mut record = last_of(database, append)?;
    let Body::Transition(recorded) = &mut record.body else { return None };
    let input = run::Input::LeaseEnded { attempt, heard_at: Some(recorded.now) };
    recorded.transition = Transition { steps: vec![Step::Run { run, input, events: vec![] }], refused: None };
    (recorded.before, recorded.lane, recorded.input_id) = (recorded.after, None, None);
    (record.seq, record.prev) = (commit.head.seq + 1, commit.head.hash);
    let bytes = record::encode(&record);
    let offset = commit.head.next_offset;
    (commit.head.seq, commit.head.hash, commit.head.next_offset) =
        (record.seq, record::hash(&bytes), offset + 1);
    let streams = vec![StreamId::Run(run)];
    commit.records.push(Accepted { seq: record.seq, offset, bytes: bytes.clone(), streams });
    append.records.push(bytes);
    Some(forged)
}

fn last_of(database: &memory::Embedded, append: &Append) -> Option<Record> {
    let mut known = Definitions::new(wire::definitions::parsers());
    let landed = database.read(append.partition, 0, usize::MAX).ok()?;
    for bytes in landed.iter().map(|landed| &landed.bytes).chain(&append.records) {
        known.register(bytes).ok()?;
    }
    record::decode(append.records.last()?, &known).ok()
}
