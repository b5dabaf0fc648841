//! Backups: a whole data folder as it was at one moment, taken while it is in use.
//!
//! ```text
//!  DEST/
//!    log/ predictions/   RocksDB checkpoints: tables are linked where they can be (they never change), else copied
//!    blobs/              linked or copied after `log/`, so that every blob that the log names is there
//!    users.json, ..      all other files of the folder, each copied whole
//!    HEAD FORMAT         of the checkpoint
//!    BACKUP              the manifest (see `manifest`), written last
//! ```
//!
//! **Invariant.** A backup with a `BACKUP` file has every record that was acknowledged when it was begun, and
//! every byte of it is confirmed by a digest. A backup is never opened as a data folder: `restore` makes one of it.
//!
//! A backup has the secrets of its folder (keys and tokens) and is made for its owner only. It holds tables in
//! common with the folder when both are on one disk: a bad block hits both, so take it to another disk.
//!
//! Of a mirror it is a **snapshot**: `log/`, `FORMAT` and `BACKUP` alone. The log, blobs and secrets are elsewhere; whoever
//! is restored from it reads on in the log from there.

mod error;
mod look;
mod manifest;
mod restore;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::name::Digest;
use domain::time::Timestamp;
use rocksdb::DB;
use rocksdb::checkpoint::Checkpoint;
use sha2::{Digest as _, Sha256};

use crate::database::Database;
use crate::folder::{Folder, Keeps, NewLog};
use crate::format::{self, sync_folder};
use crate::guard;
use crate::predictions::Predictions;

pub use error::{Error, Lost};
pub use look::LogCopy;
pub(crate) use manifest::NAME as BACKUP;
use manifest::{Listed, Manifest};
pub(crate) use restore::RESTORING;
pub use restore::{Restore, Restored, restore};

/// How many bytes of a file are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What is made anew, is of one process, or is taken in a way of its own.
const NOT_COPIED: [&str; 8] =
    ["log", "predictions", "blobs", "LOCK", "HEAD", format::NAME, BACKUP, RESTORING];

/// Takes backups of an open folder; keeps it open, and locked, as all that is taken from a folder does.
#[derive(Debug, Clone)]
pub struct Backups {
    path: PathBuf,
    log: NewLog,
    database: Arc<Database>,
    predictions: Arc<Predictions>,
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub log_id: [u8; 16],
    pub taken_at: Timestamp,
    /// The offset behind the last record of each partition, and that record's hash.
    pub heads: Vec<(u64, Digest)>,
    pub files: usize,
    pub bytes: u64,
    /// Of the manifest.
    pub sha256: Digest,
    /// Blobs that are not what their name says: they are left out.
    pub damaged: Vec<Digest>,
    /// Of a mirror: the log itself is elsewhere.
    pub is_snapshot: bool,
}

impl Folder {
    pub fn backups(&self) -> Backups {
        Backups {
            path: self.path().to_owned(),
            log: NewLog { log_id: self.log_id(), partitions: self.partitions() },
            database: self.database(),
            predictions: self.predictions(),
        }
    }
}

impl Backups {
    /// Takes one into a new folder. What is written meanwhile may be in it or not. A failure leaves nothing.
    pub fn take(&self, to: &Path, taken_at: Timestamp, by: &str) -> Result<Backup, Error> {
        self.check_place(to)?;
        DirBuilder::new().mode(0o700).create(to).map_err(|source| failed(to, source))?;
        self.fill(to, taken_at, by).inspect_err(|_| {
            // It was made here, just now; what cannot be removed has no `BACKUP` and is refused everywhere.
            let _gone = fs::remove_dir_all(to);
        })
    }

    fn check_place(&self, to: &Path) -> Result<(), Error> {
        if to.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().map_err(|source| failed(parent, source))?;
        let own = self.path.canonicalize().map_err(|source| failed(&self.path, source))?;
        if parent.starts_with(own) { Err(Error::Inside { path: to.to_owned() }) } else { Ok(()) }
    }

