//! The engine's contract suites, and comparisons with the memory implementations over random sequences.

use std::cell::RefCell;
use std::sync::Arc;

use domain::name::{Digest, StreamId, TargetId};
use domain::routes::Generation;
use domain::time::Timestamp;
use engine::port::memory;
use engine::port::predictions::{Label, Prediction, Predictions as _};
use engine::port::store::{Batch, Embedded as _, Query, Store as _};
use engine::port::{blobs::Blobs as _, log::Log as _, suite};
use rocks::{Blobs, Database, Folder, Predictions};
use tempfile::TempDir;

use crate::samples::{self, Random};

/// Fresh folders, kept until the suite is through.
#[derive(Debug, Default)]
struct Folders(RefCell<Vec<TempDir>>);

impl Folders {
    fn fresh(&self) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let opened = samples::open(&folder.path().join("modelrail"));
        self.0.borrow_mut().push(folder);
        opened
    }

    fn database(&self) -> Database {
        let database = self.fresh().database();
        Arc::into_inner(database).unwrap()
    }

    fn predictions(&self) -> Predictions {
        let predictions = self.fresh().predictions();
        Arc::into_inner(predictions).unwrap()
    }

    fn blobs(&self) -> Blobs {
        let blobs = self.fresh().blobs();
        Arc::into_inner(blobs).unwrap()
    }
}

#[test]
fn every_contract_is_kept() {
    let folders = Folders::default();
    suite::log(|| folders.database());
    suite::store(|| folders.database());
    suite::embedded(|| folders.database());
    suite::journal(|| folders.database());
    suite::blobs(|| folders.blobs());
    suite::predictions(|| folders.predictions());
}

#[test]
fn what_stands_alone_keeps_the_contracts_too() {
    let folders = RefCell::new(vec![]);
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        folders.borrow_mut().push(folder);
        path
    };
    suite::predictions(|| Predictions::open_alone(&fresh()).unwrap());
    suite::blobs(|| Blobs::shared(&fresh()).unwrap());
}

#[test]
fn several_processes_put_into_one_folder_of_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let one = Blobs::shared(folder.path()).unwrap();
    // Opening takes nothing away from those who write.
    let (ready, go) = (std::sync::Barrier::new(4), 0..64_u32);
    std::thread::scope(|scope| {
        for place in 0..4_u32 {
            let (ready, go, folder) = (&ready, go.clone(), folder.path());
            scope.spawn(move || {
                ready.wait();
                for number in go {
                    let blobs = Blobs::shared(folder).unwrap();
                    let bytes = [number.to_be_bytes(), (place / 2).to_be_bytes()].concat();
                    let digest = blobs.put(&bytes).unwrap();
                    assert_eq!(blobs.get(digest).unwrap(), bytes);
                }
            });
        }
    });
    assert_eq!(one.get(Digest::of(&[0; 8])).unwrap(), [0; 8]);
    let left = std::fs::read_dir(folder.path().join("incoming")).unwrap().count();
    assert_eq!(left, 0, "nothing is left half-written");
}

#[test]
fn a_prediction_log_knows_how_far_its_sources_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let sources = |next: u64| std::collections::BTreeMap::from([("predictions/0".to_owned(), next)]);
    let kept = Predictions::open_alone(folder.path()).unwrap();
    assert!(kept.positions().is_empty());
    assert!(Predictions::open_alone(folder.path()).is_err(), "one process at a time");
    kept.append(&[prediction("a".into(), 7)]).unwrap();
    kept.note(&sources(3)).unwrap();
    kept.note(&sources(5)).unwrap();
    assert_eq!(kept.positions(), sources(5));
    drop(kept);
    let kept = Predictions::open_alone(folder.path()).unwrap();
    assert_eq!(kept.positions(), sources(5), "and after a restart");
    assert_eq!(scanned(&kept, 0, u64::MAX).len(), 1, "beside the names of targets and bundles");
}

