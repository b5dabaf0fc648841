//! Blobs in a folder: one file each, named by its SHA-256. Knows nothing of RocksDB; it is here because this
//! crate is the data folder.
//!
//! ```text
//!  blobs/sha256/ab/cdef..   a blob        blobs/incoming/..   being written; emptied at opening
//! ```
//!
//! **Invariant.** A file under `sha256` appears whole, by a rename after its sync, and its folder is synced
//! before `put` returns. What is read is verified, so a bad disk gives `Corrupt`, never other bytes; putting
//! the right bytes again mends it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use domain::name::Digest;
use engine::fail::{self, Point};
use engine::port::blobs::{self, Error};

use crate::error;
use crate::folder::Lock;
use crate::format::sync_folder;

/// A blob store in a folder.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    /// What the files that this process writes begin with.
    own: String,
    incoming: AtomicU64,
    _lock: Option<Lock>,
}

/// What a process that has died left half-written in a shared folder goes after so long.
const LEFT_BEHIND_AFTER: Duration = Duration::from_hours(24);

impl Blobs {
    /// Opens a folder that several processes use at the same time.
    pub fn shared(folder: &Path) -> Result<Self, error::Error> {
        let unusable = |source| error::Error::Unusable { path: folder.to_owned(), source };
        let incoming = folder.join("incoming");
        fs::create_dir_all(&incoming).map_err(unusable)?;
        fs::create_dir_all(folder.join("sha256")).map_err(unusable)?;
        sync_folder(folder).map_err(unusable)?;
        folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map_or(Ok(()), sync_folder)
            .map_err(unusable)?;
        for left in fs::read_dir(&incoming).map_err(unusable)? {
            let left = left.map_err(unusable)?;
            let age = left.metadata().and_then(|of| of.modified()).map(|at| at.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age >= LEFT_BEHIND_AFTER) {
                // Another process may have been quicker.
                let _gone = fs::remove_file(left.path());
            }
        }
        // The files of two processes never have one name, nor those of two lives of one: each is made anew.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let own = format!("{}-{}-", std::process::id(), since.as_nanos());
        Ok(Self { folder: folder.to_owned(), own, incoming: AtomicU64::new(0), _lock: None })
    }

    pub(crate) fn open(folder: &Path, lock: Lock) -> Result<Self, error::Error> {
        let unusable = |source| error::Error::Unusable { path: folder.to_owned(), source };
        let incoming = folder.join("incoming");
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
        fs::create_dir_all(&incoming).map_err(unusable)?;
        fs::create_dir_all(folder.join("sha256")).map_err(unusable)?;
        sync_folder(folder).map_err(unusable)?;
        folder.parent().map_or(Ok(()), sync_folder).map_err(unusable)?;
        let incoming = AtomicU64::new(0);
        Ok(Self { folder: folder.to_owned(), own: String::new(), incoming, _lock: Some(lock) })
    }

    fn place(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join("sha256").join(&hex[..2]).join(&hex[2..])
    }

    /// Writes a file that has no name yet under `sha256`, synced.
    fn receive(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("incoming").join(format!("{}{number}", self.own));
        let mut file = File::create_new(&path)?;
        let written = file.write_all(bytes).and_then(|()| {
            fail::at(Point::B1);
            file.sync_all()
        });
        if written.is_err() {
            // A full disk gets its room back at once; what cannot be removed now goes at the next opening.
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }
}

impl blobs::Blobs for Blobs {
    fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        match self.get(digest) {
            Ok(_) => return Ok(digest),
            Err(Error::Missing(_) | Error::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let place = self.place(digest);
        let shard = place.parent().expect("a place is in its shard");
        if !shard.is_dir() {
            fs::create_dir_all(shard)?;
            sync_folder(&self.folder.join("sha256"))?;
        }
        fs::rename(self.receive(bytes)?, &place)?;
        fail::at(Point::B2);
        sync_folder(shard)?;
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        match fs::read(self.place(digest)) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(bytes),
            Ok(_) => Err(Error::Corrupt(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing(digest)),
            Err(error) => Err(Error::Io(error)),
        }
    }

    fn contains(&self, digest: Digest) -> Result<bool, Error> {
        Ok(self.place(digest).try_exists()?)
    }
}
