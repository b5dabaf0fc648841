//! Measures a data folder on this machine: `cargo run --release -p rocks --example figures [FOLDER]`.
//!
//! Figures are of one thread, on a folder of the system's temporary place unless another is named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::name::{Digest, ModelName, RunId, StreamId, TargetId, Version, WorkflowName};
use domain::routes::Generation;
use domain::time::Timestamp;
use engine::port::blobs::Blobs as _;
use engine::port::journal::{Entry, Journal as _, State};
use engine::port::log::{Append, Log as _};
use engine::port::predictions::{Label, Prediction, Predictions as _};
use engine::port::row::{RunRow, Withheld};
use engine::port::store::{Accepted, Batch, Commit, Embedded as _, Head, Query, RequestRow, Store as _};
use rocks::{Database, Folder, NewLog};

const PARTITIONS: u32 = 16;
const LOG: NewLog = NewLog { log_id: [1; 16], partitions: PARTITIONS };
const RECORD_BYTES: usize = 580;
const RUN_RECORDS: u64 = 7;
const PREDICTIONS: u64 = 1_000_000;

fn main() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = std::env::args().nth(1).map_or_else(|| temporary.path().join("figures"), PathBuf::from);
    let folder = Folder::open_or_create(&path, &LOG).expect("the folder opens");
    println!("transitions of {RECORD_BYTES} B with view rows, {PARTITIONS} partitions, one sync a pass:");
    let mut next = [0; PARTITIONS as usize];
    for (transitions, passes) in [(1, 2_000), (64, 1_500), (256, 1_500), (1024, 400)] {
        passes_of(&folder.database(), &mut next, transitions, passes);
    }
    reading(&folder.database());
    journal(&folder.database());
    blobs(&folder);
    predictions(&folder);
    reopening(folder, &path);
}