#[test]
fn a_view_over_random_commits_equals_the_memory_view_after_each_restart() {
    let folder = tempfile::tempdir().unwrap();
    let memory = memory::Embedded::new(samples::PARTITIONS);
    let mut random = Random::new(11);
    let states = ["active", "live", "retired"];
    let mut written: Vec<Batch> = vec![];
    for round in 0..8 {
        let opened = samples::open(folder.path());
        let database = opened.database();
        // A crash cost what the view was behind by: the log has it.
        let stands_at = database.head(0).unwrap().map_or(0, |head| head.seq);
        assert!(round % 2 == 0 || stands_at == samples::end_after(round * 25), "closed: nothing is behind");
        for batch in written.iter().filter(|batch| batch.commits[0].after >= stands_at) {
            database.commit(&batch.commits).unwrap();
        }
        for number in round * 25..(round + 1) * 25 {
            let mut batch = samples::pass(number);
            for commit in &mut batch.commits {
                for _ in 0..random.below(4) {
                    let run = u64::from(commit.partition) * 1_000_000 + 100 + random.below(40);
                    let mut row = samples::run_row(run, number, commit.partition);
                    states[random.below(3) as usize].clone_into(&mut row.state);
                    row.ended = row.state == "retired";
                    // None is its first record.
                    row.transitions = number + 2;
                    row.outstanding = random.below(3) as u32;
                    row.wake_at = (random.below(4) > 0).then(|| Timestamp(random.below(9)));
                    // Of a run, only its state changes its places in the indexes.
                    row.started_at = Timestamp(run % 3);
                    let model = ["flights", "flights-2", "fraud"][(run % 7 % 3) as usize];
                    row.target = TargetId::parse(&format!("{model}@production")).unwrap();
                    row.model = row.target.model.clone();
                    commit.runs.push(row);
                }
                for number in 0..random.below(3) {
                    let mut row = samples::target_row(number, commit.partition);
                    let model = format!("of-{}-{}", commit.partition, random.below(20));
                    row.target = TargetId::parse(&format!("{model}@production")).unwrap();
                    row.outstanding = random.below(2) as u32;
                    row.wake_at = (random.below(4) > 0).then(|| Timestamp(random.below(9)));
                    commit.targets.push(row);
                }
            }
            database.write_sync(&batch).unwrap();
            memory.write_sync(&batch).unwrap();
            written.push(batch);
        }
        same_view(&memory, &database);
        if round % 2 == 0 {
            drop(database);
            opened.close().unwrap();
        }
    }
}

fn same_view(memory: &memory::Embedded, database: &Database) {
    for partition in 0..samples::PARTITIONS {
        assert_eq!(database.head(partition).unwrap(), memory.head(partition).unwrap());
        assert_eq!(database.open(partition).unwrap(), memory.open(partition).unwrap());
        for (after, max) in [(None, 7), (None, 1_000), (Some((Timestamp(4), StreamId::Definitions)), 5)] {
            let (database, memory) = (
                database.wakes(partition, after.as_ref(), max).unwrap(),
                memory.wakes(partition, after.as_ref(), max).unwrap(),
            );
            assert_eq!(database, memory);
        }
        assert_eq!(database.read(partition, 3, 1000).unwrap(), memory.read(partition, 3, 1000).unwrap());
        let stream = StreamId::Run(samples::run_id(u64::from(partition) * 1_000_000 + 7));
        let streams = (database.stream(partition, &stream, 9, 3), memory.stream(partition, &stream, 9, 3));
        assert_eq!(streams.0.unwrap(), streams.1.unwrap());
    }
    for state in [None, Some("live"), Some("retired"), Some("never")] {
        for target in [None, Some("flights@production"), Some("fraud@production")] {
            for after in [None, Some((Timestamp(1), samples::run_id(20)))] {
                let target = target.map(|target| TargetId::parse(target).unwrap());
                let model = target.as_ref().map(|target| target.model.clone());
                for (target, model) in [(target.clone(), None), (None, model)] {
                    let query = Query { state: state.map(str::to_owned), model, target, after, runs_max: 17 };
                    assert_eq!(database.runs(&query).unwrap(), memory.runs(&query).unwrap(), "{query:?}");
                }
            }
        }
    }
}

#[test]
fn a_pass_over_all_partitions_is_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let database = samples::open(folder.path()).database();
    let before = database.syncs();
    (0..50).for_each(|number| database.write_sync(&samples::pass(number)).unwrap());
    assert_eq!(database.syncs() - before, 50);
    let journal: &dyn engine::port::journal::Journal = &*database;
    journal.put(&[samples::entry(1), samples::entry(2)], &[]).unwrap();
    assert_eq!(database.syncs() - before, 50, "a call of the journal waits for the next sync");
    database.write_sync(&Batch::default()).unwrap();
    assert_eq!(database.syncs() - before, 50, "nothing is not synced");
}

#[test]
fn what_the_view_is_behind_by_is_written_when_it_is_much_or_when_there_is_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = samples::open(folder.path()).database();
    let kept = |database: Arc<Database>| {
        drop(database);
        let database = samples::open(folder.path()).database();
        let seq = database.head(0).unwrap().map_or(0, |head| head.seq);
        (database, seq)
    };
    // Two partitions with two records a pass on average: beyond the bound more than once.
    (0..700).for_each(|number| database.write_sync(&samples::pass(number)).unwrap());
    let (database, seq) = kept(database);
    assert!(seq > 0 && seq < samples::end_after(700), "{seq}");
    samples::complete(&database, 700);
    let before = database.syncs();
    let began = std::time::Instant::now();
    while database.syncs() == before {
        assert!(began.elapsed().as_secs() < 60, "settling writes it after a while");
        database.settle().unwrap();
        std::thread::yield_now();
    }
    let (_, seq) = kept(database);
    assert_eq!(seq, samples::end_after(700));
}

