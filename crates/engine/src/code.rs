//! Why a partition stops or pauses: stable codes, each with what to do about it.

use std::fmt;

/// Why a partition stopped. It stays readable; nothing is guessed and nothing is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A record came that proves that this reader lacks others.
    HistoryGap,
    /// A record fits by its hash but not by its number.
    SeqBroken,
    /// A fitting record was decided on other lane positions than this reader's.
    PositionBroken,
    /// A fitting record names another claim than the last accepted one.
    EpochBroken,
    /// Recorded time went back.
    TimeBroken,
    /// `dispatched` went back, or runs ahead of the log.
    DispatchedBroken,
    /// The log is of another partition, or of another number of partitions, or was created anew.
    ForeignLog,
    /// The view is of another log, or ahead of this one.
    ForeignStore,
    /// The log's format is newer than this binary, which reads it and does not claim.
    FormatUnknown,
    /// A fitting record lowers the log's format, or repeats it.
    FormatBroken,
    /// A fitting record cannot be read.
    RecordUnreadable,
    /// The view cannot be read.
    StoreFailed,
    /// The write of a step failed: whether it landed is known after a restart.
    WriteFailed,
    /// A topic of the log or its lanes is not as it must be: something that was acknowledged can be lost, or is.
    TopicsUnsafe,
}

impl Code {
    pub const ALL: [Self; 14] = [
        Self::HistoryGap,
        Self::SeqBroken,
        Self::PositionBroken,
        Self::EpochBroken,
        Self::TimeBroken,
        Self::DispatchedBroken,
        Self::ForeignLog,
        Self::ForeignStore,
        Self::FormatUnknown,
        Self::FormatBroken,
        Self::RecordUnreadable,
        Self::StoreFailed,
        Self::WriteFailed,
        Self::TopicsUnsafe,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HistoryGap => "HISTORY_GAP",
            Self::SeqBroken => "SEQ_BROKEN",
            Self::PositionBroken => "POSITION_BROKEN",
            Self::EpochBroken => "EPOCH_BROKEN",
            Self::TimeBroken => "TIME_BROKEN",
            Self::DispatchedBroken => "DISPATCHED_BROKEN",
            Self::ForeignLog => "FOREIGN_LOG",
            Self::ForeignStore => "FOREIGN_STORE",
            Self::FormatUnknown => "FORMAT_UNKNOWN",
            Self::FormatBroken => "FORMAT_BROKEN",
            Self::RecordUnreadable => "RECORD_UNREADABLE",
            Self::StoreFailed => "STORE_FAILED",
            Self::WriteFailed => "WRITE_FAILED",
            Self::TopicsUnsafe => "TOPICS_UNSAFE",
        }
    }

    pub fn hint(self) -> &'static str {
        match self {
            Self::HistoryGap => "records are missing: restore the log from a copy, and look at its retention",
            Self::SeqBroken
            | Self::PositionBroken
            | Self::EpochBroken
            | Self::TimeBroken
            | Self::FormatBroken => {
                "the log was written by something else than this engine: run `modelrail verify`"
            }
            Self::DispatchedBroken => "the log was written by a defect: run `modelrail verify`",
            Self::ForeignLog => "point the engine at the log it was created with",
            Self::ForeignStore => "delete the view; it is built again from the log",
            Self::FormatUnknown => "use the binary that wrote this log, or a newer one",
            Self::RecordUnreadable => "run `modelrail verify`; restore the log from a copy",
            Self::TopicsUnsafe => {
                "run `modelrail topics check`, mend what it names, then start the engine again"
            }
            Self::StoreFailed | Self::WriteFailed => "look at the disk, then start the engine again",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code with what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Stopped {
    pub code: Code,
    pub text: String,
}

impl Stopped {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The code of a refusal, or of a pause, that the engine itself makes.
pub mod refused {
    /// The clock cannot be trusted: nothing is decided until it can.
    pub const CLOCK_SUSPECT: &str = "CLOCK_SUSPECT";
    /// The view cannot be written: nothing is decided until there is room.
    pub const DISK_FULL: &str = "DISK_FULL";
    /// The log cannot be reached: nothing is decided until it can.
    pub const LOG_AWAY: &str = "LOG_AWAY";
    /// The same identity with another content.
    pub const CONFLICT: &str = "CONFLICT";
    /// A decision failed, and its stream is quarantined.
    pub const QUARANTINED: &str = "QUARANTINED";
    /// A decision failed, and no stream was to blame.
    pub const DEFECT: &str = "DEFECT";
    /// The stream has a record that this binary cannot read.
    pub const NEEDS_UPGRADE: &str = "NEEDS_UPGRADE";
    /// No role map is recorded: nobody is entitled to anything.
    pub const NO_ROLES: &str = "NO_ROLES";
    /// The input belongs to another partition.
    pub const WRONG_PARTITION: &str = "WRONG_PARTITION";
    /// The outcome does not carry the token of its attempt.
    pub const WRONG_TOKEN: &str = "WRONG_TOKEN";
    /// A queue is full.
    pub const BUSY: &str = "BUSY";
    /// More follows from the input than one transition may hold.
    pub const TOO_WIDE: &str = "TOO_WIDE";
    /// A moment that its stream asked for was refused by it.
    pub const MOMENT_REFUSED: &str = "MOMENT_REFUSED";
    /// There is no run of this id.
    pub const UNKNOWN_RUN: &str = "UNKNOWN_RUN";
}
