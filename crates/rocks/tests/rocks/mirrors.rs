//! A folder that mirrors a log: holes, crashes, what makes it begin anew, and what it must never touch.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::name::StreamId;
use domain::time::Timestamp;
use engine::port::blobs::Blobs as _;
use engine::port::journal::Journal;
use engine::port::log::{Landed, Log as _};
use engine::port::store::{Commit, Embedded as _, Store as _};
use engine::port::suite;
use rocks::{Anew, Database, Folder, NewLog, Restore};
use tempfile::TempDir;

use crate::folders::{copy, write_ahead_log};
use crate::samples::{self, PARTITIONS, Random};

const SEED: &str = "MODELRAIL_SEED";
const AT: Timestamp = Timestamp(1_763_740_000_000);

fn open(path: &Path) -> Folder {
    let (folder, anew) = Folder::open_mirror(path, &samples::LOG).unwrap();
    assert!(anew.is_none(), "{anew:?}");
    folder
}

fn anew(path: &Path, of: &NewLog) -> (Folder, Anew) {
    let (folder, anew) = Folder::open_mirror(path, of).unwrap();
    (folder, anew.expect("it begins anew, and says so"))
}

/// Where the record that would be at `at` in a log without losers is.
fn place(at: u64) -> u64 {
    at + at / 4 * 3
}

/// The commits of a pass, at places with holes.
fn pass(number: u64) -> Vec<Commit> {
    let mut commits = samples::pass(number).commits;
    for commit in &mut commits {
        for record in &mut commit.records {
            record.offset = place(record.offset);
        }
        commit.head.next_offset = place(commit.head.next_offset - 1) + 1;
    }
    commits
}

/// What a mirror of so many records of a partition has.
fn mirrored(partition: u32, records: u64) -> Vec<Landed> {
    let landed = |at| Landed { offset: place(at), bytes: samples::record(partition, at) };
    (0..records).map(landed).collect()
}

/// The mirror is what it must be after some whole passes; gives how many.
fn check(database: &Database) -> u64 {
    let seqs = (0..PARTITIONS).map(|it| database.head(it).unwrap().map_or(0, |head| head.seq));
    let seqs: Vec<u64> = seqs.collect();
    let passes = (0..=seqs[0]).find(|passes| samples::end_after(*passes) == seqs[0]);
    let passes = passes.expect("it stands after a whole pass");
    for (partition, seq) in (0..PARTITIONS).zip(seqs) {
        assert_eq!(seq, samples::end_after(passes), "both partitions together");
        let end = if seq == 0 { 0 } else { place(seq - 1) + 1 };
        assert_eq!(database.end(partition).unwrap(), end, "what the head says was read");
        let read = database.read(partition, 0, usize::MAX).unwrap();
        assert!(read == mirrored(partition, seq), "the accepted records, and nothing else");
        if passes > 0 {
            let run = u64::from(partition) * 1_000_000 + (passes - 1) % 50;
            assert_eq!(
                database.run(samples::run_id(run)).unwrap().unwrap(),
                samples::run_row(run, seq, partition)
            );
            let stream = StreamId::Run(samples::run_id(run));
            let records = database.stream(partition, &stream, 0, usize::MAX).unwrap();
            assert_eq!(records.last().unwrap(), &(seq, samples::record(partition, seq - 1)));
        }
    }
    passes
}

fn write(database: &Database, passes: std::ops::Range<u64>) {
    passes.for_each(|number| database.commit(&pass(number)).unwrap());
}

#[test]
fn every_contract_of_a_mirror_is_kept() {
    let kept = std::cell::RefCell::new(Vec::<TempDir>::new());
    let fresh = || {
        let path = tempfile::tempdir().unwrap();
        let database = open(&path.path().join("mirror")).database();
        kept.borrow_mut().push(path);
        Arc::into_inner(database).unwrap()
    };
    suite::mirror(fresh);
    suite::journal(fresh);
}

