//! What is not as it should be, each with what mends it.

use std::fmt;

/// One thing about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// By its whole name.
    pub topic: String,
    pub found: String,
    pub expected: String,
    /// The command that mends it, or what to do where no command can.
    pub mend: String,
    pub stops: Stops,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, topic, found, expected, .. } = self;
        write!(f, "{}: expected {topic} to have {expected}, but found {found}", code.as_str())
    }
}

/// What a problem stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stops {
    /// No engine starts, and one that runs suspends: something that was acknowledged can be lost, or is.
    Start,
    /// It is told.
    Nothing,
}

/// Stable names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    Missing,
    NotEntitled,
    SettingsNotReadable,
    OtherTopic,
    PartitionsDiffer,
    PartitionsFew,
    RetentionFinite,
    RetentionShort,
    Compacted,
    NotCompacted,
    ReplicasFew,
    InSyncLow,
    InSyncAll,
    UncleanElection,
    MessagesSmall,
    TimestampsOfWriters,
}

impl Code {
    pub const ALL: [Self; 16] = [
        Self::Missing,
        Self::NotEntitled,
        Self::SettingsNotReadable,
        Self::OtherTopic,
        Self::PartitionsDiffer,
        Self::PartitionsFew,
        Self::RetentionFinite,
        Self::RetentionShort,
        Self::Compacted,
        Self::NotCompacted,
        Self::ReplicasFew,
        Self::InSyncLow,
        Self::InSyncAll,
        Self::UncleanElection,
        Self::MessagesSmall,
        Self::TimestampsOfWriters,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "TOPIC_MISSING",
            Self::NotEntitled => "TOPIC_NOT_ENTITLED",
            Self::SettingsNotReadable => "TOPIC_SETTINGS_NOT_READABLE",
            Self::OtherTopic => "TOPIC_RECREATED",
            Self::PartitionsDiffer => "TOPIC_PARTITIONS",
            Self::PartitionsFew => "TOPIC_PARTITIONS_FEW",
            Self::RetentionFinite => "TOPIC_RETENTION",
            Self::RetentionShort => "TOPIC_RETENTION_SHORT",
            Self::Compacted => "TOPIC_COMPACTED",
            Self::NotCompacted => "TOPIC_NOT_COMPACTED",
            Self::ReplicasFew => "TOPIC_REPLICATION",
            Self::InSyncLow => "TOPIC_MIN_INSYNC",
            Self::InSyncAll => "TOPIC_MIN_INSYNC_ALL",
            Self::UncleanElection => "TOPIC_UNCLEAN_ELECTION",
            Self::MessagesSmall => "TOPIC_MESSAGE_BYTES",
            Self::TimestampsOfWriters => "TOPIC_TIMESTAMPS",
        }
    }
}
