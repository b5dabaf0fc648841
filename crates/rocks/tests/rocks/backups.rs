//! Backups are whole while writing goes on, restored only when every byte is right, and never over what a folder
//! acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use domain::time::Timestamp;
use engine::port::blobs::Blobs as _;
use engine::port::log::Log as _;
use engine::port::store::Embedded as _;
use rocks::{Backup, BackupError, Folder, LogCopy, NewLog, Restore, Restored};
use tempfile::TempDir;

use crate::samples;

const AT: Timestamp = Timestamp(1_763_740_000_000);

fn write(folder: &Path, passes: std::ops::Range<u64>) {
    let database = samples::open(folder).database();
    samples::complete(&database, passes.start);
    passes.for_each(|pass| database.write_sync(&samples::pass(pass)).unwrap());
}

fn back_up(folder: &Path, to: &Path) -> Backup {
    samples::open(folder).backups().take(to, AT, "modelrail test").unwrap()
}

fn restore(from: &Path, to: &Path) -> Result<Restored, BackupError> {
    rocks::restore(Restore { from, to, replace: false, accept_loss: false, at: AT })
}

fn refusal(from: &Path, to: &Path) -> BackupError {
    let error = restore(from, to).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    error
}

/// A folder with data and a backup of it, both below one temporary folder.
fn backed_up(passes: u64) -> (TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let (data, backup) = (root.path().join("data"), root.path().join("backup"));
    write(&data, 0..passes);
    back_up(&data, &backup);
    (root, data, backup)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_backup_under_load_has_all_that_was_acknowledged_before_it() {
    let root = tempfile::tempdir().unwrap();
    let (data, backup) = (root.path().join("data"), root.path().join("backup"));
    let folder = samples::open(&data);
    fs::write(data.join("users.json"), "{}").unwrap();
    fs::create_dir(data.join("gateway")).unwrap();
    fs::write(data.join("gateway/overrides.json"), "[]").unwrap();
    let blob = folder.blobs().put(b"a bundle").unwrap();
    let (database, written) = (folder.database(), AtomicU64::new(0));
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            for pass in 0..600 {
                database.write_sync(&samples::pass(pass)).unwrap();
                written.store(pass + 1, Ordering::SeqCst);
            }
        });
        while written.load(Ordering::SeqCst) < 100 {
            std::thread::yield_now();
        }
        let before = written.load(Ordering::SeqCst);
        let taken = folder.backups().take(&backup, AT, "modelrail test").unwrap();
        assert!(taken.heads[0].0 >= samples::end_after(before), "{taken:?}");
        assert!(taken.damaged.is_empty());
        before
    });
    drop((database, folder));

    let copy = root.path().join("copy");
    let restored = restore(&backup, &copy).unwrap();
    assert!(restored.lost.is_nothing() && restored.replaced.is_none());
    let opened = Folder::open(&copy).unwrap();
    let words = opened.restored().unwrap();
    assert!(words.contains("backup of 2025-11-21"), "{words}");
    opened.restored_is_recorded().unwrap();
    assert_eq!(opened.restored(), None);
    assert_eq!(opened.blobs().get(blob).unwrap(), b"a bundle");
    assert_eq!(fs::read(copy.join("users.json")).unwrap(), b"{}");
    assert_eq!(fs::read(copy.join("gateway/overrides.json")).unwrap(), b"[]");
    let database = opened.database();
    let passes =
        (before..=600).find(|passes| samples::end_after(*passes) == database.end(0).unwrap()).unwrap();
    assert_eq!(database.end(1).unwrap(), samples::end_after(passes), "a pass is there whole or not at all");
    for landed in database.read(0, 0, usize::MAX).unwrap() {
        assert_eq!(landed.bytes, samples::record(0, landed.offset));
    }
    // It goes on as the same log.
    samples::complete(&database, passes);
    database.write_sync(&samples::pass(passes)).unwrap();
    assert_eq!(opened.log_id(), samples::LOG.log_id);
}

#[test]
fn a_backup_with_any_byte_changed_is_not_restored() {
    let (root, _, backup) = backed_up(20);
    let to = root.path().join("copy");
    let mut tried = 0;
    for path in files(&backup) {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        match bad.len() / 2 {
            0 => bad.push(1),
            middle => bad[middle] ^= 1,
        }
        // Tables are shared with the data folder: the copy gets bytes of its own.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bad).unwrap();
        let code = refusal(&backup, &to).code();
        assert_eq!(code, "BACKUP_DAMAGED", "{}", path.display());
        assert!(!to.exists(), "nothing was made");
        fs::remove_file(&path).unwrap();
        let code = refusal(&backup, &to).code();
        assert!(["BACKUP_DAMAGED", "BACKUP_MISSING"].contains(&code), "{}", path.display());
        fs::write(&path, good).unwrap();
        tried += 1;
    }
    assert!(tried >= 10, "{tried} files");
    restore(&backup, &to).unwrap();
}