#[test]
fn holes_are_read_over() {
    let path = tempfile::tempdir().unwrap();
    let database = open(path.path()).database();
    write(&database, 0..60);
    assert_eq!(check(&database), 60);
    let all = mirrored(1, samples::end_after(60));
    for page in [1, 7, 64, 1_000] {
        let mut next = 0;
        let mut read = vec![];
        loop {
            let records = database.read(1, next, page).unwrap();
            assert!(records.len() <= page);
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            read.extend(records);
        }
        assert!(read == all, "in pages of {page}");
    }
    assert_eq!(database.read(1, place(9), 1).unwrap(), [all[9].clone()], "the record at its offset");
    assert_eq!(database.syncs(), 0, "nothing waits for the disk");
}

#[test]
fn commits_that_do_not_follow_are_refused_and_nobody_appends() {
    let path = tempfile::tempdir().unwrap();
    let database = open(path.path()).database();
    write(&database, 0..3);
    assert!(database.commit(&pass(2)).is_err(), "once more");
    assert!(database.commit(&pass(4)).is_err(), "one left out");
    assert!(database.write_sync(&samples::pass(3)).is_err(), "to a log that is not here");
    assert_eq!(check(&database), 3);
    assert!(!database.is_stopped());
}

#[test]
fn a_process_that_ends_without_a_word_costs_what_the_view_was_behind_by() {
    let path = tempfile::tempdir().unwrap();
    let mut passes = 0;
    let mut was_behind = false;
    // More than the view may be behind by, so that some of it is written.
    for more in [700, 3, 900] {
        let database = open(path.path()).database();
        write(&database, passes..passes + more);
        let beside = tempfile::tempdir().unwrap();
        copy(path.path(), beside.path());
        drop(database);
        for folder in [beside.path(), path.path()] {
            let kept = check(&open(folder).database());
            assert!(kept <= passes + more);
            was_behind |= kept < passes + more;
            assert!(samples::end_after(passes + more) - samples::end_after(kept) <= 1_100, "{kept}");
        }
        passes = check(&open(path.path()).database());
    }
    assert!(was_behind, "the test looks at something");
    assert!(passes > 700, "and some of it was written");
    let folder = open(path.path());
    write(&folder.database(), passes..passes + 5);
    folder.close().unwrap();
    assert_eq!(check(&open(path.path()).database()), passes + 5, "closed: nothing is behind");
}

#[test]
fn what_a_power_cut_leaves_is_a_beginning_of_what_was_written() {
    let drawn = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = std::env::var(SEED).map_or_else(|_| drawn(), |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let mut random = Random::new(seed);
    let path = tempfile::tempdir().unwrap();
    {
        let folder = open(path.path());
        write(&folder.database(), 0..300);
        folder.close().unwrap();
    }
    let database = open(path.path()).database();
    // Several times more than the view may be behind by, so that its rows stand between the records.
    write(&database, 300..2_300);
    drop(database);
    let log = write_ahead_log(path.path());
    let whole = fs::read(&log).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..24 {
        let beside = tempfile::tempdir().unwrap();
        copy(path.path(), beside.path());
        let at = random.below(whole.len() as u64) as usize;
        let mut bytes = whole.clone();
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            // A page that never reached the disk, before others that did.
            bytes[at..(at + 4096).min(whole.len())].fill(0);
        }
        fs::write(beside.path().join("log").join(log.file_name().unwrap()), bytes).unwrap();
        let (folder, anew) = Folder::open_mirror(beside.path(), &samples::LOG).unwrap();
        let kept = check(&folder.database());
        assert!(if anew.is_some() { kept == 0 } else { kept >= 300 }, "{anew:?} {kept}");
        seen.insert(kept);
        write(&folder.database(), kept..kept + 3);
        assert_eq!(check(&folder.database()), kept + 3, "and it goes on from there");
    }
    assert!(seen.len() > 2, "cut at several places: {seen:?}");
}

