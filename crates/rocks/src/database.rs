//! The one database: opening, its column families, and the only function that writes log and view.
//!
//! ```text
//!  meta     what the log is, and the shape of the view
//!  log      partition(4) offset(8)   -> record
//!  view     see `view::keys`
//!  journal  attempt                  -> state, time, answer
//! ```
//!
//! Recovery mode is `TolerateCorruptedTailRecords`: an incomplete last record of the write-ahead log was never
//! acknowledged and may be dropped, anything else that does not read back is refused. `AbsoluteConsistency`
//! would refuse to start after every power cut in mid-write; `PointInTime` would silently cut the log at the
//! first bad byte. What the tolerated tail could still hide, `guard` sees, and `wal` where another log follows. A
//! `mirror` has just that done: what is cut off is read again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use domain::name::Digest;
use engine::fail::{self, Point, Safety};
use engine::port::log::Append;
use engine::port::store::{self, Commit};
use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    LogLevel, Options, WriteBatch, WriteOptions,
};

use crate::bytes::Reader;
use crate::error::{Error, is_full_text};
use crate::folder::{Keeps, Lock, NewLog};
use crate::guard::{Acknowledged, Guard};
use crate::log;
use crate::mirror;
use crate::view;
use crate::wal;

const META: &str = "meta";
pub(crate) const LOG: &str = "log";
const VIEW: &str = "view";
const JOURNAL: &str = "journal";

const LOG_KEY: &[u8] = b"log";
const VIEW_KEY: &[u8] = b"view";

/// Small memtables stay in the processor's cache: 8 MB gave 20 to 35 % more than 64 MB.
const MEMTABLE_BYTES: usize = 8 << 20;
/// How many memtables of a family may wait for their flush before writers wait too.
const MEMTABLES_MAX: i32 = 4;
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Bounds what an opening after a crash has to read again.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// RocksDB's own text log, of which it keeps so many.
const TEXT_LOGS_MAX: usize = 4;

const UNPOISONED: &str = "no panic while the database is written";

/// The log, its view and the workers' journal.
pub struct Database {
    db: DB,
    path: PathBuf,
    writing: Mutex<Writing>,
    /// What the view is behind by; locked after `writing`.
    behind: RwLock<view::Behind>,
    keeps: Keeps,
    /// Where the next record of each partition goes; moves after the sync. In a mirror, where the next is read.
    ends: Box<[AtomicU64]>,
    stopped: AtomicBool,
    /// It stopped because the disk was full.
    full: AtomicBool,
    /// Kept for their statistics.
    options: Options,
    _lock: Lock,
}

/// What whoever writes must know; held while it writes.
#[derive(Debug)]
pub(crate) struct Writing {
    /// Of a log that is here; nothing in a mirror.
    guarded: Option<Guarded>,
    pub(crate) view: view::Standing,
}

