//! `FORMAT`: what a data folder is. A few lines of text, written once by an atomic rename: last where the folder has
//! the log, first where it mirrors one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;
use crate::folder::{Keeps, NewLog};

/// Rises when a release no longer reads what a former one wrote.
pub(crate) const VERSION: u32 = 1;
/// The same of mirrors, which are then begun anew.
const MIRROR_VERSION: u32 = 1;
pub(crate) const NAME: &str = "FORMAT";

/// What a folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The log itself.
    Log(NewLog),
    /// A mirror of a log that is elsewhere; of which, when this release can read it.
    Mirror(Option<NewLog>),
}

/// What the folder is, or nothing when it has no `FORMAT`.
pub(crate) fn read(folder: &Path) -> Result<Option<Format>, Error> {
    let path = folder.join(NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Unusable { path, source }),
    };
    match parse(&text) {
        Ok(format) => Ok(Some(format)),
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

/// The log of the folder, which must have it and not a mirror; nothing when it has no `FORMAT`.
pub(crate) fn read_log(folder: &Path) -> Result<Option<NewLog>, Error> {
    match read(folder)? {
        None => Ok(None),
        Some(Format::Log(log)) => Ok(Some(log)),
        Some(Format::Mirror(_)) => Err(Error::IsMirror { path: folder.to_owned() }),
    }
}

/// Reads the lines.
pub(crate) fn parse(text: &str) -> Result<Format, Unread> {
    let field = |name| text.lines().find_map(|line: &str| line.strip_prefix(name)?.strip_prefix(' '));
    let log = || {
        let log_id = field("log").and_then(unhex)?;
        let partitions = field("partitions").and_then(|count| count.parse().ok())?;
        Some(NewLog { log_id, partitions })
    };
    if let Some(version) = field("modelrail-mirror") {
        let is_ours = version.parse() == Ok(MIRROR_VERSION);
        return Ok(Format::Mirror(log().filter(|_| is_ours)));
    }
    let found = field("modelrail-data").and_then(|version| version.parse().ok()).ok_or(Unread::Damaged)?;
    // The version comes first: a newer release may write the rest in another way.
    if found != VERSION {
        let by = field("by").unwrap_or("a release that does not name itself").to_owned();
        return Err(Unread::Version { found, by });
    }
    log().map(Format::Log).ok_or(Unread::Damaged)
}

/// Writes it whole or not at all.
pub(crate) fn write(folder: &Path, keeps: Keeps, log: &NewLog) -> Result<(), Error> {
    let first = match keeps {
        Keeps::Log => format!("modelrail-data {VERSION}"),
        Keeps::Mirror => format!("modelrail-mirror {MIRROR_VERSION}"),
    };
    let text = format!(
        "{first}\nby modelrail {}\nlog {}\npartitions {}\n",
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
