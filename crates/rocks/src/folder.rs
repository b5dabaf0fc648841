//! A data folder: made whole or not at all, opened by one process at a time, refused with a code when it is not
//! what it says.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::fail::{self, Point};

use crate::backup;
use crate::blobs::Blobs;
use crate::database::{self, Database};
use crate::error::Error;
use crate::format;
use crate::guard::PARTITIONS_MAX;
use crate::predictions::Predictions;

/// What a log is from its first record on. Whoever makes one draws the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLog {
    pub log_id: [u8; 16],
    /// Fixed for the log's life; 1 to 101.
    pub partitions: u32,
}

/// What a folder's database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The log: the truth.
    Log,
    /// The accepted records of a log that is elsewhere.
    Mirror,
}

/// An open data folder. The lock is held until the folder and everything taken from it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    log: NewLog,
    database: Arc<Database>,
    predictions: Arc<Predictions>,
    blobs: Arc<Blobs>,
}

/// The lock on the folder; dropping it gives the folder free.
pub(crate) type Lock = Arc<File>;

impl Folder {
    /// Opens the folder, and makes it first when there is none. A folder that exists keeps its log: `new` is
    /// then not looked at.
    pub fn open_or_create(path: &Path, new: &NewLog) -> Result<Self, Error> {
        let lock = make_and_lock(path, new)?;
        if let Some(log) = format::read_log(path)? {
            return Self::open_locked(path, log, lock);
        }
        // FORMAT comes last: a crash before it leaves an empty database, which the next call completes.
        database::create(&path.join("log"), new)?;
        fail::at(Point::F1);
        format::write(path, Keeps::Log, new)?;
        Self::open_locked(path, *new, lock)
    }

    /// Opens a folder that exists.
    pub fn open(path: &Path) -> Result<Self, Error> {
        refuse_copies(path)?;
        if !path.is_dir() || format::read_log(path)?.is_none() {
            return Err(Error::Missing { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let log = format::read_log(path)?.ok_or_else(|| Error::Missing { path: path.to_owned() })?;
        Self::open_locked(path, log, lock)
    }

    fn open_locked(path: &Path, log: NewLog, lock: Lock) -> Result<Self, Error> {
        let database = Database::open(path, log, Keeps::Log, Arc::clone(&lock))?;
        Self::around(path, log, database, lock)
    }

    /// With all that a folder has beside its database.
    pub(crate) fn around(path: &Path, log: NewLog, database: Database, lock: Lock) -> Result<Self, Error> {
        let database = Arc::new(database);
        let predictions = Arc::new(Predictions::open(&path.join("predictions"), Arc::clone(&lock))?);
        let blobs = Arc::new(Blobs::open(&path.join("blobs"), lock)?);
        Ok(Self { path: path.to_owned(), log, database, predictions, blobs })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn log_id(&self) -> [u8; 16] {
        self.log.log_id
    }

    pub fn partitions(&self) -> u32 {
        self.log.partitions
    }

    /// The log or its mirror, the view and the workers' journal: implements `Log`, `Store`, `Embedded` and `Journal`.
    pub fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    pub fn predictions(&self) -> Arc<Predictions> {
        Arc::clone(&self.predictions)
    }

    pub fn blobs(&self) -> Arc<Blobs> {
        Arc::clone(&self.blobs)
    }

    /// Makes the guard and all tables durable, so that the next opening has nothing to recover. Whoever does
    /// not call it loses nothing but that time.
    pub fn close(self) -> Result<(), Error> {
        self.predictions.flush()?;
        self.database.flush()
    }
}

/// Makes the folder when there is none, and takes the lock.
pub(crate) fn make_and_lock(path: &Path, new: &NewLog) -> Result<Lock, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    if !(1..=PARTITIONS_MAX).contains(&new.partitions) {
        let message = format!("expected 1 to {PARTITIONS_MAX} partitions, but found {}", new.partitions);
        return Err(unusable(std::io::Error::new(std::io::ErrorKind::InvalidInput, message)));
    }
    refuse_copies(path)?;
    make(path).map_err(unusable)?;
    lock(path)
}

/// A backup is not to be written to, nor what is half restored to be served.
fn refuse_copies(path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    if path.join(backup::BACKUP).is_file() {
        Err(Error::Backup { path })
    } else if path.join(backup::RESTORING).is_file() {
        Err(Error::Restoring { path })
    } else {
        Ok(())
    }
}

/// Makes the folder and those above it, so that a power cut leaves their names: the names in a folder are durable by
/// a sync of the folder around it.
fn make(path: &Path) -> std::io::Result<()> {
    let around =
        |path: &Path| path.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned);
    if let Some(parent) = around(path).filter(|parent| !parent.is_dir()) {
        make(&parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if !path.is_dir() => Err(error),
        _ => format::sync_folder(&around(path).unwrap_or_else(|| PathBuf::from("."))),
    }
}

/// How long a lock that somebody holds is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(10);

pub(crate) fn lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join("LOCK");
    let unusable = |source| Error::Unusable { path: path.clone(), source };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(unusable)?;
    // A former holder may be on its way out, or a child that was just forked from it holds the lock until it becomes
    // another program: both take moments.
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Arc::new(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT_MAX => {
                std::thread::sleep(LOCK_LOOK_EVERY);
            }
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}
