//! A database that can lose a write or fail it: the engine's own in memory, with a switch in front.
//!
//! A write is atomic: all of it lands or nothing. A real torn batch is found by its checksum, and is nothing.

use std::sync::{Arc, Mutex, MutexGuard};

use domain::name::{RunId, StreamId, TargetId};
use domain::time::Timestamp;
use engine::port::log::{self, Append, Landed, Log};
use engine::port::memory;
use engine::port::row::{RunRow, TargetRow};
use engine::port::store::{self, Batch, Commit, Embedded, Head, Open, Query, RequestRow, Store};
use wire::codec::Definitions;
use wire::record::{self, Body};

use crate::options::Sabotage;

/// How the next write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Lost,
    Landed,
}

#[derive(Debug)]
pub(crate) struct Disk {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    database: Arc<memory::Embedded>,
    /// What a crash leaves, when the last write was not synced.
    synced: Option<memory::Embedded>,
    armed: Option<Failure>,
    sabotage: Option<Sabotage>,
    /// The clock, for a writer that believes it.
    wall: Timestamp,
}

impl Disk {
    pub(crate) fn new(partitions: u32, sabotage: Option<Sabotage>) -> Self {
        let database = Arc::new(memory::Embedded::new(partitions));
        Self { kept: Mutex::new(Kept { database, synced: None, armed: None, sabotage, wall: Timestamp(0) }) }
    }

    /// The next write that holds something fails like this.
    pub(crate) fn arm(&self, failure: Option<Failure>) {
        self.kept().armed = failure;
    }

    pub(crate) fn set_wall(&self, wall: Timestamp) {
        self.kept().wall = wall;
    }

    /// The process is gone: what was not synced is too.
    pub(crate) fn crash(&self) {
        let mut kept = self.kept();
        if let Some(synced) = kept.synced.take() {
            kept.database = Arc::new(synced);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while the disk is held")
    }

    fn database(&self) -> Arc<memory::Embedded> {
        Arc::clone(&self.kept().database)
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
    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, store::Error> {
        self.database().request(partition, input_id)
    }
}

impl Embedded for Disk {
    fn write_sync(&self, batch: &Batch) -> Result<(), store::Error> {
        let (database, armed, sabotage, wall) = {
            let mut kept = self.kept();
            let armed = if batch.is_empty() { None } else { kept.armed.take() };
            (Arc::clone(&kept.database), armed, kept.sabotage, kept.wall)
        };
        let failed = || store::Error::Io("the write did not come back".into());
        if armed == Some(Failure::Lost) {
            return Err(failed());
        }
        if sabotage == Some(Sabotage::AcknowledgedBeforeSync) {
            let synced = database.copy();
            self.kept().synced = Some(synced);
        }
        if sabotage == Some(Sabotage::ClockWithoutMax)
            && let Some(forged) = as_the_clock_says(&database, batch, wall)
        {
            database.write_sync(&forged)?;
            return Err(failed());
        }
        database.write_sync(batch)?;
        if armed == Some(Failure::Landed) { Err(failed()) } else { Ok(()) }
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
        let mut known = Definitions::new(wire::definitions::parsers());
        for landed in database.read(append.partition, 0, usize::MAX).ok()? {
            known.register(&landed.bytes).ok()?;
        }
        let mut record = record::decode(append.records.last()?, &known).ok()?;
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
