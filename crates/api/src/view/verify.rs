//! Whether the log is what it says it is, and whether today's code would decide it alike.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The report of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// No difference was found.
    pub good: bool,
    pub partitions: Vec<PartitionVerified>,
}

/// One partition of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionVerified {
    pub partition: u32,
    /// Accepted records.
    pub records: u64,
    /// Records that did not fit: written by an owner that was replaced.
    pub losers: u64,
    /// Transitions that were decided again.
    pub decided: u64,
    /// The hash of the last accepted record.
    pub head: String,
    pub differences: Vec<DifferenceView>,
}

/// Something that is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceView {
    pub seq: u64,
    pub code: String,
    pub text: String,
}