#[test]
fn a_mirror_of_another_log_is_begun_anew_and_blobs_stay() {
    for other in [NewLog { log_id: [8; 16], ..samples::LOG }, NewLog { partitions: 3, ..samples::LOG }] {
        let path = tempfile::tempdir().unwrap();
        let folder = open(path.path());
        write(&folder.database(), 0..5);
        folder.database().put(&[samples::entry(1)], &[]).unwrap();
        let blob = folder.blobs().put(b"weights").unwrap();
        folder.close().unwrap();
        let (folder, why) = anew(path.path(), &other);
        let found =
            matches!(why, Anew::OtherLog { log_id, partitions: PARTITIONS } if log_id == samples::LOG.log_id);
        assert!(found, "{why:?}");
        assert_eq!((folder.log_id(), folder.partitions()), (other.log_id, other.partitions));
        assert!(folder.database().head(0).unwrap().is_none() && folder.database().end(1).unwrap() == 0);
        assert_eq!(Journal::open(&*folder.database()).unwrap(), [], "the other log's commands are nobody's");
        assert_eq!(folder.blobs().get(blob).unwrap(), b"weights");
        drop(folder);
        let (_, why) = Folder::open_mirror(path.path(), &other).unwrap();
        assert!(why.is_none(), "once: {why:?}");
    }
}

/// Makes a good mirror a wrong one.
type Spoil = fn(&Path);

#[test]
fn a_mirror_that_is_not_whole_is_begun_anew() {
    let spoil: [Spoil; 6] = [
        |folder| fs::write(folder.join("log/CURRENT"), "MANIFEST-999999\n").unwrap(),
        |folder| fs::remove_dir_all(folder.join("log")).unwrap(),
        |folder| {
            let tables = fs::read_dir(folder.join("log")).unwrap().map(|entry| entry.unwrap().path());
            let is_table =
                |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "sst");
            tables.filter(is_table).for_each(|path| fs::remove_file(path).unwrap());
        },
        |folder| raw(folder, |db, log| db.delete_cf(log, key(1, place(samples::end_after(20) - 1))).unwrap()),
        |folder| {
            raw(folder, |db, log| {
                db.put_cf(log, key(0, place(samples::end_after(20) - 1)), b"another").unwrap();
            });
        },
        |folder| {
            let text = fs::read_to_string(folder.join("FORMAT")).unwrap();
            fs::write(folder.join("FORMAT"), text.replace("modelrail-mirror 1", "modelrail-mirror 2"))
                .unwrap();
        },
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let path = tempfile::tempdir().unwrap();
        let folder = open(path.path());
        write(&folder.database(), 0..20);
        folder.close().unwrap();
        assert_eq!(check(&open(path.path()).database()), 20);
        spoil(path.path());
        let (folder, why) = anew(path.path(), &samples::LOG);
        assert_eq!(matches!(why, Anew::OtherRelease), number == 5, "case {number}: {why:?}");
        assert_eq!(check(&folder.database()), 0, "case {number}");
        write(&folder.database(), 0..4);
        folder.close().unwrap();
        assert_eq!(check(&open(path.path()).database()), 4, "case {number}: and is a mirror again");
    }
}

fn raw(folder: &Path, change: impl Fn(&rocksdb::DB, &rocksdb::ColumnFamily)) {
    let families = ["default", "meta", "log", "view", "journal"];
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), folder.join("log"), families).unwrap();
    change(&db, db.cf_handle("log").unwrap());
    db.flush().unwrap();
}

fn key(partition: u32, offset: u64) -> Vec<u8> {
    [&partition.to_be_bytes()[..], &offset.to_be_bytes()].concat()
}

#[test]
fn what_stands_behind_the_head_is_dropped() {
    let path = tempfile::tempdir().unwrap();
    let folder = open(path.path());
    write(&folder.database(), 0..9);
    folder.close().unwrap();
    // As of a log that was cut back while this process was away, and went on otherwise.
    raw(path.path(), |db, log| {
        db.put_cf(log, key(0, place(samples::end_after(9)) + 1), b"stale").unwrap();
    });
    let folder = open(path.path());
    write(&folder.database(), 9..12);
    assert_eq!(check(&folder.database()), 12);
}

