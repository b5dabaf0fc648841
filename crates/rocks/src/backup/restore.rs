//! Makes a data folder of a backup.
//!
//! ```text
//!  check: manifest, every digest, what the folder there acknowledged       nothing is changed yet
//!  move aside: DIR -> DIR.replaced-TIME (only when told)                     nothing is ever deleted
//!  DIR/RESTORING .. copy, each digest again .. FORMAT, RESTORED, remove RESTORING, open
//! ```
//!
//! **Head guard.** A folder that is there keeps `HEAD`, outside its database: how far its log was acknowledged. A
//! backup that does not have all of it is refused unless the loss is accepted in words, because those decisions were
//! told to people and routers. A new folder knows nothing, so nothing can be guarded: see ADR 18 for what finds the
//! fork that two copies of a log become. A snapshot of a mirror loses nothing, and is never put where a log is.

use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use domain::name::Digest;
use domain::time::Timestamp;
use rocksdb::DB;

use super::manifest::{Listed, Manifest};
use super::{Error, Lost, copy, digest_of, entries, failed, look, make_folder};
use crate::folder::{self, Folder, Keeps};
use crate::format::{self, Format, hex, sync_folder};
use crate::guard::{self, Acknowledged};

/// Stands in a folder for as long as it is not whole.
pub(crate) const RESTORING: &str = "RESTORING";
/// What the first start of a restored folder says in its claim.
const RESTORED: &str = "RESTORED";

/// How to restore.
#[derive(Debug, Clone, Copy)]
pub struct Restore<'a> {
    pub from: &'a Path,
    pub to: &'a Path,
    /// A folder that is there is moved aside.
    pub replace: bool,
    /// What it acknowledged and the backup does not have is given up.
    pub accept_loss: bool,
    pub at: Timestamp,
}

/// A folder that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub log_id: [u8; 16],
    pub taken_at: Timestamp,
    /// The release that took the backup.
    pub by: String,
    /// The offset behind the last record of each partition, and that record's hash.
    pub heads: Vec<(u64, Digest)>,
    pub files: usize,
    pub bytes: u64,
    /// What the folder that was there had acknowledged besides.
    pub lost: Lost,
    /// Where that folder is now.
    pub replaced: Option<PathBuf>,
    /// It is a mirror: the log itself is elsewhere.
    pub is_snapshot: bool,
}

pub fn restore(restore: Restore<'_>) -> Result<Restored, Error> {
    let Restore { from, to, replace, accept_loss, at } = restore;
    let manifest = Manifest::read(from)?;
    for file in &manifest.files {
        check(&from.join(&file.path), file)?;
    }
    let keeps = kept(from, &manifest)?;
    let mut lost = Lost::default();
    let mut replaced = None;
    if !is_free(to)? {
        let _held = folder::lock(to)?;
        lost = match keeps {
            Keeps::Log => lost_by(from, to, &manifest)?,
            Keeps::Mirror => refuse_log(to)?,
        };
        if !lost.is_nothing() && !accept_loss {
            return Err(Error::Loses { path: to.to_owned(), lost });
        }
        if !replace {
            return Err(Error::Occupied { path: to.to_owned() });
        }
        replaced = Some(move_aside(to, at)?);
    }
    let words = match keeps {
        Keeps::Log => Some(format!("restored at {at} from a backup of {}", manifest.taken_at)),
        // It decides nothing by itself: no claim has to say where it is from.
        Keeps::Mirror => None,
    };
    fill(from, to, &manifest, words.as_deref())?;
    match keeps {
        Keeps::Log => Folder::open(to)?.close()?,
        Keeps::Mirror => match Folder::open_mirror(to, &manifest.log)? {
            (folder, None) => folder.close()?,
            (_, Some(anew)) => {
                let expected = format!("a mirror that can be read on from, but {anew}");
                return Err(Error::Damaged { path: from.to_owned(), expected });
            }
        },
    }
    Ok(Restored {
        log_id: manifest.log.log_id,
        taken_at: manifest.taken_at,
        heads: manifest.heads.iter().map(|head| (head.end, head.hash)).collect(),
        files: manifest.files.len(),
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        by: manifest.by,
        lost,
        replaced,
        is_snapshot: keeps == Keeps::Mirror,
    })
}

impl Folder {
    /// For the claims of the first start after a restore: from which backup.
    pub fn restored(&self) -> Option<String> {
        fs::read_to_string(self.path().join(RESTORED)).ok().map(|text| text.trim().to_owned())
    }

