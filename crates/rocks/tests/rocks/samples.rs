//! Batches whose content follows from their number, so that what is found can be held against it.

use std::path::Path;

use domain::name::{AttemptId, Digest, ModelName, RunId, StreamId, TargetId, Version, WorkflowName};
use domain::time::Timestamp;
use engine::port::journal::{Entry, State};
use engine::port::log::Append;
use engine::port::row::{RunRow, TargetRow, Withheld};
use engine::port::store::{Accepted, Batch, Commit, Head, Store as _};
use rocks::{Database, Folder, NewLog};

pub(crate) const PARTITIONS: u32 = 2;
pub(crate) const LOG: NewLog = NewLog { log_id: [7; 16], partitions: PARTITIONS };

pub(crate) fn open(path: &Path) -> Folder {
    Folder::open_or_create(path, &LOG).unwrap()
}

/// A small generator, so that a seed gives the same numbers everywhere (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

pub(crate) fn run_id(number: u64) -> RunId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    RunId(id)
}

pub(crate) fn target() -> TargetId {
    TargetId::parse("flights@production").unwrap()
}

/// The record at an offset: between 1 and 600 bytes.
pub(crate) fn record(partition: u32, offset: u64) -> Vec<u8> {
    let mut bytes = format!("record {offset} of {partition}: ").into_bytes();
    bytes.resize(20 + (offset * 37 % 580) as usize, offset as u8);
    bytes
}

/// How many records a pass puts into a partition.
pub(crate) fn records_of(pass: u64) -> u64 {
    pass % 3 + 1
}

/// How many records a partition has after so many passes.
pub(crate) fn end_after(passes: u64) -> u64 {
    (0..passes).map(records_of).sum()
}

pub(crate) fn run_row(run: u64, seq: u64, partition: u32) -> RunRow {
    RunRow {
        run: run_id(run),
        partition,
        target: target(),
        model: ModelName::parse("flights").unwrap(),
        version: Version::parse("v1").unwrap(),
        workflow: WorkflowName::parse("careful").unwrap(),
        workflow_digest: Digest::of(b"workflow"),
        state: ["active", "live", "standby"][(seq % 3) as usize].to_owned(),
        ended: false,
        paused: false,
        started_at: Timestamp(run),
        updated_at: Timestamp(seq),
        last_seq: seq,
        transitions: seq,
        waits: String::new(),
        outstanding: 1,
        wake_at: None,
        withheld: Withheld::default(),
        chapter: None,
    }
}

pub(crate) fn target_row(seq: u64, partition: u32) -> TargetRow {
    TargetRow {
        target: target(),
        partition,
        live: None,
        slot: None,
        under_way: 0,
        frozen: false,
        generation: seq,
        updated_at: Timestamp(seq),
        last_seq: seq,
        transitions: seq,
        outstanding: 0,
        wake_at: None,
        withheld: Withheld::default(),
        chapter: None,
    }
}

/// One pass over both partitions, log and view.
pub(crate) fn pass(number: u64) -> Batch {
    let mut batch = Batch::default();
    for partition in 0..PARTITIONS {
        let from = end_after(number);
        let offsets = from..from + records_of(number);
        batch
            .appends
            .push(Append { partition, records: offsets.clone().map(|at| record(partition, at)).collect() });
        let run = u64::from(partition) * 1_000_000 + number % 50;
        let accepted = offsets.clone().map(|offset| Accepted {
            seq: offset + 1,
            offset,
            bytes: record(partition, offset),
            streams: vec![StreamId::Run(run_id(run))],
        });
        batch.commits.push(Commit {
            partition,
            after: from,
            head: head(partition, offsets.end),
            records: accepted.collect(),
            runs: vec![run_row(run, offsets.end, partition)],
            targets: vec![],
            requests: vec![],
            kept: vec![],
            requests_from: 0,
            lacks_rows: false,
        });
    }
    batch
}

/// Brings the view up to a log of so many passes, as a start after a crash does.
pub(crate) fn complete(database: &Database, passes: u64) {
    let seq = |partition| database.head(partition).unwrap().map_or(0, |head| head.seq);
    let behind = (0..=passes).find(|number| end_after(*number) == seq(0));
    for number in behind.expect("the view stands after a whole pass")..passes {
        database.commit(&pass(number).commits).unwrap();
    }
}

pub(crate) fn head(partition: u32, end: u64) -> Head {
    Head {
        log_id: LOG.log_id,
        partitions: PARTITIONS,
        seq: end,
        hash: Digest::of(&record(partition, end - 1)),
        next_offset: end,
        epoch: 1,
        format: 1,
        in_flight_records_max: 256,
        now: Timestamp(end),
        positions: [end, 0, 0],
        topics: [0; 3],
        dispatched: end,
        losers: 0,
    }
}

pub(crate) fn entry(number: u64) -> Entry {
    let attempt = AttemptId { owner: StreamId::Run(run_id(number)), number: 1 };
    let state = State::Answered(number.to_be_bytes().to_vec());
    Entry { attempt, state, order: vec![number as u8; 7], at: Timestamp(number) }
}
