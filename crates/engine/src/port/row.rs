//! Summary rows: what lists and start-up need of a run or target without folding it. Functions of the folded
//! state and its records, so that a fresh fold gives the same row (`verify` checks that).
//!
//! The bytes are a view's, not the log's: when their shape changes, the view is built again.

use domain::name::{BadName, Digest, ModelName, RunId, TargetId, Version, WorkflowName};
use domain::time::Timestamp;
use prost::Message as _;

/// Why nothing is decided on a stream, while that is so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Withheld {
    /// A decision failed, until somebody resolves it.
    pub quarantined: Option<String>,
    /// This binary cannot read one of its records.
    pub parked: Option<String>,
    /// How many inputs it holds.
    pub held: u32,
}

/// Where a stream's last chapter begins: reading the stream may begin there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChapterAt {
    /// The record that opened it.
    pub seq: u64,
    /// How many records before that touch the stream.
    pub before: u64,
}

/// One run, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    pub run: RunId,
    pub partition: u32,
    pub target: TargetId,
    pub model: ModelName,
    pub version: Version,
    pub workflow: WorkflowName,
    pub workflow_digest: Digest,
    /// The phase: `active`, `live`, `standby`, `leaving`, or how it ended.
    pub state: String,
    pub ended: bool,
    pub paused: bool,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    /// The last record that touches it.
    pub last_seq: u64,
    /// How many records touch it.
    pub transitions: u64,
    /// What it waits for, short; empty when ended.
    pub waits: String,
    /// How many commands are outstanding.
    pub outstanding: u32,
    /// The earliest moment it is to be woken at.
    pub wake_at: Option<Timestamp>,
    pub withheld: Withheld,
    /// Nothing while it is in its first.
    pub chapter: Option<ChapterAt>,
}

/// One target, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    pub target: TargetId,
    pub partition: u32,
    pub live: Option<(Version, Digest)>,
    pub slot: Option<RunId>,
    /// How many runs are under way.
    pub under_way: u32,
    pub frozen: bool,
    pub generation: u64,
    pub updated_at: Timestamp,
    pub last_seq: u64,
    pub transitions: u64,
    pub outstanding: u32,
    pub wake_at: Option<Timestamp>,
    pub withheld: Withheld,
    /// Nothing while it is in its first.
    pub chapter: Option<ChapterAt>,
}

/// Why bytes are not a row.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to decode a summary row")]
    Bytes(#[from] prost::DecodeError),
    #[error("failed to read a name in a summary row")]
    Name(#[from] BadName),
    #[error("expected a digest or id of {expected} bytes in a summary row")]
    Length { expected: usize },
}

#[derive(Clone, PartialEq, prost::Message)]
struct RunBytes {
    #[prost(bytes = "vec", tag = "1")]
    run: Vec<u8>,
    #[prost(uint32, tag = "2")]
    partition: u32,
    #[prost(string, tag = "3")]
    target: String,
    #[prost(string, tag = "4")]
    version: String,
    #[prost(string, tag = "5")]
    workflow: String,
    #[prost(bytes = "vec", tag = "6")]
    workflow_digest: Vec<u8>,
    #[prost(string, tag = "7")]
    state: String,
    #[prost(bool, tag = "8")]
    ended: bool,
    #[prost(bool, tag = "9")]
    paused: bool,
    #[prost(uint64, tag = "10")]
    started_at: u64,
    #[prost(uint64, tag = "11")]
    updated_at: u64,
    #[prost(uint64, tag = "12")]
    last_seq: u64,
    #[prost(uint64, tag = "13")]
    transitions: u64,
    #[prost(string, tag = "14")]
    waits: String,
    #[prost(uint32, tag = "15")]
    outstanding: u32,
    #[prost(uint64, optional, tag = "16")]
    wake_at: Option<u64>,
    #[prost(string, tag = "17")]
    model: String,
    #[prost(string, optional, tag = "18")]
    quarantined: Option<String>,
    #[prost(string, optional, tag = "19")]
    parked: Option<String>,
    #[prost(uint32, tag = "20")]
    held: u32,
    #[prost(uint64, optional, tag = "21")]
    chapter_seq: Option<u64>,
    #[prost(uint64, tag = "22")]
    chapter_before: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TargetBytes {
    #[prost(string, tag = "1")]
    target: String,
    #[prost(uint32, tag = "2")]
    partition: u32,
    #[prost(string, optional, tag = "3")]
    live_version: Option<String>,
    #[prost(bytes = "vec", tag = "4")]
    live_bundle: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "5")]
    slot: Option<Vec<u8>>,
    #[prost(uint32, tag = "6")]
    under_way: u32,
    #[prost(bool, tag = "7")]
    frozen: bool,
    #[prost(uint64, tag = "8")]
    generation: u64,
    #[prost(uint64, tag = "9")]
    updated_at: u64,
    #[prost(uint64, tag = "10")]
    last_seq: u64,
    #[prost(uint64, tag = "11")]
    transitions: u64,
    #[prost(uint32, tag = "12")]
    outstanding: u32,
    #[prost(uint64, optional, tag = "13")]
    wake_at: Option<u64>,
    #[prost(string, optional, tag = "14")]
    quarantined: Option<String>,
    #[prost(string, optional, tag = "15")]
    parked: Option<String>,
    #[prost(uint32, tag = "16")]
    held: u32,
    #[prost(uint64, optional, tag = "17")]
    chapter_seq: Option<u64>,
    #[prost(uint64, tag = "18")]
    chapter_before: u64,
}

