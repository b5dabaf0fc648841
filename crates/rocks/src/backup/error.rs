//! What can go wrong with a backup and with its restoring, each with a stable code and what to do.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("expected to make {}, but it is there already", path.display())]
    Exists { path: PathBuf },
    #[error("expected a place outside of the data folder, but {} is inside", path.display())]
    Inside { path: PathBuf },
    #[error("expected a backup at {}, but it has no `BACKUP` file", path.display())]
    Missing { path: PathBuf },
    #[error("expected {expected} in {}", path.display())]
    Damaged { path: PathBuf, expected: String },
    #[error("expected a backup of version {expected} in {}, but found {found}, written by {by}", path.display())]
    Version { path: PathBuf, expected: u32, found: u32, by: String },
    #[error("expected an empty folder or none at {}, but there is something in it", path.display())]
    Occupied { path: PathBuf },
    #[error(
        "expected a backup of the log that {} has, {here}, but this is one of {there}", path.display()
    )]
    OtherLog { path: PathBuf, here: String, there: String },
    #[error(
        "expected a backup with everything that {} acknowledged, but {lost}", path.display()
    )]
    Loses { path: PathBuf, lost: Lost },
    #[error("failed to read or write {}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("failed to take a snapshot of a database")]
    Database(#[source] rocksdb::Error),
    #[error(transparent)]
    Folder(#[from] crate::Error),
}

/// What a folder acknowledged and a backup does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// How many acknowledged records, over all partitions.
    pub records: u64,
    /// In so many partitions the folder went on in another way than the backup.
    pub forked: u32,
    /// Its `HEAD` cannot be read.
    pub unknown: bool,
}

impl Lost {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.unknown {
            return f.write_str("what it acknowledged cannot be read from its `HEAD`");
        }
        write!(f, "{} acknowledged records are missing in it", self.records)?;
        match self.forked {
            0 => Ok(()),
            forked => write!(f, ", and {forked} partitions went on in another way"),
        }
    }
}

impl Error {
    /// Stable, for people to search and for programs to show.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "BACKUP_EXISTS",
            Self::Inside { .. } => "BACKUP_INSIDE",
            Self::Missing { .. } => "BACKUP_MISSING",
            Self::Damaged { .. } => "BACKUP_DAMAGED",
            Self::Version { .. } => "BACKUP_VERSION",
            Self::Occupied { .. } => "RESTORE_OCCUPIED",
            Self::OtherLog { .. } => "RESTORE_OTHER_LOG",
            Self::Loses { .. } => "RESTORE_LOSES",
            Self::Io { source, .. } if crate::error::is_full(source) => "DISK_FULL",
            Self::Io { .. } | Self::Database(_) => "BACKUP_FAILED",
            Self::Folder(error) => error.code(),
        }
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists { .. } => Some("name a folder that does not exist yet: each backup has its own"),
            Self::Inside { .. } => Some("name a folder elsewhere, best on another disk"),
            Self::Missing { .. } => {
                Some("name the folder that `modelrail backup` made; without `BACKUP` it was never finished")
            }
            Self::Damaged { .. } => Some("use another backup; nothing was changed"),
            Self::Version { .. } => {
                Some("use the release that wrote it, or a newer one; nothing was changed")
            }
            Self::Occupied { .. } => Some(
                "restore into a new folder, or say --replace: what is there is then moved aside, not deleted",
            ),
            Self::OtherLog { .. } => {
                Some("restore into a new folder: two logs cannot continue each other; nothing was changed")
            }
            Self::Loses { .. } => Some(
                "use a newer backup, or say --accept-loss; decisions that people and routers were told of \
                 would then never have been; nothing was changed",
            ),
            Self::Io { .. } | Self::Database(_) => {
                Some("check the folder, its owner and rights, and that the disk has room")
            }
            Self::Folder(error) => error.hint(),
        }
    }
}
