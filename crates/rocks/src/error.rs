//! What can be wrong with a data folder, each with a stable code and, where a person can mend it, a hint.
//!
//! Callers branch on [`Kind`] and show `code`, text and `hint`; nobody branches on texts.

use std::path::PathBuf;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person can mend it and start again; nothing was changed.
    Mend,
    /// What was acknowledged is not there, or does not read back: do not serve, page someone.
    Damaged,
    /// The process must stop now: what the failed write left is known only after a restart.
    Fatal,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected a data folder at {}, but there is none", path.display())]
    Missing { path: PathBuf },
    #[error("expected to be the only process with {}, but another has it open", path.display())]
    InUse { path: PathBuf },
    #[error("expected a data folder at {}, but it is a backup", path.display())]
    Backup { path: PathBuf },
    #[error("expected a data folder with the log at {}, but it mirrors a log that is elsewhere", path.display())]
    IsMirror { path: PathBuf },
    #[error("expected a mirror of a log at {}, but the folder has a log of its own", path.display())]
    IsLog { path: PathBuf },
    #[error("expected a whole data folder at {}, but it was not restored to its end", path.display())]
    Restoring { path: PathBuf },
    #[error("expected data format {expected} in {}, but found {found}, written by {by}", path.display())]
    Version { path: PathBuf, expected: u32, found: u32, by: String },
    #[error("expected to read and write {}", path.display())]
    Unusable { path: PathBuf, source: std::io::Error },
    #[error("expected {expected} in {}", path.display())]
    Damaged {
        path: PathBuf,
        expected: &'static str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    #[error(
        "expected partition {partition} of the log to reach what was acknowledged, offset {acknowledged}, \
         but it ends at {end}"
    )]
    BehindHead { partition: u32, acknowledged: u64, end: u64 },
    #[error(
        "expected another record of partition {partition} at offset {offset}: it is not the acknowledged one"
    )]
    OtherRecord { partition: u32, offset: u64 },
    #[error("failed to write to the database")]
    Write(#[source] rocksdb::Error),
    /// While what the view was behind by was put together.
    #[error("failed to write the view")]
    View(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to read from the database")]
    Read(#[source] rocksdb::Error),
    #[error("failed to write the acknowledged head to {}", path.display())]
    Head { path: PathBuf, source: std::io::Error },
    #[error("expected to write, but a former write failed and nothing is written since")]
    Stopped,
}

impl Error {
    /// Stable, for people to search and for programs to show.
    pub fn code(&self) -> &'static str {
        match self {
            _ if self.is_full() => "DISK_FULL",
            Self::Missing { .. } => "DATA_MISSING",
            Self::InUse { .. } => "DATA_IN_USE",
            Self::Version { .. } => "DATA_VERSION",
            Self::Unusable { .. } => "DATA_UNUSABLE",
            Self::Damaged { .. } | Self::Read(_) | Self::View(_) => "DATA_DAMAGED",
            Self::BehindHead { .. } => "LOG_BEHIND_HEAD",
            Self::OtherRecord { .. } => "LOG_NOT_OF_HEAD",
            Self::Write(_) | Self::Head { .. } => "DATA_WRITE_FAILED",
            Self::Backup { .. } => "DATA_IS_BACKUP",
            Self::Restoring { .. } => "DATA_RESTORING",
            Self::IsMirror { .. } => "DATA_IS_MIRROR",
            Self::IsLog { .. } => "DATA_IS_LOG",
            Self::Stopped => "DATA_STOPPED",
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. }
            | Self::InUse { .. }
            | Self::Version { .. }
            | Self::Unusable { .. }
            | Self::Backup { .. }
            | Self::Restoring { .. }
            | Self::IsMirror { .. }
            | Self::IsLog { .. } => Kind::Mend,
            Self::Damaged { .. }
            | Self::Read(_)
            | Self::View(_)
            | Self::BehindHead { .. }
            | Self::OtherRecord { .. } => Kind::Damaged,
            Self::Write(_) | Self::Head { .. } | Self::Stopped => Kind::Fatal,
        }
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            _ if self.is_full() => Some("free some room on the disk of the data folder, then start again"),
            Self::Backup { .. } => Some("make a data folder of it: `modelrail restore BACKUP --data DIR`"),
            Self::Restoring { .. } => Some("run `modelrail restore` again: it begins anew"),
            Self::IsMirror { .. } => Some(
                "its log is on Kafka: start it in distributed mode, or name another folder; nothing was changed",
            ),
            Self::IsLog { .. } => Some(
                "it is of embedded mode: name another folder for a process of distributed mode; nothing was changed",
            ),
            Self::Missing { .. } => {
                Some("name the folder that `serve` was started with, or start it there once")
            }
            Self::InUse { .. } => Some("stop the process that has it, or choose another folder"),
            Self::Version { expected, found, .. } if found > expected => {
                Some("it was written by a newer release: use that release; nothing was changed")
            }
            Self::Version { .. } => Some("it was written by an older release: use that release"),
            Self::Unusable { .. } => {
                Some("check that it is a folder, its owner and rights, and that the disk has room")
            }
            Self::Damaged { .. } | Self::Read(_) | Self::View(_) => {
                Some("keep a copy of the folder, then restore it from a backup; do not delete single files")
            }
            Self::BehindHead { .. } | Self::OtherRecord { .. } => Some(
                "`log` is older than `HEAD`: put back the newest copy of the whole folder; \
                 decisions that were acknowledged are missing in this one",
            ),
            Self::Write(_) | Self::Head { .. } => {
                Some("see whether the disk is full or failing, then start again")
            }
            Self::Stopped => Some("start again"),
        }
    }

    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Unusable { source, .. } | Self::Head { source, .. } => is_full(source),
            Self::Write(error) | Self::Read(error) => is_full_text(error),
            Self::Missing { .. }
            | Self::InUse { .. }
            | Self::Backup { .. }
            | Self::Restoring { .. }
            | Self::IsMirror { .. }
            | Self::IsLog { .. }
            | Self::Version { .. }
            | Self::Damaged { .. }
            | Self::View(_)
            | Self::BehindHead { .. }
            | Self::OtherRecord { .. }
            | Self::Stopped => false,
        }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, expected: &'static str) -> Self {
        Self::Damaged { path: path.into(), expected, source: None }
    }
}

pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// RocksDB gives the system's words only.
pub(crate) fn is_full_text(error: &rocksdb::Error) -> bool {
    let text: &str = error.as_ref();
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}
