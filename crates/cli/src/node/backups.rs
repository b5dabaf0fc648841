//! Backups of the data folder, as the API asks for them.

use std::path::Path;

use api::NotTaken;
use api::view::{BackupView, HeadView};
use engine::port::clock::Clock as _;
use rocks::{Backup, BackupError};

use super::clock::SystemClock;

/// As the log and backups name this binary.
pub fn binary() -> String {
    format!("modelrail {}", env!("CARGO_PKG_VERSION"))
}

#[derive(Debug)]
pub struct FolderBackups(pub rocks::Backups);

impl api::Backups for FolderBackups {
    fn take(&self, to: &Path) -> Result<BackupView, NotTaken> {
        let taken_at = SystemClock::default().wall();
        match self.0.take(to, taken_at, &binary()) {
            Ok(taken) => Ok(view(to, &taken)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a backup was not taken");
                let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
                Err(NotTaken {
                    is_askers: matches!(error, BackupError::Exists { .. } | BackupError::Inside { .. }),
                    code: error.code(),
                    text: format!("{error}{}", cause.unwrap_or_default()),
                    hint: error.hint(),
                })
            }
        }
    }
}

fn view(to: &Path, taken: &Backup) -> BackupView {
    BackupView {
        path: to.display().to_string(),
        log: hex::encode(taken.log_id),
        taken_at: taken.taken_at.to_string(),
        heads: heads(&taken.heads),
        files: taken.files as u64,
        bytes: taken.bytes,
        sha256: taken.sha256.to_string(),
        damaged: taken.damaged.iter().map(ToString::to_string).collect(),
        is_snapshot: taken.is_snapshot,
    }
}

pub fn heads(heads: &[(u64, domain::name::Digest)]) -> Vec<HeadView> {
    let head = |(partition, (end, hash)): (u32, &(u64, domain::name::Digest))| HeadView {
        partition,
        records: *end,
        head: if *end == 0 { String::new() } else { hash.to_string() },
    };
    (0..).zip(heads).map(head).collect()
}