#[derive(Debug)]
struct Guarded {
    acknowledged: Vec<Acknowledged>,
    guard: Guard,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// Makes an empty database, or accepts the empty one that a crash left.
pub(crate) fn create(path: &Path, new: &NewLog) -> Result<(), Error> {
    let mut options = options(Keeps::Log);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf_descriptors(&options, path, families()).map_err(|error| opening(path, error))?;
    let mut first = db.raw_iterator_cf(family(&db, LOG));
    first.seek_to_first();
    if first.valid() {
        return Err(Error::damaged(path, "a `FORMAT` file beside a log that has records"));
    }
    first.status().map_err(Error::Read)?;
    let mut batch = WriteBatch::default();
    batch.put_cf(family(&db, META), LOG_KEY, encode(new));
    batch.put_cf(family(&db, META), VIEW_KEY, view::VERSION.to_be_bytes());
    db.write_opt(batch, &synced()).map_err(Error::Write)
}

impl Database {
    pub(crate) fn open(folder: &Path, expected: NewLog, keeps: Keeps, lock: Lock) -> Result<Self, Error> {
        let path = folder.join("log");
        if !path.join("CURRENT").exists() {
            return Err(Error::damaged(path, "the database of the log"));
        }
        if keeps == Keeps::Log {
            wal::check(&path)?;
        }
        let mut options = options(keeps);
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        let db =
            DB::open_cf_descriptors(&options, &path, families()).map_err(|error| opening(&path, error))?;
        let meta = family(&db, META);
        let kept = db.get_cf(meta, LOG_KEY).map_err(Error::Read)?;
        if kept.is_none_or(|kept| decode(&kept) != Some(expected)) {
            return Err(Error::damaged(path, "the log that `FORMAT` names"));
        }
        let guarded = match keeps {
            Keeps::Log => Some(Guarded::open(&db, folder, expected.partitions)?),
            Keeps::Mirror => None,
        };
        let shape = db.get_cf(meta, VIEW_KEY).map_err(Error::Read)?;
        if shape.as_deref() != Some(&view::VERSION.to_be_bytes()) || fail::is_off(Safety::View) {
            forget_view(&db)?;
            fail::at(Point::M1);
        }
        let ends = match &guarded {
            Some(guarded) => guarded.acknowledged.iter().map(|partition| partition.end).collect(),
            None => mirror::ends(&db, family(&db, LOG), family(&db, VIEW), expected.partitions)?,
        };
        let ends = ends.into_iter().map(AtomicU64::new).collect();
        let view = view::Standing::read(&db, family(&db, VIEW))?;
        let writing = Mutex::new(Writing { guarded, view });
        let behind = RwLock::default();
        Ok(Self {
            db,
            path,
            writing,
            behind,
            keeps,
            ends,
            stopped: AtomicBool::new(false),
            full: AtomicBool::new(false),
            options,
            _lock: lock,
        })
    }

    /// Whether the log is here, or mirrored.
    pub(crate) fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// Deletes the view, and keeps the log: it is built again by reading. A mirror goes with its view.
    pub fn forget_view(&self) -> Result<(), Error> {
        let mut writing = self.writing();
        self.going()?;
        forget_view(&self.db).inspect_err(|error| self.stop(error))?;
        if self.keeps == Keeps::Mirror {
            for (partition, end) in (0..).zip(&self.ends) {
                end.store(0, Ordering::Release);
                mirror::forget(&self.db, self.log_family(), partition, 0)
                    .inspect_err(|error| self.stop(error))?;
            }
        }
        writing.view = view::Standing::default();
        *self.behind.write().expect(UNPOISONED) = view::Behind::default();
        Ok(())
    }

    /// Whether a write failed, since when nothing is written; reading goes on.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether it stopped because the disk was full: opened again when there is room, it goes on.
    pub fn is_full(&self) -> bool {
        self.is_stopped() && self.full.load(Ordering::Acquire)
    }

    /// How often the write-ahead log was synced since opening: once a pass, once a call of the journal.
    pub fn syncs(&self) -> u64 {
        self.options.get_ticker_count(Ticker::WalFileSynced)
    }

    /// Writes the view and all memtables to files, and syncs the guard.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let mut writing = self.writing();
        self.going()?;
        self.write_view(&mut writing, WriteBatch::default(), true).map_err(|error| match error {
            store::Error::Io(source) => Error::View(source),
            other => Error::View(other.into()),
        })?;
        for name in [META, LOG, VIEW, JOURNAL] {
            self.db
                .flush_cf(family(&self.db, name))
                .map_err(Error::Write)
                .inspect_err(|error| self.stop(error))?;
        }
        let Some(Guarded { guard, .. }) = &mut writing.guarded else { return Ok(()) };
        guard.sync().inspect_err(|error| self.stop(error))
    }

