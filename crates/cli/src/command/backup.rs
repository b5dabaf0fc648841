//! Takes backups, of a server or of a folder, and makes a data folder of one.

use std::fmt::Write as _;
use std::path::Path;

use api::view::{BackupView, HeadView, NewBackup};
use engine::port::clock::Clock as _;
use rocks::{BackupError, Restored};
use serde::Serialize;

use crate::argv::{BackupArguments, Global, RestoreArguments};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::node::{SystemClock, heads};
use crate::output::{Output, facts, say};

pub(super) async fn backup(
    client: &Client,
    backup: &BackupArguments,
    output: Output,
) -> Result<Exit, Failure> {
    if client.is_offline() {
        say("no process has the data folder open: taking the backup directly");
    }
    let to = std::path::absolute(&backup.to).map_err(|error| {
        Failure::usage("BAD_PATH", "expected a path for the backup").field("DEST").cause(&error)
    })?;
    let taken: BackupView = client.post("/v1/backups", &NewBackup { to: to.display().to_string() }).await?;
    output.one(&taken, |taken| {
        facts(&[
            ("backup", Some(taken.path.clone())),
            ("log", Some(taken.log.clone())),
            ("taken at", Some(taken.taken_at.clone())),
            ("records", Some(records(&taken.heads).to_string())),
            ("files", Some(format!("{}, {} bytes", taken.files, taken.bytes))),
            ("manifest", Some(taken.sha256.clone())),
        ])
    })?;
    if taken.damaged.is_empty() {
        say(if taken.is_snapshot {
            "it is a snapshot of what this process has read of the log: engines and APIs restored from it read on from \
             there. The log itself is in Kafka; blobs and secrets are where `blobs` and `store.secrets` say"
        } else {
            "it has the keys and tokens of the server: keep it as you keep those, and on another disk"
        });
        return Ok(Exit::Good);
    }
    let mut text = String::from("these blobs are damaged on the server's disk and left out:\n");
    for blob in &taken.damaged {
        let _ = writeln!(text, "  {blob}");
    }
    say(text.trim_end());
    Ok(Exit::Failed)
}

#[derive(Serialize)]
struct RestoredView {
    data: String,
    log: String,
    taken_at: String,
    taken_by: String,
    heads: Vec<HeadView>,
    files: u64,
    bytes: u64,
    /// Acknowledged records of the folder that was there which are not in the backup.
    records_lost: u64,
    replaced: Option<String>,
}

pub(super) fn restore(global: &Global, restore: &RestoreArguments, output: Output) -> Result<Exit, Failure> {
    let data = super::data_folder(global)?;
    let restored = rocks::restore(rocks::Restore {
        from: &restore.from,
        to: &data,
        replace: restore.replace,
        accept_loss: restore.accept_loss,
        at: SystemClock::default().wall(),
    })
    .map_err(|error| not_restored(&error))?;
    output.one(&view(&data, &restored), |view| {
        facts(&[
            ("data", Some(view.data.clone())),
            ("log", Some(view.log.clone())),
            ("taken at", Some(view.taken_at.clone())),
            ("records", Some(records(&view.heads).to_string())),
            ("lost", Some(restored.lost.to_string()).filter(|_| !restored.lost.is_nothing())),
            ("moved aside", view.replaced.clone()),
        ])
    })?;
    say(if restored.is_snapshot {
        "it is read on in Kafka by the engine or API that is started with it; any number may be of one snapshot"
    } else {
        "it goes on as the same log: never run it beside the folder that the backup is of. \
         `modelrail verify --against OTHER` shows whether two copies went different ways"
    });
    Ok(Exit::Good)
}

fn view(data: &Path, restored: &Restored) -> RestoredView {
    RestoredView {
        data: data.display().to_string(),
        log: hex::encode(restored.log_id),
        taken_at: restored.taken_at.to_string(),
        taken_by: restored.by.clone(),
        heads: heads(&restored.heads),
        files: restored.files as u64,
        bytes: restored.bytes,
        records_lost: restored.lost.records,
        replaced: restored.replaced.as_ref().map(|path| path.display().to_string()),
    }
}

fn not_restored(error: &BackupError) -> Failure {
    if let BackupError::Folder(error) = error {
        return Failure::of_folder(error);
    }
    let exit = match error {
        BackupError::Damaged { .. } | BackupError::Io { .. } | BackupError::Database(_) => Exit::Failed,
        BackupError::Exists { .. }
        | BackupError::Inside { .. }
        | BackupError::Missing { .. }
        | BackupError::Version { .. }
        | BackupError::Occupied { .. }
        | BackupError::OtherLog { .. }
        | BackupError::Loses { .. }
        | BackupError::Folder(_) => Exit::Usage,
    };
    let mut failure = Failure::new(exit, error.code(), error.to_string());
    failure.hint = error.hint().map(Into::into);
    match std::error::Error::source(error) {
        Some(source) => failure.cause(source),
        None => failure,
    }
}

fn records(heads: &[HeadView]) -> u64 {
    heads.iter().map(|head| head.records).sum()
}