fn passes_of(database: &Database, next: &mut [u64], transitions: u64, passes: u64) {
    let mut took: Vec<Duration> = vec![];
    for _ in 0..passes {
        let batch = batch(next, transitions);
        let begun = Instant::now();
        database.write_sync(&batch).expect("the pass is written");
        took.push(begun.elapsed());
    }
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    let at = |share: f64| took[(share * (took.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    println!(
        "  {transitions:5} a pass: {:9.0} transitions/s, pass p50 {:.2} ms, p99 {:.2} ms",
        (transitions * passes) as f64 / total.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
}

/// Transitions spread over the partitions; each touches its run and its target, and answers a request.
fn batch(next: &mut [u64], transitions: u64) -> Batch {
    let mut batch = Batch::default();
    for partition in 0..PARTITIONS {
        let share = transitions / u64::from(PARTITIONS)
            + u64::from(u64::from(partition) < transitions % u64::from(PARTITIONS));
        if share == 0 {
            continue;
        }
        let from = next[partition as usize];
        next[partition as usize] += share;
        let target = target(partition);
        let mut commit = Commit {
            partition,
            after: from,
            head: head(from + share),
            records: vec![],
            runs: vec![],
            targets: vec![],
            requests: vec![],
            kept: vec![],
            requests_from: from.saturating_sub(10_000),
            lacks_rows: false,
        };
        for offset in from..from + share {
            // Thirty-two runs of a partition are under way at a time, each a record in its turn.
            let run = run_id(partition, offset / (32 * RUN_RECORDS) * 32 + offset % 32);
            commit.records.push(Accepted {
                seq: offset + 1,
                offset,
                bytes: record(offset),
                streams: vec![StreamId::Run(run), StreamId::Target(target.clone())],
            });
            commit.runs.push(run_row(run, partition, &target, offset));
            commit.requests.push(RequestRow {
                input_id: format!("{partition}-{offset}"),
                content: Digest([3; 32]),
                seq: offset + 1,
                refused: None,
            });
        }
        let records = commit.records.iter().map(|record| record.bytes.clone()).collect();
        batch.appends.push(Append { partition, records });
        batch.commits.push(commit);
    }
    batch
}

/// Half of it compresses, as recorded evidence does.
fn record(offset: u64) -> Vec<u8> {
    let mut bytes = vec![b'e'; RECORD_BYTES];
    let mut state = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in &mut bytes[..RECORD_BYTES / 2] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    bytes
}

fn run_id(partition: u32, number: u64) -> RunId {
    let digest = Digest::of(&[&partition.to_be_bytes()[..], &number.to_be_bytes()].concat());
    RunId(digest.0[..16].try_into().expect("sixteen of thirty-two"))
}

fn target(number: u32) -> TargetId {
    TargetId::parse(&format!("model-{number}@production")).expect("a plain name")
}

fn run_row(run: RunId, partition: u32, target: &TargetId, offset: u64) -> RunRow {
    let last = offset / 32 % RUN_RECORDS == RUN_RECORDS - 1;
    RunRow {
        run,
        partition,
        target: target.clone(),
        model: ModelName::parse(target.model.as_str()).expect("a plain name"),
        version: Version::parse("2026-11-21").expect("a plain name"),
        workflow: WorkflowName::parse("careful").expect("a plain name"),
        workflow_digest: Digest([2; 32]),
        state: if last { "live" } else { "active" }.to_owned(),
        ended: last,
        paused: false,
        started_at: Timestamp(offset / 32 / RUN_RECORDS),
        updated_at: Timestamp(offset),
        last_seq: offset + 1,
        transitions: offset / 32 % RUN_RECORDS + 1,
        waits: "stage `quality`".to_owned(),
        outstanding: 1,
        wake_at: Some(Timestamp(offset + 60_000)),
        withheld: Withheld::default(),
        chapter: None,
    }
}

fn head(end: u64) -> Head {
    Head {
        log_id: LOG.log_id,
        partitions: PARTITIONS,
        seq: end,
        hash: Digest([1; 32]),
        next_offset: end,
        epoch: 1,
        format: 1,
        in_flight_records_max: 256,
        now: Timestamp(end),
        positions: [end; 3],
        topics: [0; 3],
        dispatched: end,
        losers: 0,
    }
}

fn reading(database: &Database) {
    let begun = Instant::now();
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let mut from = 0;
        loop {
            let records = database.read(partition, from, 1_000).expect("the log reads");
            let Some(last) = records.last() else { break };
            from = last.offset + 1;
            count += records.len() as u64;
        }
    }
    println!("log read in order: {:9.0} records/s ({count})", count as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let query = Query { state: Some("live".to_owned()), runs_max: 50, ..Query::default() };
    let found = database.runs(&query).expect("the view lists");
    println!("list of {} runs by state: {:.2} ms", found.len(), begun.elapsed().as_secs_f64() * 1e3);
    let stream = StreamId::Run(found[0].run);
    let begun = Instant::now();
    let records = database.stream(found[0].partition, &stream, 0, usize::MAX).expect("the stream reads");
    println!("one run's {} records: {:.3} ms", records.len(), begun.elapsed().as_secs_f64() * 1e3);
}

fn journal(database: &Database) {
    let attempt = |number| domain::name::AttemptId { owner: StreamId::Run(run_id(0, number)), number: 1 };
    let entry = |number| Entry {
        attempt: attempt(number),
        state: State::Taken,
        order: vec![],
        at: Timestamp(number),
    };
    let begun = Instant::now();
    (0..2_000).for_each(|number| database.put(&[entry(number)], &[]).expect("the journal is written"));
    println!(
        "journal, one entry and one sync a call: {:.0} calls/s",
        2_000.0 / begun.elapsed().as_secs_f64()
    );
}

fn blobs(folder: &Folder) {
    let blobs = folder.blobs();
    let mut bytes = record(1).repeat(1_800);
    let begun = Instant::now();
    for number in 0..50_u8 {
        bytes[0] = number;
        blobs.put(&bytes).expect("the blob is kept");
    }
    println!("blobs of 1 MB: {:.1} ms a put", begun.elapsed().as_secs_f64() * 1e3 / 50.0);
}

fn predictions(folder: &Folder) {
    let log = folder.predictions();
    let target = target(0);
    let id = |number: u64| {
        let digits = RunId(Digest::of(&number.to_be_bytes()).0[..16].try_into().expect("sixteen"));
        let hex = format!("{:032x}", u128::from_be_bytes(digits.0));
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    };
    let made = |number: u64| Prediction {
        target: target.clone(),
        request_id: id(number),
        at: Timestamp(1_795_000_000_000 + number / 2),
        bundle: Digest([(number % 2) as u8; 32]),
        generation: Generation(7),
        unit: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        latency_us: 900 + (number % 500) as u32,
        error: false,
        features: (0..12).map(|place| ((number >> place) % 100) as f32).collect(),
        output: Some((number % 2) as f64),
        score: Some((number % 1_000) as f64 / 1_000.0),
    };
    for batch_of in [100, 1_000] {
        let mut took = Duration::ZERO;
        for from in (0..PREDICTIONS).step_by(batch_of as usize) {
            let batch: Vec<_> = (from..from + batch_of).map(made).collect();
            let begun = Instant::now();
            log.append(&batch).expect("predictions are kept");
            took += begun.elapsed();
        }
        let kind = if batch_of == 100 { "new" } else { "repeated" };
        println!("predictions, {kind}, {batch_of} a call: {:.0} /s", PREDICTIONS as f64 / took.as_secs_f64());
    }
    let label =
        |number| Label { target: target.clone(), request_id: id(number), at: Timestamp(0), value: 1.0 };
    let labels: Vec<_> = (0..PREDICTIONS / 2).map(|number| label(number * 2)).collect();
    let begun = Instant::now();
    labels.chunks(1_000).for_each(|labels| log.label(labels).expect("labels are kept"));
    println!("labels, 1000 a call: {:.0} /s", labels.len() as f64 / begun.elapsed().as_secs_f64());
    for _ in 0..2 {
        let begun = Instant::now();
        let (mut found, mut labelled) = (0_u64, 0_u64);
        log.scan(&target, Timestamp(0), Timestamp(u64::MAX), &mut |_, label| {
            found += 1;
            labelled += u64::from(label.is_some());
        })
        .expect("predictions are scanned");
        let rate = found as f64 / begun.elapsed().as_secs_f64();
        println!("scan with labels: {rate:.0} /s ({found}, {labelled} labelled)");
    }
}

fn reopening(folder: Folder, path: &Path) {
    drop(folder);
    let begun = Instant::now();
    let folder = Folder::open(path).expect("the folder opens");
    println!("opening as after a kill: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    folder.close().expect("the folder closes");
    let begun = Instant::now();
    drop(Folder::open(path).expect("the folder opens"));
    println!("opening after a clean close: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    for part in ["log", "predictions", "blobs"] {
        println!("{part}: {:.1} MB", bytes_in(&path.join(part)) as f64 / 1e6);
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                bytes_in(&entry.path())
            } else {
                entry.metadata().map_or(0, |meta| meta.len())
            }
        })
        .sum()
}
