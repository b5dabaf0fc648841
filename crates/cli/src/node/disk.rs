//! Room on the disk of the data folder. Below the reserve decisions are suspended, before the disk is really full;
//! reading, serving and the kill switch go on, and decisions resume by themselves once there is room.
//!
//! **Invariant:** what is suspended writes nothing that grows: the engine makes no pass, the prediction log takes
//! nothing. What the reserve is for still writes: workers that end, people who are led away from a release, tables
//! that RocksDB moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use api::NotSubmitted;
use domain::name::TargetId;
use domain::time::Timestamp;
use engine::port::predictions::{Error, Label, Prediction, Predictions};

/// Why decisions are suspended, as callers are told.
pub const DISK_FULL: &str = "DISK_FULL";
const HINT: &str =
    "free some room on the disk of the data folder: decisions go on by themselves then, reading does now";
/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// Decisions go on when there is a tenth more than the reserve, so that they are not suspended again at once.
const MORE_TO_RESUME: u64 = 10;

/// What opening the databases again may need.
const OPENING_BYTES: u64 = 32 << 20;

/// What is known of the disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    reserve_bytes: u64,
    free_bytes: AtomicU64,
    low: AtomicBool,
    /// A write failed for want of room: the databases are to be opened again.
    failed: AtomicBool,
}

impl Disk {
    pub fn new(folder: PathBuf, reserve_mib: u64) -> Arc<Self> {
        let disk = Self {
            folder,
            reserve_bytes: reserve_mib << 20,
            free_bytes: AtomicU64::new(u64::MAX),
            low: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        };
        disk.look();
        Arc::new(disk)
    }

    /// Whether decisions are suspended.
    pub fn is_low(&self) -> bool {
        self.low.load(Relaxed)
    }

    /// A write found no room.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
        self.low.store(true, Relaxed);
    }

    /// Whether the databases are to be opened again, and can be.
    pub fn wants_reopening(&self) -> bool {
        self.failed.load(Relaxed) && self.has_room()
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// What a caller is told while decisions are suspended.
    pub fn suspended(&self) -> Option<NotSubmitted> {
        if !self.is_low() {
            return None;
        }
        let (free, reserve) = (self.free_bytes() >> 20, self.reserve_bytes >> 20);
        let text = if self.has_failed() {
            format!("a write found no room on the data folder's disk, which has {free} MiB left")
        } else {
            format!("the data folder's disk has {free} MiB left, fewer than the reserve of {reserve} MiB")
        };
        Some(NotSubmitted::Suspended { code: DISK_FULL, text, hint: HINT })
    }

    pub fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Relaxed)
    }

    fn look(&self) {
        match free_bytes(&self.folder) {
            Ok(free) => self.free_bytes.store(free, Relaxed),
            Err(error) => {
                tracing::warn!(%error, "the room on the data folder's disk is not known");
                return;
            }
        }
        let free = self.free_bytes();
        if self.is_low() {
            // After a write that failed the databases take nothing until they are opened again.
            if self.has_room() && !self.has_failed() {
                self.low.store(false, Relaxed);
                tracing::warn!(free, "there is room on the disk again: decisions go on");
            }
        } else if free < self.reserve_bytes {
            self.low.store(true, Relaxed);
            tracing::error!(
                code = DISK_FULL,
                free,
                reserve = self.reserve_bytes,
                hint = HINT,
                "decisions are suspended"
            );
        }
    }

    fn has_room(&self) -> bool {
        let to_resume = self.reserve_bytes + self.reserve_bytes / MORE_TO_RESUME;
        let needed = if self.has_failed() { to_resume.max(OPENING_BYTES) } else { to_resume };
        self.free_bytes() >= needed
    }
}

/// Bytes that a file may still take.
pub fn free_bytes(folder: &std::path::Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Looks at the disk for as long as it is kept.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn start(disk: Arc<Disk>, database: Arc<rocks::Database>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let watch = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                if database.is_full() {
                    disk.fail();
                }
                disk.look();
            }
        };
        let thread = std::thread::Builder::new().name("disk".into()).spawn(watch)?;
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that looks at the disk panicked");
        }
    }
}

/// A prediction log that takes nothing while there is no room.
#[derive(Debug)]
pub struct WithinReserve {
    pub inner: Arc<rocks::Predictions>,
    pub disk: Arc<Disk>,
}

#[derive(Debug, thiserror::Error)]
#[error("expected room on the disk, but it is full but for the reserve")]
struct Low;

impl WithinReserve {
    fn write(&self, write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        if self.disk.is_low() {
            return Err(Error(Low.into()));
        }
        write().inspect_err(|error| {
            if is_full(error) {
                self.disk.fail();
            }
        })
    }
}

impl Predictions for WithinReserve {
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error> {
        self.write(|| self.inner.append(predictions))
    }

    fn label(&self, labels: &[Label]) -> Result<(), Error> {
        self.write(|| self.inner.label(labels))
    }

    fn scan(
        &self,
        target: &TargetId,
        from: Timestamp,
        to: Timestamp,
        visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error> {
        self.inner.scan(target, from, to, visit)
    }

    /// Frees room.
    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        self.inner.sweep(before)
    }
}

/// Whether the data folder's disk was full, somewhere among the causes.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<rocks::Error>().is_some_and(rocks::Error::is_full) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_reserve_nothing_is_decided_until_there_is_more_than_it() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap() >> 20;
        let plenty = Disk::new(folder.path().to_owned(), 1);
        assert!(!plenty.is_low() && plenty.suspended().is_none());
        let low = Disk::new(folder.path().to_owned(), free * 2 + 1_000);
        let Some(NotSubmitted::Suspended { code, text, .. }) = low.suspended() else { panic!("{low:?}") };
        assert_eq!(code, DISK_FULL);
        assert!(text.contains("MiB left"), "{text}");
        // After a write that failed, room alone is not enough: the databases are opened first.
        plenty.fail();
        plenty.look();
        assert!(plenty.is_low() && plenty.wants_reopening());
    }
}
