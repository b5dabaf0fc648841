//! The log of a folder or of a backup, opened to be read only: nothing in it is changed.

use std::path::Path;

use engine::port::log::Landed;
use rocksdb::DB;

use super::{BACKUP, Error};
use crate::database::{self, LOG};
use crate::folder::{self, Keeps, Lock, NewLog};
use crate::format;
use crate::guard::Acknowledged;
use crate::log;

/// A log that is only read. A data folder is locked meanwhile; a backup changes no more and is not.
pub struct LogCopy {
    db: DB,
    log: NewLog,
    ends: Vec<u64>,
    _lock: Option<Lock>,
}

impl std::fmt::Debug for LogCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogCopy")
            .field("path", &self.db.path())
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl LogCopy {
    pub fn open(path: &Path) -> Result<Self, crate::Error> {
        let missing = || crate::Error::Missing { path: path.to_owned() };
        let log = format::read_log(path)?.ok_or_else(missing)?;
        let is_backup = path.join(BACKUP).is_file();
        let lock = if is_backup { None } else { Some(folder::lock(path)?) };
        let db = open(&path.join("log"))?;
        let last = |partition| log::last(&db, database::family(&db, LOG), partition).map(|last| last.end);
        let ends = (0..log.partitions).map(last).collect::<Result<_, _>>()?;
        Ok(Self { db, log, ends, _lock: lock })
    }

    pub fn log_id(&self) -> [u8; 16] {
        self.log.log_id
    }

    pub fn partitions(&self) -> u32 {
        self.log.partitions
    }

    /// The offset behind the last record of a partition; 0 for one that the log does not have.
    pub fn end(&self, partition: u32) -> u64 {
        self.ends.get(partition as usize).copied().unwrap_or_default()
    }

    /// As the port's `read`.
    pub fn read(&self, partition: u32, from: u64, records_max: usize) -> Result<Vec<Landed>, crate::Error> {
        log::read(
            &self.db,
            database::family(&self.db, LOG),
            partition,
            from..self.end(partition),
            records_max,
            Keeps::Log,
        )
    }
}

/// How far each partition of a database goes.
pub(super) fn heads(path: &Path, partitions: u32) -> Result<Vec<Acknowledged>, Error> {
    let db = open(path)?;
    let family = database::family(&db, LOG);
    Ok((0..partitions).map(|partition| log::last(&db, family, partition)).collect::<Result<_, _>>()?)
}

/// The record at an offset, when the log goes so far.
pub(super) fn record(db: &DB, partition: u32, offset: u64) -> Result<Option<Vec<u8>>, Error> {
    let found = db.get_cf(database::family(db, LOG), log::key(partition, offset));
    found.map_err(|error| Error::Folder(crate::Error::Read(error)))
}

pub(super) fn open(path: &Path) -> Result<DB, crate::Error> {
    DB::open_cf_descriptors_read_only(&database::options(Keeps::Log), path, database::families(), false)
        .map_err(|error| database::opening(path, error))
}
