//! A backup as it is asked for, and as it was taken.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a backup is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// An absolute path on the server's machine that does not exist yet, in a folder that does.
    pub to: String,
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    pub path: String,
    /// The log's id.
    pub log: String,
    pub taken_at: String,
    pub heads: Vec<HeadView>,
    pub files: u64,
    pub bytes: u64,
    /// The digest of its manifest, which names the digest of each file.
    pub sha256: String,
    /// Blobs that are damaged on the server's disk: they are left out.
    pub damaged: Vec<String>,
    /// It is a snapshot of what this process has read of the log, which itself is in Kafka, with blobs and secrets elsewhere.
    pub is_snapshot: bool,
}

/// How far a partition of a log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeadView {
    pub partition: u32,
    pub records: u64,
    /// The hash of the last record.
    pub head: String,
}
