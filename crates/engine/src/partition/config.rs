//! What a partition is configured with, every bound named.

use domain::chapter;
use domain::time::Millis;
use wire::codec::Parsers;
use wire::record;

use crate::chain::Identity;
use crate::token::Key;

/// A clock further behind the record than this, or that jumps ahead by more, is suspect.
pub const CLOCK_SLACK: Millis = Millis::minutes(5);

#[derive(Debug, Clone)]
pub struct Config {
    pub log_id: [u8; 16],
    pub partition: u32,
    pub partitions: u32,
    /// The binary that claims, as the log names it.
    pub binary: String,
    pub parsers: Parsers,
    /// Signs the tokens of attempts.
    pub key: Key,
    pub redispatch: Redispatch,
    pub format: Format,
    pub bounds: Bounds,
}

/// Formats of the log, as this binary stands to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The newest that this binary writes and reads whole. Above it, it reads what it can and does not claim.
    pub known: u32,
    /// An owner raises the log to this one. To be set once every binary of the log knows it.
    pub wanted: u32,
}

impl Default for Format {
    fn default() -> Self {
        Self { known: record::FORMAT, wanted: record::FORMAT }
    }
}

/// Which outstanding commands a new owner sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redispatch {
    /// All: commands live in memory and none survived.
    All,
    /// Those of records after the recorded `dispatched`: the others are in their topics.
    AboveDispatched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How far an owner writes ahead of what it has read back. Recorded when the log is created.
    pub in_flight_records_max: u32,
    /// How many inputs of a lane wait in memory.
    pub lane_waiting_max: usize,
    /// How many inputs of all lanes one step takes.
    pub inputs_per_step_max: usize,
    /// What each lane gets of a step at least, when it has that many waiting.
    pub lane_share_min: usize,
    pub timers_per_step_max: usize,
    /// How many moments are read from the view at once, of those that are to come. Some more than twice as many are in
    /// memory, and those of streams under way.
    pub timers_near_max: usize,
    /// After so many records the view keeps a stream's state: what is folded at most when it is not in memory, but for
    /// large states.
    pub keep_every: u64,
    /// How many folded streams stay in memory beyond those in flight.
    pub streams_cached_max: usize,
    /// For how many records of its partition the answer to a request is remembered.
    pub request_memory_records: u64,
    /// An append that was not read back within this is in doubt.
    pub append_doubt: Millis,
    /// How long to wait with the next claim after the first that was lost. Doubles with each.
    pub claim_backoff_min: Millis,
    /// The longest such wait.
    pub claim_backoff_max: Millis,
    /// How many claims this process makes in a minute.
    pub claims_per_minute_max: usize,
    /// When streams are cut into chapters: part of what is decided, so another than the default only where
    /// verification is given it too.
    pub chapters: chapter::Bounds,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_flight_records_max: 1_024,
            lane_waiting_max: 1_024,
            inputs_per_step_max: 256,
            lane_share_min: 32,
            timers_per_step_max: 64,
            timers_near_max: 1_024,
            keep_every: 16,
            streams_cached_max: 4_096,
            request_memory_records: 100_000,
            append_doubt: Millis::seconds(10),
            claim_backoff_min: Millis(200),
            claim_backoff_max: Millis::seconds(10),
            claims_per_minute_max: 12,
            chapters: chapter::Bounds::default(),
        }
    }
}

impl Config {
    pub fn identity(&self) -> Identity {
        Identity { log_id: Some(self.log_id), partition: self.partition, partitions: self.partitions }
    }
}
