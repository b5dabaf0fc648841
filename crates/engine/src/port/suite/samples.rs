//! Names and rows for the suites.

use domain::name::{
    AttemptId, Digest, Environment, ModelName, RunId, StreamId, TargetId, Version, WorkflowName,
};
use domain::refusal::{Kind, Refusal};
use domain::time::Timestamp;

use crate::port::row::{ChapterAt, RunRow, TargetRow, Withheld};
use crate::port::store::{Accepted, Commit, Head, KeptState, RequestRow};

pub(super) fn run_id(number: u8) -> RunId {
    RunId([number; 16])
}

pub(super) fn target(model: &str) -> TargetId {
    let model = ModelName::parse(model).expect("a plain name");
    TargetId { model, environment: Environment::parse("production").expect("a plain name") }
}

pub(super) fn attempt(run: RunId, number: u32) -> AttemptId {
    AttemptId { owner: StreamId::Run(run), number }
}

pub(super) fn run_row(number: u8, model: &str, state: &str, started_at: u64) -> RunRow {
    RunRow {
        run: run_id(number),
        partition: 0,
        target: target(model),
        model: ModelName::parse(model).expect("a plain name"),
        version: Version::parse("v1").expect("a plain name"),
        workflow: WorkflowName::parse("careful").expect("a plain name"),
        workflow_digest: Digest::of(b"workflow"),
        state: state.to_owned(),
        ended: matches!(state, "blocked" | "retired"),
        paused: false,
        started_at: Timestamp(started_at),
        updated_at: Timestamp(started_at + 1),
        last_seq: u64::from(number),
        transitions: 1,
        waits: "people".to_owned(),
        outstanding: 2,
        wake_at: Some(Timestamp(started_at + 60_000)),
        withheld: Withheld {
            quarantined: Some("Report failed".into()),
            parked: Some("newer".into()),
            held: 2,
        },
        chapter: Some(ChapterAt { seq: 7, before: 300 }),
    }
}

pub(super) fn target_row(model: &str) -> TargetRow {
    TargetRow {
        target: target(model),
        partition: 0,
        live: Some((Version::parse("v1").expect("a plain name"), Digest::of(b"bundle"))),
        slot: Some(run_id(1)),
        under_way: 1,
        frozen: true,
        generation: 7,
        updated_at: Timestamp(9),
        last_seq: 3,
        transitions: 3,
        outstanding: 0,
        wake_at: None,
        withheld: Withheld {
            quarantined: Some("Report failed".into()),
            parked: Some("newer".into()),
            held: 2,
        },
        chapter: Some(ChapterAt { seq: 7, before: 300 }),
    }
}

/// The `seq`-th record of a partition, alone in its commit.
pub(super) fn commit(partition: u32, seq: u64, streams: Vec<StreamId>) -> Commit {
    let bytes = record(partition, seq);
    Commit {
        partition,
        after: seq - 1,
        head: Head {
            log_id: [7; 16],
            partitions: 2,
            seq,
            hash: Digest::of(&bytes),
            next_offset: seq,
            epoch: 2,
            format: 1,
            in_flight_records_max: 256,
            now: Timestamp(seq * 1_000),
            positions: [seq, 2, 3],
            topics: [0, seq, u64::MAX],
            dispatched: seq - 1,
            losers: 4,
        },
        records: vec![Accepted { seq, offset: seq - 1, bytes, streams }],
        runs: vec![],
        targets: vec![],
        requests: vec![],
        kept: vec![],
        requests_from: 0,
        lacks_rows: false,
    }
}

pub(super) fn kept_state(stream: StreamId, seq: u64, chapter: Option<ChapterAt>) -> KeptState {
    let (version, updated_at) = ("1.2.3".to_owned(), Timestamp(seq + 5));
    KeptState { stream, version, seq, transitions: 300, updated_at, chapter, state: vec![0, 255, seq as u8] }
}

pub(super) fn record(partition: u32, seq: u64) -> Vec<u8> {
    format!("record {seq} of partition {partition}").into_bytes()
}

pub(super) fn request_row(input_id: &str, seq: u64) -> RequestRow {
    let refused = Refusal {
        kind: Kind::NotEntitled,
        code: "NOT_ENTITLED".into(),
        text: "expected \u{1f600}".into(),
        hint: Some("ask".into()),
    };
    RequestRow {
        input_id: input_id.into(),
        content: Digest::of(input_id.as_bytes()),
        seq,
        refused: (seq > 2).then_some(refused),
    }
}