#[test]
fn what_a_folder_acknowledged_is_not_overwritten_by_an_older_copy() {
    let (root, data, backup) = backed_up(5);
    write(&data, 5..9);
    let error = refusal(&backup, &data);
    let missing = 2 * (samples::end_after(9) - samples::end_after(5));
    assert_eq!(error.code(), "RESTORE_LOSES");
    assert!(error.to_string().contains(&format!("{missing} acknowledged records")), "{error}");
    // With the database gone, its head still knows.
    let spoiled = root.path().join("spoiled");
    fs::rename(&data, &spoiled).unwrap();
    fs::remove_dir_all(spoiled.join("log")).unwrap();
    assert_eq!(refusal(&backup, &spoiled).code(), "RESTORE_LOSES");
    let accepted = Restore { from: &backup, to: &spoiled, replace: false, accept_loss: true, at: AT };
    assert_eq!(rocks::restore(accepted).unwrap_err().code(), "RESTORE_OCCUPIED");
    let restored = rocks::restore(Restore { replace: true, ..accepted }).unwrap();
    assert_eq!((restored.lost.records, restored.lost.forked), (missing, 0));
    let aside = restored.replaced.unwrap();
    assert!(aside.join("HEAD").is_file(), "what was there is kept");
    assert_eq!(samples::open(&spoiled).database().end(0).unwrap(), samples::end_after(5));
    fs::remove_file(aside.join("HEAD")).unwrap();
    let error = refusal(&backup, &aside);
    assert_eq!(error.code(), "RESTORE_LOSES", "nobody knows what it acknowledged");
}

#[test]
fn a_newer_backup_replaces_without_loss_but_only_when_told() {
    let (_root, data, backup) = backed_up(5);
    assert_eq!(refusal(&backup, &data).code(), "RESTORE_OCCUPIED");
    let told = Restore { from: &backup, to: &data, replace: true, accept_loss: false, at: AT };
    assert!(rocks::restore(told).unwrap().lost.is_nothing());
    let held = samples::open(&data);
    let error = rocks::restore(Restore { at: Timestamp(AT.0 + 1), ..told }).unwrap_err();
    assert_eq!(error.code(), "DATA_IN_USE");
    drop(held);
}

#[test]
fn two_copies_that_went_on_apart_are_told_from_each_other() {
    let (root, data, backup) = backed_up(5);
    let copy = root.path().join("copy");
    restore(&backup, &copy).unwrap();
    write(&data, 5..8);
    // The copy goes on in another way, and further.
    let database = samples::open(&copy).database();
    for _ in 0..9 {
        let mut other = samples::pass(5);
        other.commits.clear();
        other.appends.iter_mut().for_each(|append| append.records = vec![b"another history".to_vec()]);
        database.write_sync(&other).unwrap();
    }
    drop(database);
    let of_copy = root.path().join("of-copy");
    back_up(&copy, &of_copy);
    match refusal(&of_copy, &data) {
        BackupError::Loses { lost, .. } => assert_eq!(lost.forked, samples::PARTITIONS),
        other => panic!("{other}"),
    }
    let (one, other) = (LogCopy::open(&data).unwrap(), LogCopy::open(&of_copy).unwrap());
    assert_eq!(one.log_id(), other.log_id());
    let common = samples::end_after(5) as usize;
    let (here, there) = (one.read(0, 0, usize::MAX).unwrap(), other.read(0, 0, usize::MAX).unwrap());
    assert_eq!(here[..common], there[..common]);
    assert_ne!(here[common], there[common]);
}

#[test]
fn backups_are_of_one_log_and_in_places_of_their_own() {
    let (root, data, backup) = backed_up(3);
    let take = |to: &Path| samples::open(&data).backups().take(to, AT, "test").unwrap_err().code();
    assert_eq!(take(&backup), "BACKUP_EXISTS");
    assert_eq!(take(&data.join("backup")), "BACKUP_INSIDE");
    assert_eq!(take(&root.path().join("no/such")), "BACKUP_FAILED");
    let other = root.path().join("other");
    drop(Folder::open_or_create(&other, &NewLog { log_id: [9; 16], ..samples::LOG }).unwrap());
    let told = Restore { from: &backup, to: &other, replace: true, accept_loss: true, at: AT };
    assert_eq!(rocks::restore(told).unwrap_err().code(), "RESTORE_OTHER_LOG");
    let plain = root.path().join("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join("letter.txt"), "dear").unwrap();
    let told = Restore { to: &plain, ..told };
    assert_eq!(rocks::restore(told).unwrap_err().code(), "RESTORE_OCCUPIED", "no data folder at all");
    for refused in [Folder::open(&backup), Folder::open_or_create(&backup, &samples::LOG)] {
        assert_eq!(refused.unwrap_err().code(), "DATA_IS_BACKUP");
    }
    fs::remove_file(backup.join("BACKUP")).unwrap();
    assert_eq!(refusal(&backup, &root.path().join("new")).code(), "BACKUP_MISSING", "never finished");
}

#[test]
fn a_restore_that_was_broken_off_is_refused_and_done_again() {
    let (root, _, backup) = backed_up(3);
    let to = root.path().join("copy");
    restore(&backup, &to).unwrap();
    fs::write(to.join("RESTORING"), "").unwrap();
    fs::remove_dir_all(to.join("log")).unwrap();
    fs::write(to.join("left.over"), "x").unwrap();
    assert_eq!(Folder::open_or_create(&to, &samples::LOG).unwrap_err().code(), "DATA_RESTORING");
    restore(&backup, &to).unwrap();
    assert!(!to.join("left.over").exists());
    assert_eq!(samples::open(&to).database().end(0).unwrap(), samples::end_after(3));
}