#[test]
fn a_forgotten_view_takes_the_mirror_along() {
    let path = tempfile::tempdir().unwrap();
    let database = open(path.path()).database();
    write(&database, 0..9);
    database.forget_view().unwrap();
    assert_eq!(check(&database), 0);
    write(&database, 0..2);
    assert_eq!(check(&database), 2);
}

#[test]
fn a_log_is_not_opened_as_a_mirror_nor_a_mirror_as_a_log() {
    let log = tempfile::tempdir().unwrap();
    let database = samples::open(log.path()).database();
    (0..3).for_each(|number| database.write_sync(&samples::pass(number)).unwrap());
    drop(database);
    let error = Folder::open_mirror(log.path(), &samples::LOG).unwrap_err();
    assert_eq!(error.code(), "DATA_IS_LOG");
    assert!(error.hint().unwrap().contains("another folder"), "{error}");
    fs::remove_file(log.path().join("FORMAT")).unwrap();
    let error = Folder::open_mirror(log.path(), &samples::LOG).unwrap_err();
    assert_eq!(error.code(), "DATA_DAMAGED", "who lost its `FORMAT` keeps its log");
    assert!(log.path().join("log/CURRENT").exists());

    let mirror = tempfile::tempdir().unwrap();
    let folder = open(mirror.path());
    write(&folder.database(), 0..3);
    folder.close().unwrap();
    let refusals = [
        Folder::open(mirror.path()).unwrap_err(),
        Folder::open_or_create(mirror.path(), &samples::LOG).unwrap_err(),
        rocks::LogCopy::open(mirror.path()).unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.code(), "DATA_IS_MIRROR");
        assert!(error.hint().unwrap().contains("Kafka"), "{error}");
    }
    assert_eq!(check(&open(mirror.path()).database()), 3, "refusing changed nothing");
}

#[test]
fn a_snapshot_of_a_mirror_is_read_on_from_and_never_put_over_a_log() {
    let root = tempfile::tempdir().unwrap();
    let (mirror, snapshot) = (root.path().join("mirror"), root.path().join("snapshot"));
    let folder = open(&mirror);
    write(&folder.database(), 0..4);
    fs::write(mirror.join("signing.key"), "secret").unwrap();
    let taken = folder.backups().take(&snapshot, AT, "modelrail test").unwrap();
    assert!(taken.is_snapshot);
    assert!(["signing.key", "blobs", "predictions", "HEAD"].iter().all(|name| !snapshot.join(name).exists()));
    write(&folder.database(), 4..6);
    let restore = |to: &Path, replace| {
        rocks::restore(Restore { from: &snapshot, to, replace, accept_loss: false, at: AT })
    };
    // Where nothing is, and any number of them.
    for name in ["one", "two"] {
        let restored = restore(&root.path().join(name), false).unwrap();
        assert!(restored.is_snapshot && restored.lost.is_nothing());
        let folder = open(&root.path().join(name));
        assert_eq!(folder.restored(), None, "no claim has to say so");
        assert_eq!(check(&folder.database()), 4);
        write(&folder.database(), 4..7);
        assert_eq!(check(&folder.database()), 7, "it is read on");
    }
    // Over another mirror, when told.
    assert_eq!(restore(&root.path().join("one"), false).unwrap_err().code(), "RESTORE_OCCUPIED");
    assert!(restore(&root.path().join("one"), true).unwrap().replaced.is_some());
    assert_eq!(check(&open(&root.path().join("one")).database()), 4);
    // Never where a log is, whatever is said.
    let log = root.path().join("log");
    samples::open(&log).database().write_sync(&samples::pass(0)).unwrap();
    let error =
        rocks::restore(Restore { from: &snapshot, to: &log, replace: true, accept_loss: true, at: AT });
    assert_eq!(error.unwrap_err().code(), "DATA_IS_LOG");
    assert_eq!(samples::open(&log).log_id(), samples::LOG.log_id);
    // Nor what is no data folder.
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "dear").unwrap();
    assert_eq!(restore(&other, true).unwrap_err().code(), "RESTORE_OCCUPIED");
}
