//! `FORMAT`: what a data folder is. A few lines of text, written once, last, by an atomic rename.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;
use crate::folder::NewLog;

/// Rises when a release no longer reads what a former one wrote.
pub(crate) const VERSION: u32 = 1;
pub(crate) const NAME: &str = "FORMAT";

/// The folder's log, or nothing when the folder has no `FORMAT`.
pub(crate) fn read(folder: &Path) -> Result<Option<NewLog>, Error> {
    let path = folder.join(NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Unusable { path, source }),
    };
    match parse(&text) {
        Ok(log) => Ok(Some(log)),
        Err(Unread::Damaged) => {
            Err(Error::damaged(&path, "a `FORMAT` file with version, log id and partitions"))
        }
        Err(Unread::Version { found, by }) => {
            Err(Error::Version { path: folder.to_owned(), expected: VERSION, found, by })
        }
    }
}

/// Why a text is no `FORMAT` of this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Damaged,
    Version { found: u32, by: String },
}

/// Reads the three lines.
pub(crate) fn parse(text: &str) -> Result<NewLog, Unread> {
    let field = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)?.strip_prefix(' '));
    let found = field("modelrail-data").and_then(|version| version.parse().ok()).ok_or(Unread::Damaged)?;
    // The version comes first: a newer release may write the rest in another way.
    if found != VERSION {
        let by = field("by").unwrap_or("a release that does not name itself").to_owned();
        return Err(Unread::Version { found, by });
    }
    let log_id = field("log").and_then(unhex).ok_or(Unread::Damaged)?;
    let partitions = field("partitions").and_then(|count| count.parse().ok()).ok_or(Unread::Damaged)?;
    Ok(NewLog { log_id, partitions })
}

/// Writes it whole or not at all.
pub(crate) fn write(folder: &Path, log: &NewLog) -> Result<(), Error> {
    let text = format!(
        "modelrail-data {VERSION}\nby modelrail {}\nlog {}\npartitions {}\n",
        env!("CARGO_PKG_VERSION"),
        hex(log.log_id),
        log.partitions
    );
    let unusable = |source| Error::Unusable { path: folder.join(NAME), source };
    replace(&folder.join(NAME), text.as_bytes()).map_err(unusable)
}

/// Writes beside the file, syncs, renames over it, and syncs the folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(crate) fn hex(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 16]> {
    let plain = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}
