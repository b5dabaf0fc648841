//! Every way in which a data folder can be wrong has its code, and nothing is changed by refusing.

use std::fs;
use std::path::{Path, PathBuf};

use engine::port::log::{Append, Log as _};
use engine::port::store::{Batch, Embedded as _, Store as _};
use rocks::{Error, Folder, Kind, NewLog};

use crate::samples;

/// A folder with some passes, left as by a kill: nothing flushed.
fn written(folder: &Path, passes: std::ops::Range<u64>) {
    let database = samples::open(folder).database();
    samples::complete(&database, passes.start);
    passes.for_each(|pass| database.write_sync(&samples::pass(pass)).unwrap());
}

fn refusal(folder: &Path) -> Error {
    let error = Folder::open_or_create(folder, &samples::LOG).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    error
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(from, to).map(|_| ()).unwrap() }
    }
}

/// The write-ahead log that has most in it.
pub(crate) fn write_ahead_log(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_folder_keeps_its_log_whatever_a_later_call_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 0..3);
    let other = NewLog { log_id: [9; 16], partitions: 5 };
    let opened = Folder::open_or_create(folder.path(), &other).unwrap();
    assert_eq!((opened.log_id(), opened.partitions()), (samples::LOG.log_id, samples::PARTITIONS));
    drop(opened);
    assert_eq!(Folder::open(folder.path()).unwrap().database().end(1).unwrap(), samples::end_after(3));
}

/// Makes a good folder a wrong one.
type Spoil = fn(&Path);

#[test]
fn wrong_folders_are_refused_with_a_code_and_a_hint() {
    let spoil: [(&str, Spoil); 10] = [
        ("DATA_VERSION", |folder| {
            fs::write(folder.join("FORMAT"), "modelrail-data 2\nsomething new\n").unwrap();
        }),
        ("DATA_DAMAGED", |folder| fs::write(folder.join("FORMAT"), "modelrail-data\n").unwrap()),
        ("DATA_DAMAGED", |folder| fs::remove_file(folder.join("FORMAT")).unwrap()),
        ("DATA_DAMAGED", |folder| fs::remove_file(folder.join("HEAD")).unwrap()),
        ("DATA_DAMAGED", |folder| fs::write(folder.join("HEAD"), [0; 100]).unwrap()),
        ("DATA_DAMAGED", |folder| fs::remove_dir_all(folder.join("log")).unwrap()),
        ("DATA_DAMAGED", |folder| fs::write(folder.join("log/CURRENT"), "MANIFEST-999999\n").unwrap()),
        ("DATA_DAMAGED", |folder| {
            let elsewhere = tempfile::tempdir().unwrap();
            drop(
                Folder::open_or_create(elsewhere.path(), &NewLog { log_id: [9; 16], ..samples::LOG })
                    .unwrap(),
            );
            fs::remove_dir_all(folder.join("log")).unwrap();
            copy(&elsewhere.path().join("log"), &folder.join("log"));
        }),
        ("LOG_BEHIND_HEAD", |folder| fs::remove_file(write_ahead_log(folder)).unwrap()),
        ("DATA_DAMAGED", |folder| {
            let path = write_ahead_log(folder);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (number, (code, spoil)) in spoil.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 0..20);
        spoil(folder.path());
        let error = refusal(folder.path());
        assert_eq!(error.code(), code, "case {number}: {error:?}");
        assert_eq!(refusal(folder.path()).code(), code, "case {number}: refusing changed nothing");
    }
}

#[test]
fn a_folder_of_a_newer_release_names_it_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 0..3);
    let path = folder.path().join("FORMAT");
    let ours = fs::read_to_string(&path).unwrap();
    assert!(ours.contains("\nby modelrail "), "{ours}");
    let newer =
        ours.replace("modelrail-data 1", "modelrail-data 2").replace("by modelrail ", "by modelrail 9");
    fs::write(&path, &newer).unwrap();
    for error in [refusal(folder.path()), Folder::open(folder.path()).unwrap_err()] {
        assert_eq!((error.code(), error.kind()), ("DATA_VERSION", Kind::Mend));
        assert!(error.to_string().contains("written by modelrail 9"), "{error}");
        assert!(error.hint().unwrap().contains("newer release"), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    fs::write(&path, ours).unwrap();
    assert_eq!(samples::open(folder.path()).database().end(0).unwrap(), samples::end_after(3));
}

#[test]
fn a_view_of_another_version_is_deleted_and_the_log_is_kept() {
    const PASSES: u64 = 1_000;
    let folder = tempfile::tempdir().unwrap();
    // So many that the view is no longer in memory only.
    written(folder.path(), 0..PASSES);
    assert!(samples::open(folder.path()).database().head(0).unwrap().is_some());
    let families = ["default", "meta", "log", "view", "journal"];
    let raw =
        rocksdb::DB::open_cf(&rocksdb::Options::default(), folder.path().join("log"), families).unwrap();
    raw.put_cf(raw.cf_handle("meta").unwrap(), b"view", 99_u32.to_be_bytes()).unwrap();
    drop(raw);
    let database = samples::open(folder.path()).database();
    assert_eq!(database.head(0).unwrap(), None, "to be built again from the log");
    assert_eq!(database.end(0).unwrap(), samples::end_after(PASSES));
    // Building it again begins at the first record.
    database.write_sync(&Batch { appends: vec![], commits: samples::pass(0).commits }).unwrap();
    assert!(database.head(0).unwrap().is_some());
}

#[test]
fn a_torn_tail_is_tolerated_unless_it_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 0..20);
    let path = write_ahead_log(folder.path());
    let whole = fs::read(&path).unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(folder.path(), copied.path());

    // The header of a full record (check 4, length 2, type 1) that says more than follows.
    let torn = [&whole[..], &[1, 2, 3, 4, 200, 0, 1, 5, 5]].concat();
    fs::write(&path, torn).unwrap();
    assert_eq!(samples::open(folder.path()).database().end(0).unwrap(), samples::end_after(20));

    let path = write_ahead_log(copied.path());
    fs::write(path, &whole[..whole.len() - 9]).unwrap();
    let error = refusal(copied.path());
    assert_eq!((error.code(), error.kind()), ("LOG_BEHIND_HEAD", Kind::Damaged), "{error:?}");
}