    /// It stands in the log now.
    pub fn restored_is_recorded(&self) -> Result<(), crate::Error> {
        let path = self.path().join(RESTORED);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(crate::Error::Unusable { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// Whether nothing is there that a restore could overwrite. What another restore left half made is nothing.
fn is_free(to: &Path) -> Result<bool, Error> {
    if !to.exists() || to.join(RESTORING).is_file() {
        return Ok(true);
    }
    Ok(entries(to)?.is_empty())
}

/// What a backup is of, as its `FORMAT` says.
fn kept(from: &Path, manifest: &Manifest) -> Result<Keeps, Error> {
    match format::read(from)? {
        Some(Format::Log(log)) if log == manifest.log => Ok(Keeps::Log),
        Some(Format::Mirror(Some(log))) if log == manifest.log => Ok(Keeps::Mirror),
        Some(Format::Log(_) | Format::Mirror(_)) | None => {
            let expected = "what this release reads, of the log that the manifest names".to_owned();
            Err(Error::Damaged { path: from.join(format::NAME), expected })
        }
    }
}

/// A mirror may be put where there is none, or another one; of these nothing is only there.
fn refuse_log(to: &Path) -> Result<Lost, Error> {
    match format::read(to) {
        Ok(Some(Format::Mirror(_))) => Ok(Lost::default()),
        Ok(Some(Format::Log(_))) => Err(Error::Folder(crate::Error::IsLog { path: to.to_owned() })),
        Ok(None) | Err(_) => Err(Error::Occupied { path: to.to_owned() }),
    }
}

/// What the folder acknowledged and the backup does not have.
fn lost_by(from: &Path, to: &Path, manifest: &Manifest) -> Result<Lost, Error> {
    let unknown = Lost { unknown: true, ..Lost::default() };
    match format::read(to) {
        // Nothing of it is only there.
        Ok(Some(Format::Mirror(_))) => return Ok(Lost::default()),
        Ok(Some(Format::Log(log))) if log.log_id != manifest.log.log_id => {
            return Err(Error::OtherLog {
                path: to.to_owned(),
                here: hex(log.log_id),
                there: hex(manifest.log.log_id),
            });
        }
        Ok(Some(Format::Log(_))) => {}
        // Neither a data folder nor what is left of one.
        Ok(None) if !to.join(guard::NAME).is_file() => return Err(Error::Occupied { path: to.to_owned() }),
        Ok(None) | Err(_) => return Ok(unknown),
    }
    let Some(acknowledged) = guard::read(to).ok().flatten() else { return Ok(unknown) };
    if acknowledged.len() != manifest.heads.len() {
        return Ok(unknown);
    }
    let copied = look::open(&from.join("log"))?;
    // It may be why somebody restores.
    let own = look::open(&to.join("log")).ok();
    let mut lost = Lost::default();
    for (partition, (here, there)) in (0..).zip(acknowledged.iter().zip(&manifest.heads)) {
        lost.records += here.end.saturating_sub(there.end);
        // The head of the shorter one is in the longer one, or they went different ways.
        let agree = if here.end <= there.end {
            has(&copied, partition, *here)?
        } else {
            own.as_ref().is_none_or(|own| has(own, partition, *there).unwrap_or(true))
        };
        lost.forked += u32::from(!agree);
    }
    Ok(lost)
}

fn has(db: &DB, partition: u32, head: Acknowledged) -> Result<bool, Error> {
    let Some(offset) = head.end.checked_sub(1) else { return Ok(true) };
    let record = look::record(db, partition, offset)?;
    Ok(record.is_some_and(|record| Digest::of(&record) == head.hash))
}

fn move_aside(to: &Path, at: Timestamp) -> Result<PathBuf, Error> {
    let mut aside = to.as_os_str().to_owned();
    aside.push(format!(".replaced-{}", at.0));
    let aside = PathBuf::from(aside);
    if aside.exists() {
        return Err(Error::Exists { path: aside });
    }
    fs::rename(to, &aside).map_err(|source| failed(to, source))?;
    Ok(aside)
}

/// `restored` is for the claims of its first start.
fn fill(from: &Path, to: &Path, manifest: &Manifest, restored: Option<&str>) -> Result<(), Error> {
    if !to.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|source| failed(to, source))?;
    }
    let _held = folder::lock(to)?;
    let marker = to.join(RESTORING);
    let marked = File::create(&marker).and_then(|file| file.sync_all()).and_then(|()| sync_folder(to));
    marked.map_err(|source| failed(&marker, source))?;
    for entry in entries(to)? {
        if entry == marker || entry == to.join("LOCK") {
            continue;
        }
        // Of a restore that was broken off: the marker says so.
        let removed = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
        removed.map_err(|source| failed(&entry, source))?;
    }
    for file in &manifest.files {
        let (source, place) = (from.join(&file.path), to.join(&file.path));
        place.parent().map_or(Ok(()), make_folder)?;
        copy(&source, &place)?;
        check(&place, file)?;
        File::open(&place).and_then(|file| file.sync_all()).map_err(|source| failed(&place, source))?;
    }
    sync_folders(to)?;
    if let Some(words) = restored {
        let path = to.join(RESTORED);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(words.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|source| failed(&path, source))?;
    }
    fs::remove_file(&marker).and_then(|()| sync_folder(to)).map_err(|source| failed(&marker, source))?;
    to.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync_folder)
        .map_err(|source| failed(to, source))
}

fn sync_folders(folder: &Path) -> Result<(), Error> {
    for entry in entries(folder)?.iter().filter(|entry| entry.is_dir()) {
        sync_folders(entry)?;
    }
    sync_folder(folder).map_err(|source| failed(folder, source))
}

fn check(path: &Path, listed: &Listed) -> Result<(), Error> {
    let damaged = |expected: &str| Error::Damaged { path: path.to_owned(), expected: expected.to_owned() };
    match digest_of(path) {
        Ok((sha256, bytes)) if (sha256, bytes) == (listed.sha256, listed.bytes) => Ok(()),
        Ok(_) => Err(damaged("the bytes that the manifest names")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(damaged("a file that the manifest names"))
        }
        Err(source) => Err(failed(path, source)),
    }
}
