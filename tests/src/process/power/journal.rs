//! What the preloaded shim wrote down (`tests/power/shim.c` has the format), with paths below the top folder.

use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Opened { file: u64, path: PathBuf },
    Written { file: u64, at: usize, bytes: Vec<u8> },
    Cut { file: u64, size: usize },
    FileSyncBegan { file: u64, ticket: u64 },
    FolderSyncBegan { path: PathBuf, ticket: u64 },
    SyncEnded { ticket: u64 },
    FolderMade { path: PathBuf },
    Renamed { old: PathBuf, new: PathBuf },
    Removed { path: PathBuf },
}

const HEAD_BYTES: usize = 21;

/// The records of a journal that concern `name` in the top folder. One that a kill cut short is the last.
pub(super) fn read(bytes: &[u8], top: &Path, name: &str) -> Vec<Record> {
    let mut rest = bytes;
    let mut records = vec![];
    while let Some((head, more)) = rest.split_at_checked(HEAD_BYTES) {
        let number = |from: usize| u64::from_ne_bytes(head[from..from + 8].try_into().unwrap());
        let length = u32::from_ne_bytes(head[17..].try_into().unwrap()) as usize;
        let Some((body, next)) = more.split_at_checked(length) else { break };
        rest = next;
        records.extend(record(head[0], number(1), number(9), body, top).filter(|it| concerns(it, name)));
    }
    records
}

fn record(kind: u8, one: u64, two: u64, body: &[u8], top: &Path) -> Option<Record> {
    let path = |bytes: &[u8]| {
        let path = PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
        path.strip_prefix(top).map(Path::to_owned).ok()
    };
    Some(match kind {
        b'O' => Record::Opened { file: one, path: path(body)? },
        b'W' => Record::Written { file: one, at: two as usize, bytes: body.to_vec() },
        b'T' => Record::Cut { file: one, size: two as usize },
        b'S' => Record::FileSyncBegan { file: one, ticket: two },
        b'D' => Record::FolderSyncBegan { path: path(body)?, ticket: two },
        b's' => Record::SyncEnded { ticket: two },
        b'M' => Record::FolderMade { path: path(body)? },
        b'R' => {
            let border = body.iter().position(|byte| *byte == 0).unwrap();
            Record::Renamed { old: path(&body[..border])?, new: path(&body[border + 1..])? }
        }
        b'U' => Record::Removed { path: path(body)? },
        other => panic!("a record of kind {other}: the journal is not what the shim writes"),
    })
}

/// Records without a path are of files that were opened; only those of the named folder are known to the disk.
fn concerns(record: &Record, name: &str) -> bool {
    match record {
        Record::Opened { path, .. }
        | Record::FolderMade { path }
        | Record::Renamed { new: path, .. }
        | Record::Removed { path } => path.starts_with(name),
        Record::FolderSyncBegan { path, .. } => path.starts_with(name) || path.as_os_str().is_empty(),
        Record::Written { .. }
        | Record::Cut { .. }
        | Record::FileSyncBegan { .. }
        | Record::SyncEnded { .. } => true,
    }
}