/// The write-ahead logs with something in them, oldest first.
fn write_ahead_logs(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let mut logs: Vec<PathBuf> = files.filter(is_log).collect();
    logs.retain(|path| fs::metadata(path).unwrap().len() > 0);
    logs.sort();
    logs
}

/// Where the last piece of a write-ahead log begins: check(4) length(2) kind(1), within blocks of 32 KiB.
fn last_piece(log: &[u8]) -> usize {
    let (mut at, mut last) = (0, 0);
    while at < log.len() {
        let left = (32 << 10) - at % (32 << 10);
        if left < 7 {
            at += left;
            continue;
        }
        last = at;
        at += 7 + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
    }
    last
}

#[test]
fn a_log_behind_which_another_stands_does_not_lose_its_end_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let database = samples::open(folder.path()).database();
    let mut passes = 0;
    // Until a table of the log is full, so that the next write goes to a new file.
    while write_ahead_logs(folder.path()).len() < 2 {
        let mut batch = samples::pass(passes);
        batch.appends[0].records[0].resize(100 << 10, 1);
        database.write_sync(&batch).unwrap();
        passes += 1;
        assert!(passes < 1_000, "a second file is written");
    }
    drop(database);
    let older = write_ahead_logs(folder.path()).remove(0);
    let mut bytes = fs::read(&older).unwrap();
    let last = last_piece(&bytes);
    bytes[last + 5] ^= 0x80;
    fs::write(&older, &bytes).unwrap();
    assert_eq!(refusal(folder.path()).code(), "DATA_DAMAGED");
    bytes[last + 5] ^= 0x80;
    fs::write(&older, &bytes).unwrap();
    assert_eq!(samples::open(folder.path()).database().end(0).unwrap(), samples::end_after(passes));
}

#[test]
fn an_older_or_other_log_under_the_same_head_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), 0..5);
    let older = tempfile::tempdir().unwrap();
    copy(folder.path(), older.path());
    written(folder.path(), 5..9);
    let other = tempfile::tempdir().unwrap();
    copy(older.path(), other.path());

    fs::copy(folder.path().join("HEAD"), older.path().join("HEAD")).unwrap();
    assert_eq!(refusal(older.path()).code(), "LOG_BEHIND_HEAD");

    let database = samples::open(other.path()).database();
    let records = vec![b"another history".to_vec(); 99];
    database.append(&[0, 1].map(|partition| Append { partition, records: records.clone() })).unwrap();
    drop(database);
    fs::copy(folder.path().join("HEAD"), other.path().join("HEAD")).unwrap();
    assert_eq!(refusal(other.path()).code(), "LOG_NOT_OF_HEAD");
}

#[test]
fn a_folder_is_open_in_one_place_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let opened = samples::open(folder.path());
    let database = opened.database();
    drop(opened);
    let error = refusal(folder.path());
    assert_eq!((error.code(), error.kind()), ("DATA_IN_USE", Kind::Mend), "held by what was taken from it");
    drop(database);
    drop(samples::open(folder.path()));
}

#[test]
fn what_is_no_folder_is_not_made_one() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    assert_eq!(Folder::open(&absent).unwrap_err().code(), "DATA_MISSING");
    assert!(!absent.exists(), "looking makes nothing");
    let file = folder.path().join("file");
    fs::write(&file, "a file").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert_eq!(refusal(&path).code(), "DATA_UNUSABLE");
    }
    assert_eq!(fs::read(file).unwrap(), b"a file");
    let none = Folder::open_or_create(&absent, &NewLog { partitions: 0, ..samples::LOG }).unwrap_err();
    assert_eq!(none.code(), "DATA_UNUSABLE");
}

#[test]
fn a_folder_that_a_crash_left_half_made_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    drop(samples::open(folder.path()));
    fs::remove_file(folder.path().join("FORMAT")).unwrap();
    drop(samples::open(folder.path()));
    written(folder.path(), 0..2);
    assert_eq!(samples::open(folder.path()).database().end(0).unwrap(), samples::end_after(2));
}
