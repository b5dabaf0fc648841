//! `BACKUP`: what a backup is and what every file of it must be. Lines of text, written last, so that its presence
//! means "whole".
//!
//! ```text
//!  modelrail-backup 1
//!  by modelrail 0.1.0
//!  log 018f..                        the log's id
//!  partitions 16
//!  taken 1763740000000               Unix time in milliseconds
//!  head 0 412 9c2e..                 partition, offset behind its last record, that record's SHA-256
//!  file 77aa.. 8192 log/000012.sst   SHA-256, bytes, path
//!  sum 51f0..                        SHA-256 of everything above
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Component, Path};

use domain::name::Digest;
use domain::time::Timestamp;

use super::Error;
use crate::folder::NewLog;
use crate::format::{hex, unhex};
use crate::guard::Acknowledged;

pub(crate) const NAME: &str = "BACKUP";
/// Rises when a release no longer reads what a former one wrote.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) by: String,
    pub(crate) log: NewLog,
    pub(crate) taken_at: Timestamp,
    /// One a partition, in their order.
    pub(crate) heads: Vec<Acknowledged>,
    pub(crate) files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Below the backup, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
}

impl Manifest {
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "modelrail-backup {VERSION}\nby {}\nlog {}\npartitions {}\ntaken {}\n",
            self.by,
            hex(self.log.log_id),
            self.log.partitions,
            self.taken_at.0,
        );
        for (partition, head) in self.heads.iter().enumerate() {
            let _ = writeln!(text, "head {partition} {} {}", head.end, head.hash.hex());
        }
        for file in &self.files {
            let _ = writeln!(text, "file {} {} {}", file.sha256.hex(), file.bytes, file.path);
        }
        let sum = Digest::of(text.as_bytes()).hex();
        let _ = writeln!(text, "sum {sum}");
        text
    }

    /// Of the backup in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing { path: folder.to_owned() });
            }
            Err(source) => return Err(Error::Io { path, source }),
        };
        let damaged = |expected: &str| Error::Damaged { path: path.clone(), expected: expected.to_owned() };
        let text = String::from_utf8(bytes).map_err(|_| damaged("text"))?;
        // The version comes first: a newer release may write the rest in another way.
        let version = text.lines().next().and_then(|line| line.strip_prefix("modelrail-backup "));
        let version: u32 = version.and_then(|it| it.parse().ok()).ok_or_else(|| damaged("a version"))?;
        if version != VERSION {
            let by = text.lines().find_map(|line| line.strip_prefix("by "));
            let by = by.unwrap_or("a release that does not name itself").to_owned();
            return Err(Error::Version { path: folder.to_owned(), expected: VERSION, found: version, by });
        }
        let (listed, sum) =
            text.strip_suffix('\n').and_then(|it| it.rsplit_once('\n')).ok_or_else(|| damaged("a sum"))?;
        let sum = sum.strip_prefix("sum ").and_then(|it| Digest::parse(it).ok());
        if sum != Some(Digest::of(format!("{listed}\n").as_bytes())) {
            return Err(damaged("lines that their sum confirms"));
        }
        parse(listed).ok_or_else(|| damaged("the lines of a backup"))
    }
}

fn parse(text: &str) -> Option<Manifest> {
    let mut lines = text.lines().skip(1);
    let by = lines.next()?.strip_prefix("by ")?.to_owned();
    let log_id = unhex(lines.next()?.strip_prefix("log ")?)?;
    let partitions: u32 = lines.next()?.strip_prefix("partitions ")?.parse().ok()?;
    let taken_at = Timestamp(lines.next()?.strip_prefix("taken ")?.parse().ok()?);
    let log = NewLog { log_id, partitions };
    let mut manifest = Manifest { by, log, taken_at, heads: vec![], files: vec![] };
    for line in lines {
        if let Some(head) = line.strip_prefix("head ") {
            let mut words = head.split(' ');
            let partition: usize = words.next()?.parse().ok()?;
            let end = words.next()?.parse().ok()?;
            let hash = Digest::parse(words.next()?).ok()?;
            if partition != manifest.heads.len() || words.next().is_some() {
                return None;
            }
            manifest.heads.push(Acknowledged { end, hash });
        } else {
            let mut words = line.strip_prefix("file ")?.splitn(3, ' ');
            let sha256 = Digest::parse(words.next()?).ok()?;
            let bytes = words.next()?.parse().ok()?;
            manifest.files.push(Listed { path: words.next()?.to_owned(), bytes, sha256 });
        }
    }
    let paths: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let fits = manifest.heads.len() == partitions as usize
        && paths.len() == manifest.files.len()
        && paths.iter().all(|path| is_below(path));
    fits.then_some(manifest)
}

/// Whether a path stays in the folder that it is taken from.
fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str) -> Manifest {
        let head = Acknowledged { end: 7, hash: Digest::of(b"record") };
        let file = Listed { path: path.to_owned(), bytes: 4, sha256: Digest::of(b"file") };
        Manifest {
            by: "modelrail 0.1.0".to_owned(),
            log: NewLog { log_id: [7; 16], partitions: 2 },
            taken_at: Timestamp(1_763_740_000_000),
            heads: vec![head; 2],
            files: vec![file],
        }
    }

    fn read(text: &str) -> Result<Manifest, Error> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        Manifest::read(folder.path())
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let good = manifest("log/a file with spaces");
        assert_eq!(read(&good.text()).unwrap(), good);
        for changed in 0..good.text().len() {
            let mut bytes = good.text().into_bytes();
            bytes[changed] ^= 1;
            assert!(read(&String::from_utf8_lossy(&bytes)).is_err(), "byte {changed}");
        }
        for path in ["../etc/passwd", "/etc/passwd", "", "log/../../x"] {
            assert_eq!(read(&manifest(path).text()).unwrap_err().code(), "BACKUP_DAMAGED", "{path}");
        }
    }

    #[test]
    fn a_backup_of_a_newer_release_names_it() {
        let text = manifest("a").text().replace("backup 1", "backup 2").replace("0.1.0", "9.0.0");
        let error = read(&text).unwrap_err();
        assert_eq!(error.code(), "BACKUP_VERSION");
        assert!(error.to_string().contains("modelrail 9.0.0"), "{error}");
    }
}