#[test]
fn a_forgotten_view_is_built_again_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let opened = samples::open(folder.path());
    let database = opened.database();
    let passes: Vec<Batch> = (0..10).map(samples::pass).collect();
    for pass in &passes {
        database.write_sync(pass).unwrap();
    }
    let before = database.runs(&Query { runs_max: 99, ..Query::default() }).unwrap();
    database.forget_view().unwrap();
    assert!(database.head(0).unwrap().is_none() && database.open(0).unwrap().runs.is_empty());
    assert_eq!(database.end(0).unwrap(), samples::end_after(10), "the log stays");
    for pass in &passes {
        database.commit(&pass.commits).unwrap();
    }
    assert_eq!(database.runs(&Query { runs_max: 99, ..Query::default() }).unwrap(), before);
}

#[test]
fn predictions_over_random_sequences_equal_the_memory_ones_after_each_restart() {
    let folder = tempfile::tempdir().unwrap();
    let memory = memory::Predictions::default();
    let mut random = Random::new(5);
    for round in 0..6 {
        let opened = samples::open(folder.path());
        let kept = opened.predictions();
        for _ in 0..60 {
            let count = random.below(5) + 1;
            let ids: Vec<String> = (0..count).map(|_| format!("{round}-{}", random.below(40))).collect();
            if random.below(3) == 0 {
                let labels: Vec<Label> =
                    ids.into_iter().map(|id| label(id, random.below(9) as f64)).collect();
                kept.label(&labels).unwrap();
                memory.label(&labels).unwrap();
            } else {
                let given = ids.into_iter().map(|id| prediction(id, round * 100 + random.below(100)));
                let given: Vec<Prediction> = given.collect();
                kept.append(&given).unwrap();
                memory.append(&given).unwrap();
            }
        }
        for (from, to) in [(0, u64::MAX), (round * 100 + 20, round * 100 + 60), (50, 10)] {
            assert_eq!(scanned(&*kept, from, to), scanned(&memory, from, to), "round {round}");
        }
        kept.sweep(Timestamp(round * 100 + 30)).unwrap();
        memory.sweep(Timestamp(round * 100 + 30)).unwrap();
        assert_eq!(scanned(&*kept, 0, u64::MAX), scanned(&memory, 0, u64::MAX), "swept in round {round}");
        assert!(!scanned(&*kept, 0, u64::MAX).is_empty(), "the test looks at something");
    }
}

type Row = (Prediction, Option<f64>);

fn scanned(log: &impl engine::port::predictions::Predictions, from: u64, to: u64) -> Vec<Row> {
    let mut rows = vec![];
    let mut visit = |row: &Prediction, label: Option<f64>| rows.push((row.clone(), label));
    log.scan(&samples::target(), Timestamp(from), Timestamp(to), &mut visit).unwrap();
    rows
}

pub(crate) fn prediction(request_id: String, at: u64) -> Prediction {
    Prediction {
        target: samples::target(),
        bundle: Digest::of(&[at as u8 % 3]),
        generation: Generation(at / 50),
        unit: at.wrapping_mul(77),
        latency_us: at as u32,
        error: at.is_multiple_of(5),
        features: vec![at as f32; at as usize % 4],
        output: (!at.is_multiple_of(3)).then_some(0.25),
        score: (!at.is_multiple_of(2)).then_some(f64::MIN_POSITIVE),
        at: Timestamp(at),
        request_id,
    }
}

fn label(request_id: String, value: f64) -> Label {
    Label { target: samples::target(), request_id, at: Timestamp(1_000_000), value }
}

#[test]
fn a_spoilt_blob_is_refused_and_mended_by_putting_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = samples::open(folder.path()).blobs();
    let digest = blobs.put(b"the weights").unwrap();
    let hex = digest.hex();
    let place = folder.path().join("blobs/sha256").join(&hex[..2]).join(&hex[2..]);
    std::fs::write(&place, b"the weighs").unwrap();
    assert!(matches!(blobs.get(digest), Err(engine::port::blobs::Error::Corrupt(of)) if of == digest));
    assert_eq!(blobs.put(b"the weights").unwrap(), digest);
    assert_eq!(blobs.get(digest).unwrap(), b"the weights");
    drop(blobs);
    std::fs::write(folder.path().join("blobs/incoming/0"), b"torn").unwrap();
    let blobs = samples::open(folder.path()).blobs();
    blobs.put(b"more").unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("blobs/incoming")).unwrap().count(), 0);
}
