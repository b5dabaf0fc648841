//! The store: a view of the log that can be deleted. Records by stream, a summary row per run and target with
//! indexes, the answers to requests, and up to where the log was read.
//!
//! Contract:
//! 1. `commit` is atomic over everything in it: after a crash all of it is there or nothing. Commits become
//!    durable in order; one that was lost in a crash is a commit that never happened.
//!    One call has at most one commit of each partition, and a commit at most one row of each run and target.
//! 2. A commit is refused, and changes nothing, when it is of another log (`Foreign`) or does not begin where
//!    the store stands (`OutOfOrder`).
//! 3. `stream` gives the records that touch the stream, oldest first, bytes unchanged, at most `records_max`.
//! 4. Rows are replaced whole. Indexes follow the rows within the same commit: `runs` and `open` never show a
//!    row that `run` or `target` does not, and `wakes` never a moment that is not in its row.
//! 5. `kept` gives the state of a stream that was committed last, and nothing where none was.
//! 6. Nothing here is truth: with the view deleted, reading the log again gives the same rows.

use domain::name::{Digest, ModelName, RunId, StreamId, TargetId};
use domain::refusal::Refusal;
use domain::time::Timestamp;

use super::log::{Append, Log};
use super::row::{ChapterAt, RunRow, TargetRow};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected the view of this log, but partition {partition} was read from another")]
    Foreign { partition: u32 },
    #[error("expected to commit to partition {partition} what follows record {stands_at}, but {found} came")]
    OutOfOrder { partition: u32, stands_at: u64, found: u64 },
    #[error("failed to read a row of the view")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to reach the store")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Up to where a partition of the log was read, and what the next record must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub log_id: [u8; 16],
    pub partitions: u32,
    /// Of the last accepted record; 0 before the first.
    pub seq: u64,
    /// The SHA-256 of the last accepted record.
    pub hash: Digest,
    /// The offset of the log that is read next; losers count.
    pub next_offset: u64,
    /// The `seq` of the last accepted claim.
    pub epoch: u64,
    pub format: u32,
    pub in_flight_records_max: u32,
    /// The greatest recorded `now`.
    pub now: Timestamp,
    /// The next offset of each lane, in the lanes' order.
    pub positions: [u64; 3],
    /// A mark of each lane's topic, as the last claim names it: see [`crate::chain::topic_mark`].
    pub topics: [u64; 3],
    /// Up to this `seq` every effect is acknowledged, as recorded.
    pub dispatched: u64,
    /// How many records were read that did not fit.
    pub losers: u64,
}

/// An accepted record, and the streams that it touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub seq: u64,
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Without repetition. Empty for records that are no transitions.
    pub streams: Vec<StreamId>,
}

/// The answer to a request, kept so that the same request gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    pub input_id: String,
    /// A digest of what was asked: the same id with another content is a conflict.
    pub content: Digest,
    pub seq: u64,
    pub refused: Option<Refusal>,
}

/// A stream's state as one of its records left it: reading the stream may begin behind that record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptState {
    pub stream: StreamId,
    /// Which release folded it. Another may fold the same records to something else.
    pub version: String,
    /// The record.
    pub seq: u64,
    /// How many records touch the stream up to it.
    pub transitions: u64,
    /// When that record was decided.
    pub updated_at: Timestamp,
    /// Nothing while it is in its first.
    pub chapter: Option<ChapterAt>,
    /// The state's canonical bytes.
    pub state: Vec<u8>,
}

/// What one step of one partition adds to the view.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    pub partition: u32,
    /// The `seq` that the store must stand at: 0 when it has nothing of this partition.
    pub after: u64,
    pub head: Head,
    pub records: Vec<Accepted>,
    pub runs: Vec<RunRow>,
    pub targets: Vec<TargetRow>,
    pub requests: Vec<RequestRow>,
    /// At most one of each stream.
    pub kept: Vec<KeptState>,
    /// Request rows of a smaller `seq` may be dropped: they are no longer asked for.
    pub requests_from: u64,
    /// Rows and states of the streams that `records` touch are still to be added, by the partition: no store takes it so.
    pub lacks_rows: bool,
}

impl Commit {
    /// One commit instead of two: the later row counts.
    #[must_use]
    pub fn followed_by(mut self, next: Self) -> Self {
        debug_assert_eq!((self.partition, self.head.seq), (next.partition, next.after));
        self.head = next.head;
        self.records.extend(next.records);
        self.runs.retain(|row| !next.runs.iter().any(|later| later.run == row.run));
        self.runs.extend(next.runs);
        self.targets.retain(|row| !next.targets.iter().any(|later| later.target == row.target));
        self.targets.extend(next.targets);
        self.requests.extend(next.requests);
        self.kept.retain(|kept| !next.kept.iter().any(|later| later.stream == kept.stream));
        self.kept.extend(next.kept);
        self.requests_from = next.requests_from;
        self.lacks_rows |= next.lacks_rows;
        self
    }
}

/// Which runs to list. All given conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// As in [`RunRow::state`].
    pub state: Option<String>,
    pub model: Option<ModelName>,
    pub target: Option<TargetId>,
    /// Only runs that come after this place in the order.
    pub after: Option<(Timestamp, RunId)>,
    pub runs_max: usize,
}

/// The rows of a partition whose stream something is under way for: [`RunRow::is_open`], [`TargetRow::is_open`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Open {
    pub runs: Vec<RunRow>,
    pub targets: Vec<TargetRow>,
}

/// When a stream is to be woken, and which: in this order.
pub type Wake = (Timestamp, StreamId);

pub trait Store: Send + Sync + std::fmt::Debug {
    /// Nothing when the view has nothing of this partition.
    fn head(&self, partition: u32) -> Result<Option<Head>, Error>;
    fn commit(&self, commits: &[Commit]) -> Result<(), Error>;
    /// The records of a stream with `seq >= from`. Definitions are a stream of each partition.
    fn stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: u64,
        records_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error>;
    fn kept(&self, partition: u32, stream: &StreamId) -> Result<Option<KeptState>, Error>;
    fn run(&self, run: RunId) -> Result<Option<RunRow>, Error>;
    /// Newest first: by `started_at`, then by id, descending.
    fn runs(&self, query: &Query) -> Result<Vec<RunRow>, Error>;
    fn target(&self, target: &TargetId) -> Result<Option<TargetRow>, Error>;
    /// All targets, sorted by name.
    fn targets(&self) -> Result<Vec<TargetRow>, Error>;
    /// The partition's rows with something under way, by run and by target: as many as that is, however many others wait.
    fn open(&self, partition: u32) -> Result<Open, Error>;
    /// When the partition's streams are to be woken, as their rows say: those after a place in the order, at most so
    /// many.
    fn wakes(&self, partition: u32, after: Option<&Wake>, wakes_max: usize) -> Result<Vec<Wake>, Error>;
    fn request(&self, partition: u32, input_id: &str) -> Result<Option<RequestRow>, Error>;
}

/// Everything that one pass of an embedded engine writes, of all its partitions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    pub appends: Vec<Append>,
    pub commits: Vec<Commit>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.commits.is_empty()
    }
}

/// A log and its view in one database.
///
/// Contract: `write_sync` is atomic over its appends, and they are durable when it returns, with one sync; its
/// commits are seen by every reader from then on, and become durable in order, later: a start after a crash may
/// find the view behind the log, never ahead. After a failure the process must stop: whether it landed is known
/// after a restart. `settle` is called when there is nothing else to do.
pub trait Embedded: Log + Store {
    fn write_sync(&self, batch: &Batch) -> Result<(), Error>;
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }
}