    fn fill(&self, to: &Path, taken_at: Timestamp, by: &str) -> Result<Backup, Error> {
        let by = by.replace('\n', " ");
        // The log first: what it names was written before it.
        let keeps = self.database.keeps();
        if keeps == Keeps::Mirror {
            // What stands behind the view's head is dropped at an opening.
            self.database.flush()?;
        }
        checkpoint(self.database.db(), &to.join("log"))?;
        let heads = look::heads(&to.join("log"), self.log.partitions)?;
        let damaged = match keeps {
            Keeps::Log => {
                checkpoint(self.predictions.db(), &to.join("predictions"))?;
                let damaged = link_blobs(&self.path.join("blobs"), &to.join("blobs"))?;
                copy_others(&self.path, to)?;
                guard::write_new(to, &heads)?;
                damaged
            }
            Keeps::Mirror => vec![],
        };
        format::write(to, keeps, &self.log)?;
        let mut files = vec![];
        list(to, to, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest { by, log: self.log, taken_at, heads, files };
        let text = manifest.text();
        let path = to.join(BACKUP);
        format::replace(&path, text.as_bytes()).map_err(|source| failed(&path, source))?;
        to.parent().map_or(Ok(()), sync_folder).map_err(|source| failed(to, source))?;
        Ok(Backup {
            log_id: self.log.log_id,
            taken_at,
            heads: manifest.heads.iter().map(|head| (head.end, head.hash)).collect(),
            files: manifest.files.len(),
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
            sha256: Digest::of(text.as_bytes()),
            damaged,
            is_snapshot: keeps == Keeps::Mirror,
        })
    }
}

/// Memtables are flushed first, so that there is little of a write-ahead log to copy.
fn checkpoint(db: &DB, to: &Path) -> Result<(), Error> {
    Checkpoint::new(db).and_then(|checkpoint| checkpoint.create_checkpoint(to)).map_err(Error::Database)
}

/// Links every blob, or copies it to another disk. Gives those that are damaged.
fn link_blobs(from: &Path, to: &Path) -> Result<Vec<Digest>, Error> {
    let mut damaged = vec![];
    let (from, to) = (from.join("sha256"), to.join("sha256"));
    make_folder(&to)?;
    for shard in entries(&from)? {
        make_folder(&to.join(name(&shard)))?;
        for blob in entries(&shard)? {
            let (first, rest) = (name(&shard), name(&blob));
            let Ok(digest) = Digest::parse(&format!("{first}{rest}")) else { continue };
            match digest_of(&blob) {
                Ok((found, _)) if found == digest => {}
                Ok(_) => {
                    damaged.push(digest);
                    continue;
                }
                // Swept meanwhile: nothing named it any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(&blob, source)),
            }
            let place = to.join(first).join(rest);
            if fs::hard_link(&blob, &place).is_err() {
                copy(&blob, &place)?;
            }
        }
    }
    Ok(damaged)
}

/// Everything else, which is written by replacing whole files.
fn copy_others(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in entries(from)? {
        let own = name(&entry);
        // What is being written has these endings, in all folders.
        let is_unfinished = [".new", ".part"].iter().any(|ending| own.ends_with(ending));
        if !NOT_COPIED.contains(&own.as_str()) && !is_unfinished {
            copy_all(&entry, &to.join(own))?;
        }
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Error> {
    if from.is_dir() {
        make_folder(to)?;
        return entries(from)?.iter().try_for_each(|entry| copy_all(entry, &to.join(name(entry))));
    }
    match copy(from, to) {
        // Replaced or removed meanwhile.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// With its rights, as it is for secrets.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(|_| ()).map_err(|source| failed(from, source))
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| failed(path, source))
}

/// Lists, digests and syncs every file below `folder`, and syncs the folders.
fn list(root: &Path, folder: &Path, files: &mut Vec<Listed>) -> Result<(), Error> {
    for entry in entries(folder)? {
        if entry.is_dir() {
            list(root, &entry, files)?;
            continue;
        }
        let below = entry.strip_prefix(root).expect("it was listed below the root");
        let path = below.to_str().filter(|path| !path.contains('\n')).ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "expected a plain name of a file");
            failed(&entry, source)
        })?;
        let synced = File::open(&entry).and_then(|file| file.sync_all());
        let digested = synced.and_then(|()| digest_of(&entry));
        let (sha256, bytes) = digested.map_err(|source| failed(&entry, source))?;
        files.push(Listed { path: path.to_owned(), bytes, sha256 });
    }
    sync_folder(folder).map_err(|source| failed(folder, source))
}

fn digest_of(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok((Digest(hash.finalize().into()), bytes));
        }
        hash.update(&chunk[..count]);
        bytes += count as u64;
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(|source| failed(folder, source))
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}