    /// Appends with one sync, and takes what the commits say into the view: readers see it from now on. In a mirror
    /// their records are put where they are in the log, without a sync.
    pub(crate) fn write(&self, appends: &[Append], commits: &[Commit]) -> Result<(), store::Error> {
        let mut writing = self.writing();
        self.going().map_err(failed)?;
        writing.view.check(commits)?;
        let mut batch = WriteBatch::default();
        let ends = match &writing.guarded {
            Some(guarded) => log::put(&mut batch, self.log_family(), &guarded.acknowledged, appends),
            None => mirror::put(&mut batch, self.log_family(), commits),
        };
        self.write_view(&mut writing, batch, false)?;
        fail::at(Point::K4);

        let Writing { guarded, view } = &mut *writing;
        for (partition, (end, last)) in &ends {
            if let Some(Guarded { acknowledged, .. }) = guarded {
                acknowledged[*partition as usize] = Acknowledged { end: *end, hash: Digest::of(last) };
            }
            self.ends[*partition as usize].store(*end, Ordering::Release);
        }
        view.advance(commits);
        self.behind.write().expect(UNPOISONED).take(commits);
        match guarded {
            Some(Guarded { acknowledged, guard }) if !ends.is_empty() => {
                guard.note(acknowledged).inspect_err(|error| self.stop(error)).map_err(failed)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes what the view is behind by, when it is time to.
    pub(crate) fn settle_view(&self) -> Result<(), store::Error> {
        if !self.behind().is_due() {
            return Ok(());
        }
        let mut writing = self.writing();
        self.going().map_err(failed)?;
        self.write_view(&mut writing, WriteBatch::default(), false)
    }

    /// Writes the batch, and with it what the view is behind by, when it is time to or `all` is wanted.
    fn write_view(
        &self,
        writing: &mut Writing,
        mut batch: WriteBatch,
        all: bool,
    ) -> Result<(), store::Error> {
        let behind = self.behind();
        let moved = if behind.is_due() || all && !behind.is_empty() {
            Some(view::put(&mut batch, &self.db, self.view_family(), &writing.view, &behind)?)
        } else {
            None
        };
        drop(behind);
        if !batch.is_empty() {
            let written = match self.keeps {
                Keeps::Log => self.write_synced(batch),
                Keeps::Mirror => self.write_unsynced(batch),
            };
            written.map_err(failed)?;
        }
        if let Some(moved) = moved {
            writing.view.follow(moved);
            // Only now: until it is written, readers find it here.
            *self.behind.write().expect(UNPOISONED) = view::Behind::default();
        }
        Ok(())
    }

    /// What is to be read before what is written.
    pub(crate) fn behind(&self) -> RwLockReadGuard<'_, view::Behind> {
        self.behind.read().expect(UNPOISONED)
    }

    /// Writes with a sync; after a failure nothing is written any more.
    pub(crate) fn write_synced(&self, batch: WriteBatch) -> Result<(), Error> {
        self.going()?;
        self.db.write_opt(batch, &synced()).map_err(Error::Write).inspect_err(|error| self.stop(error))
    }

    /// Writes what the end of this process may not cost, but a power loss may.
    pub(crate) fn write_unsynced(&self, batch: WriteBatch) -> Result<(), Error> {
        self.going()?;
        self.db.write(batch).map_err(Error::Write).inspect_err(|error| self.stop(error))
    }

    pub(crate) fn ends(&self) -> &[AtomicU64] {
        &self.ends
    }

    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    pub(crate) fn log_family(&self) -> &ColumnFamily {
        family(&self.db, LOG)
    }

    pub(crate) fn view_family(&self) -> &ColumnFamily {
        family(&self.db, VIEW)
    }

    pub(crate) fn journal_family(&self) -> &ColumnFamily {
        family(&self.db, JOURNAL)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().expect(UNPOISONED)
    }

    fn going(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Acquire) { Err(Error::Stopped) } else { Ok(()) }
    }

    fn stop(&self, why: &Error) {
        if why.is_full() {
            self.full.store(true, Ordering::Release);
        }
        self.stopped.store(true, Ordering::Release);
    }
}

impl Guarded {
    fn open(db: &DB, folder: &Path, partitions: u32) -> Result<Self, Error> {
        let (mut guard, guarded) = Guard::open(folder)?;
        let acknowledged = (0..partitions).map(|partition| log::last(db, family(db, LOG), partition));
        let acknowledged = acknowledged.collect::<Result<Vec<_>, _>>()?;
        check(db, folder, &acknowledged, guarded.as_deref())?;
        guard.note(&acknowledged)?;
        guard.sync()?;
        Ok(Self { acknowledged, guard })
    }
}

/// Refuses a log that does not hold what was acknowledged.
fn check(
    db: &DB,
    folder: &Path,
    found: &[Acknowledged],
    guarded: Option<&[Acknowledged]>,
) -> Result<(), Error> {
    let Some(guarded) = guarded else {
        let empty = found.iter().all(|partition| partition.end == 0);
        return if empty { Ok(()) } else { Err(Error::damaged(folder.join("HEAD"), "an acknowledged head")) };
    };
    if guarded.len() != found.len() {
        return Err(Error::damaged(folder.join("HEAD"), "as many partitions as the log has"));
    }
    for (partition, (guarded, found)) in (0..).zip(guarded.iter().zip(found)) {
        if found.end < guarded.end {
            return Err(Error::BehindHead { partition, acknowledged: guarded.end, end: found.end });
        }
        if let Some(offset) = guarded.end.checked_sub(1) {
            let record =
                db.get_pinned_cf(family(db, LOG), log::key(partition, offset)).map_err(Error::Read)?;
            if record.is_none_or(|record| Digest::of(&record) != guarded.hash) {
                return Err(Error::OtherRecord { partition, offset });
            }
        }
    }
    Ok(())
}

fn forget_view(db: &DB) -> Result<(), Error> {
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(family(db, VIEW), [0].as_slice(), [0xff].as_slice());
    batch.put_cf(family(db, META), VIEW_KEY, view::VERSION.to_be_bytes());
    db.write_opt(batch, &synced()).map_err(Error::Write)
}

/// As the ports hand it on.
pub(crate) fn failed(error: Error) -> store::Error {
    store::Error::Io(error.into())
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(!fail::is_off(Safety::Sync));
    options
}

pub(crate) fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("all families are opened with the database")
}

