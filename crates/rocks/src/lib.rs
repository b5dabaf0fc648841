//! The data folder: everything that Modelrail keeps on one machine, and the only crate that knows RocksDB.
//!
//! ```text
//!  FOLDER/
//!    FORMAT        format version, log id and number of partitions; written last, so its presence means "whole"
//!    LOCK          held (flock) for as long as a process has the folder open
//!    HEAD          how far the log was acknowledged: a guard outside the database (see `guard`)
//!    log/          one RocksDB: the log, its view, the workers' journal; one batch, one sync a pass.
//!                  In distributed mode a mirror of the log (see `mirror`)
//!    predictions/  another RocksDB, never synced: predictions and labels
//!    blobs/        files named by their SHA-256
//!    RESTORING     only while the folder is being restored; RESTORED until the log says so (see `backup`)
//! ```
//!
//! **Invariants.** What a write call acknowledged is there after `kill -9` and after a power cut (predictions
//! excepted). A folder whose log lost acknowledged records is refused, never served; a mirror that is not whole is
//! deleted and read again. After a failed write or sync nothing more is written by this process: what landed is known
//! after a restart.
//!
//! It decides nothing, parses no record, and starts no threads of its own (RocksDB has two in the background).

mod error;
mod folder;
mod format;
mod guard;

mod database;
mod journal;
mod log;
mod mirror;
mod view;
mod wal;

mod backup;
mod blobs;
mod predictions;

mod bytes;
pub mod decoders;

pub use backup::{Backup, Backups, Error as BackupError, LogCopy, Lost, Restore, Restored, restore};
pub use blobs::Blobs;
pub use database::Database;
pub use error::{Error, Kind};
pub use folder::{Folder, NewLog};
pub use mirror::Anew;
pub use predictions::Predictions;
