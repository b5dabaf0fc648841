//! Which blobs speak of which: from a bundle's digest to its signatures.
//!
//! The fallback of OCI registries without a referrers API, in the small: one list a subject, named
//! `sha256-<hex>`.
//!
//! Contract:
//! 1. After `add` returned, `of(subject)` has the referrer, also after a restart, in the order of adding.
//! 2. Adding again changes nothing.
//! 3. Nothing here is trusted: a referrer is bytes that somebody has yet to verify.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;

use domain::name::Digest;

pub trait Referrers: Send + Sync + std::fmt::Debug {
    fn add(&self, subject: Digest, referrer: Digest) -> io::Result<()>;
    fn of(&self, subject: Digest) -> io::Result<Vec<Digest>>;
}

/// Referrers in a folder, a file a subject with a digest a line. Several processes may have it open: who adds holds the
/// folder's lock.
#[derive(Debug)]
pub struct FolderReferrers {
    folder: PathBuf,
    writing: Mutex<()>,
}

impl FolderReferrers {
    /// Makes the folder when it is missing.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, writing: Mutex::new(()) })
    }

    fn path(&self, subject: Digest) -> PathBuf {
        self.folder.join(format!("sha256-{}", subject.hex()))
    }
}

impl Referrers for FolderReferrers {
    fn add(&self, subject: Digest, referrer: Digest) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Given free when it is closed.
        let others = fs::File::create(self.folder.join("LOCK"))?;
        others.lock()?;
        let mut known = self.of(subject)?;
        if known.contains(&referrer) {
            return Ok(());
        }
        known.push(referrer);
        let lines: Vec<String> = known.iter().map(Digest::to_string).collect();
        let lines = lines.join("\n");
        // Renamed into place, so that a crash leaves the former list or the new one.
        let draft = self.path(subject).with_extension("draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, self.path(subject))?;
        fs::File::open(&self.folder)?.sync_all()
    }

    fn of(&self, subject: Digest) -> io::Result<Vec<Digest>> {
        let text = match fs::read_to_string(self.path(subject)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let line =
            |line: &str| Digest::parse(line).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad));
        text.lines().map(line).collect()
    }
}
