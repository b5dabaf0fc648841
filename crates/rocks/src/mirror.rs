//! A mirror of a log that is elsewhere: its accepted records at their offsets there, and the view of them. What a process
//! of distributed mode has in its folder.
//!
//! ```text
//!  Kafka    a b x c y y d e f        x y: losers, and what brokers write for themselves
//!  mirror   a b . c . . d            one batch a commit, unsynced
//!  view     ......|                  written now and then, behind the records
//! ```
//!
//! **Invariant.** The written head never names a record that is not here: rows are written in a later batch than their
//! records, or the same, and batches are recovered in their order up to the first that is not whole. What stands behind
//! the head after a crash is dropped, for it is read again.
//!
//! **Nothing here is truth.** A mirror that does not open, does not hold what its head says, or is of another log is
//! deleted and begun anew; predictions and blobs stay. There is no `HEAD` file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use domain::name::Digest;
use engine::port::store::Commit;
use rocksdb::{ColumnFamily, DB, WriteBatch};

use crate::database::{self, Database};
use crate::error::Error;
use crate::folder::{self, Folder, Keeps, Lock, NewLog};
use crate::format::{self, Format};
use crate::log;
use crate::view;

/// Why a mirror was begun anew.
#[derive(Debug, thiserror::Error)]
pub enum Anew {
    #[error("it was of log {}, in {partitions} partitions", format::hex(*log_id))]
    OtherLog { log_id: [u8; 16], partitions: u32 },
    #[error("another release wrote it in another way")]
    OtherRelease,
    #[error("it was not whole")]
    Damaged(#[source] Error),
}

impl Folder {
    /// Opens the folder as a mirror of this log, and makes it first when there is none. Says why, when one was there and
    /// is begun anew. A folder that has a log of its own is refused.
    pub fn open_mirror(path: &Path, of: &NewLog) -> Result<(Self, Option<Anew>), Error> {
        let lock = folder::make_and_lock(path, of)?;
        let opened = match format::read(path)? {
            None => return Ok((begin(path, *of, lock)?, None)),
            Some(Format::Log(_)) => return Err(Error::IsLog { path: path.to_owned() }),
            Some(Format::Mirror(None)) => Err(Anew::OtherRelease),
            Some(Format::Mirror(Some(found))) if found != *of => {
                Err(Anew::OtherLog { log_id: found.log_id, partitions: found.partitions })
            }
            Some(Format::Mirror(Some(_))) => {
                match Database::open(path, *of, Keeps::Mirror, Arc::clone(&lock)) {
                    Ok(database) => Ok(database),
                    Err(error) if error.is_full() => return Err(error),
                    Err(error) => Err(Anew::Damaged(error)),
                }
            }
        };
        match opened {
            Ok(database) => Ok((Self::around(path, *of, database, lock)?, None)),
            Err(anew) => {
                let why: &dyn std::error::Error = &anew;
                tracing::warn!(why, folder = %path.display(), "the mirror is begun anew: the log is read again");
                remove(&path.join("log"))
                    .map_err(|source| Error::Unusable { path: path.to_owned(), source })?;
                Ok((begin(path, *of, lock)?, Some(anew)))
            }
        }
    }
}

/// `FORMAT` comes first: whatever is in `log` then may be deleted.
fn begin(path: &Path, of: NewLog, lock: Lock) -> Result<Folder, Error> {
    let database = path.join("log");
    if database.exists() {
        return Err(Error::damaged(path, "a `FORMAT` file beside `log`"));
    }
    format::write(path, Keeps::Mirror, &of)?;
    database::create(&database, &of)?;
    let database = Database::open(path, of, Keeps::Mirror, Arc::clone(&lock))?;
    Folder::around(path, of, database, lock)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts records where they are in the log; gives how far each partition was read.
pub(crate) fn put<'a>(
    batch: &mut WriteBatch,
    family: &ColumnFamily,
    commits: &'a [Commit],
) -> BTreeMap<u32, (u64, &'a [u8])> {
    let mut ends = BTreeMap::new();
    for commit in commits {
        let partition = commit.partition;
        for record in &commit.records {
            batch.put_cf(family, log::key(partition, record.offset), &record.bytes);
        }
        let last = commit.records.last().map_or(&[][..], |record| &record.bytes);
        ends.insert(partition, (commit.head.next_offset, last));
    }
    ends
}

/// How far each partition was read, as the view says; what stands behind that is dropped. Refuses a head whose record is
/// not here.
pub(crate) fn ends(
    db: &DB,
    log: &ColumnFamily,
    view: &ColumnFamily,
    partitions: u32,
) -> Result<Vec<u64>, Error> {
    let mut ends = vec![];
    for partition in 0..partitions {
        let last = log::last(db, log, partition)?;
        let end = match view::head(db, view, partition)? {
            None => 0,
            Some(head) => {
                let record = head.next_offset.checked_sub(1);
                let record = record.map(|offset| db.get_pinned_cf(log, log::key(partition, offset)));
                let record = record.transpose().map_err(Error::Read)?.flatten();
                if record.is_none_or(|record| Digest::of(&record) != head.hash) {
                    return Err(Error::damaged(db.path(), "the record that the head of the view names"));
                }
                head.next_offset
            }
        };
        if last.end > end {
            forget(db, log, partition, end)?;
        }
        ends.push(end);
    }
    Ok(ends)
}

/// Deletes the records of a partition from an offset on.
pub(crate) fn forget(db: &DB, log: &ColumnFamily, partition: u32, from: u64) -> Result<(), Error> {
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(log, log::key(partition, from), log::key(partition, u64::MAX));
    db.write(batch).map_err(Error::Write)
}