impl RunRow {
    /// Whether something is under way for it now: a command, or somebody who has to resolve it.
    pub fn is_open(&self) -> bool {
        self.outstanding > 0 || self.withheld != Withheld::default()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        RunBytes {
            run: self.run.0.to_vec(),
            partition: self.partition,
            target: self.target.to_string(),
            version: self.version.to_string(),
            workflow: self.workflow.to_string(),
            workflow_digest: self.workflow_digest.0.to_vec(),
            state: self.state.clone(),
            ended: self.ended,
            paused: self.paused,
            started_at: self.started_at.0,
            updated_at: self.updated_at.0,
            last_seq: self.last_seq,
            transitions: self.transitions,
            waits: self.waits.clone(),
            outstanding: self.outstanding,
            wake_at: self.wake_at.map(|at| at.0),
            model: self.model.to_string(),
            quarantined: self.withheld.quarantined.clone(),
            parked: self.withheld.parked.clone(),
            held: self.withheld.held,
            chapter_seq: self.chapter.map(|chapter| chapter.seq),
            chapter_before: self.chapter.map_or(0, |chapter| chapter.before),
        }
        .encode_to_vec()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let row = RunBytes::decode(bytes)?;
        Ok(Self {
            run: RunId(fixed(&row.run)?),
            partition: row.partition,
            target: TargetId::parse(&row.target)?,
            model: ModelName::parse(&row.model)?,
            version: Version::parse(&row.version)?,
            workflow: WorkflowName::parse(&row.workflow)?,
            workflow_digest: Digest(fixed(&row.workflow_digest)?),
            state: row.state,
            ended: row.ended,
            paused: row.paused,
            started_at: Timestamp(row.started_at),
            updated_at: Timestamp(row.updated_at),
            last_seq: row.last_seq,
            transitions: row.transitions,
            waits: row.waits,
            outstanding: row.outstanding,
            wake_at: row.wake_at.map(Timestamp),
            withheld: Withheld { quarantined: row.quarantined, parked: row.parked, held: row.held },
            chapter: row.chapter_seq.map(|seq| ChapterAt { seq, before: row.chapter_before }),
        })
    }
}

impl TargetRow {
    /// Whether something is under way for it now: a command, or somebody who has to resolve it.
    pub fn is_open(&self) -> bool {
        self.outstanding > 0 || self.withheld != Withheld::default()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        TargetBytes {
            target: self.target.to_string(),
            partition: self.partition,
            live_version: self.live.as_ref().map(|(version, _)| version.to_string()),
            live_bundle: self.live.as_ref().map(|(_, bundle)| bundle.0.to_vec()).unwrap_or_default(),
            slot: self.slot.map(|run| run.0.to_vec()),
            under_way: self.under_way,
            frozen: self.frozen,
            generation: self.generation,
            updated_at: self.updated_at.0,
            last_seq: self.last_seq,
            transitions: self.transitions,
            outstanding: self.outstanding,
            wake_at: self.wake_at.map(|at| at.0),
            quarantined: self.withheld.quarantined.clone(),
            parked: self.withheld.parked.clone(),
            held: self.withheld.held,
            chapter_seq: self.chapter.map(|chapter| chapter.seq),
            chapter_before: self.chapter.map_or(0, |chapter| chapter.before),
        }
        .encode_to_vec()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let row = TargetBytes::decode(bytes)?;
        let live = match row.live_version {
            Some(version) => Some((Version::parse(&version)?, Digest(fixed(&row.live_bundle)?))),
            None => None,
        };
        Ok(Self {
            target: TargetId::parse(&row.target)?,
            partition: row.partition,
            live,
            slot: row.slot.map(|run| fixed(&run).map(RunId)).transpose()?,
            under_way: row.under_way,
            frozen: row.frozen,
            generation: row.generation,
            updated_at: Timestamp(row.updated_at),
            last_seq: row.last_seq,
            transitions: row.transitions,
            outstanding: row.outstanding,
            wake_at: row.wake_at.map(Timestamp),
            withheld: Withheld { quarantined: row.quarantined, parked: row.parked, held: row.held },
            chapter: row.chapter_seq.map(|seq| ChapterAt { seq, before: row.chapter_before }),
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::Length { expected: N })
}