/// RocksDB's words for why it does not open, as one of ours.
pub(crate) fn opening(path: &Path, error: rocksdb::Error) -> Error {
    if is_full_text(&error) {
        return Error::Write(error);
    }
    let expected = "a database that opens";
    Error::Damaged { path: path.to_owned(), expected, source: Some(error.into()) }
}

/// What both databases of a folder have in common.
pub(crate) fn common_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(MEMTABLES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(TEXT_LOGS_MAX);
    options.set_log_level(LogLevel::Warn);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_paranoid_checks(true);
    options
}

/// Tables with a Bloom filter, over a cache that families may share.
pub(crate) fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(16 << 10);
    tables.set_bloom_filter(10.0, false);
    tables
}

/// Of the database of the log. Also to read it only: without the write-ahead logs of its manifest RocksDB crashes.
pub(crate) fn options(keeps: Keeps) -> Options {
    let mut options = common_options();
    options.set_wal_recovery_mode(match keeps {
        Keeps::Log => DBRecoveryMode::TolerateCorruptedTailRecords,
        Keeps::Mirror => DBRecoveryMode::PointInTime,
    });
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    // One thread writes nearly everything: inserting without latches is cheaper for it.
    options.set_allow_concurrent_memtable_write(false);
    options
}

pub(crate) fn families() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    let mut options = common_options();
    options.set_block_based_table_factory(&tables(&cache));
    [META, LOG, VIEW, JOURNAL].map(|name| ColumnFamilyDescriptor::new(name, options.clone())).into()
}

fn encode(log: &NewLog) -> Vec<u8> {
    [&log.log_id[..], &log.partitions.to_be_bytes()].concat()
}

fn decode(bytes: &[u8]) -> Option<NewLog> {
    let mut reader = Reader::new(bytes);
    let log = NewLog { log_id: reader.array().ok()?, partitions: u32::from_be_bytes(reader.array().ok()?) };
    reader.end().ok().map(|()| log)
}
