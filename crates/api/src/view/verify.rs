//! Whether the log is what it says it is, and whether today's code would decide it alike.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fault;

/// The report of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// The chain is whole, nothing would be decided differently, and the view is what the log folds to.
    pub good: bool,
    pub partitions: Vec<PartitionVerified>,
}

/// One partition of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionVerified {
    pub partition: u32,
    /// Accepted records, up to the break if there is one.
    pub records: u64,
    /// Records that did not fit: written by an owner that was replaced.
    pub losers: u64,
    pub transitions: u64,
    /// Inputs that were decided again.
    pub decided: u64,
    /// Of those, inputs that another revision of the core had decided.
    pub other_revisions: u64,
    /// How many would be decided differently.
    pub differing: u64,
    /// The first of them.
    pub differences: Vec<DifferenceView>,
    /// Chapters of runs and targets that were held against the chapter before.
    #[serde(default)]
    pub chapters: u64,
    /// How many of them do not begin with what the one before ends with.
    #[serde(default)]
    pub chapters_broken: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_chapters: Vec<String>,
    /// Runs and targets whose row in the view is not what the log folds to. Changes made while verifying may
    /// show here; ask again.
    pub rows_differing: Vec<String>,
    /// Runs and targets on which nothing is decided, and why. No fault of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
    /// The hash of the last accepted record.
    pub head: Option<String>,
    /// A digest of the canonical bytes of all states at the end.
    pub state: Option<String>,
    /// Where the log breaks.
    pub broken: Option<Fault>,
}

/// A record that would be decided differently today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceView {
    pub seq: u64,
    pub input: String,
    /// The revision of the core that decided it.
    pub decide_revision: u32,
    pub recorded: String,
    pub again: String,
}
