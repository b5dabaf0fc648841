//! A log of the real engine, read into a mirror as another process reads it: both tell the same history.

use std::sync::Arc;

use domain::model::{Artifact, Lineage, Signature, Trained};
use domain::name::{Digest, TargetId, Version};
use domain::time::{Millis, Timestamp};
use domain::work::Outcome;
use engine::chain::Identity;
use engine::embedded::Engine;
use engine::partition::{Action, Bounds, Config, Format, Partition, Redispatch, Signal};
use engine::port::clock::Reading;
use engine::port::log::{Append, Landed, Log};
use engine::port::memory;
use engine::port::store::{Embedded, Head, Query, Store};
use engine::replay::{self, Reader};
use engine::request::{Report, Said, Trigger, WorkerAnswer};
use engine::token::Key;
use rocks::{Folder, NewLog};
use wire::record::Lane;

const LOG: NewLog = NewLog { log_id: [9; 16], partitions: 1 };
const START: Timestamp = Timestamp(1_800_000_000_000);
const RUNS: u64 = 12;

const WORKFLOW: &str = r#"
workflow: mirrored
trigger: { models: ["*"], while_running: queue }
stages:
  - { name: package, kind: package }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 0s } }
"#;

fn config() -> Config {
    Config {
        log_id: LOG.log_id,
        partition: 0,
        partitions: LOG.partitions,
        binary: "test".into(),
        parsers: wire::definitions::parsers(),
        key: Key([3; 32]),
        redispatch: Redispatch::All,
        format: Format::default(),
        bounds: Bounds::default(),
    }
}

fn reader() -> Reader {
    Reader::new(Identity { log_id: None, partition: 0, partitions: 1 }, wire::definitions::parsers())
}

fn trigger(number: u64) -> Said {
    let target = TargetId::parse(&format!("model-{}@production", number % 5)).unwrap();
    let artifact = Artifact {
        uri: "file:model.onnx".into(),
        sha256: Digest::of(&number.to_be_bytes()),
        size: None,
        format: None,
    };
    let trained = Trained {
        source: "/training".into(),
        id: format!("v{number}").into(),
        model: target.model.clone(),
        version: Version::parse(&format!("v{number}")).unwrap(),
        artifact,
        signature: Signature::default(),
        lineage: Lineage::default(),
        claims: vec![],
        evaluation: None,
        baseline: None,
        risk_tier: None,
        owner: None,
        publisher: None,
        traceparent: None,
    };
    let workflow = wire::definitions::pin_workflow(WORKFLOW).unwrap();
    let workflow_text = WORKFLOW.into();
    Said::Trigger(Box::new(Trigger { target, trained: Arc::new(trained), workflow, workflow_text }))
}

/// A log of runs whose workers can never tell.
fn log() -> memory::Embedded {
    let database = Arc::new(memory::Embedded::new(1));
    let store = Arc::clone(&database) as Arc<dyn Embedded>;
    let mut engine = Engine::open(&config(), store, [1; 16]).unwrap();
    for number in 0..RUNS {
        engine.offer(0, Lane::Triggers, trigger(number), None, None).unwrap();
    }
    let mut now = START;
    for _ in 0..200 {
        for order in engine.pass(Reading { wall: now, monotonic: Millis(now.0) }).unwrap().orders {
            let code = "X".into();
            let outcome = Outcome::CouldNotTell { code, reason: "for a reason".into(), retry_after: None };
            let answer = WorkerAnswer::Done(outcome);
            let report = Report { attempt: order.command.attempt, token: order.token, answer };
            engine.offer(0, Lane::Outcomes, Said::Report(Box::new(report)), None, None).unwrap();
        }
        now = engine.wake_at().map_or(now, |wake| now.max(wake));
    }
    database.copy()
}

/// As brokers have it: control records between, and behind each third record a copy of it, which does not follow.
fn as_landed(log: &memory::Embedded) -> Vec<Landed> {
    let mut offset = 0;
    let mut landed = vec![];
    for (number, bytes) in replay::from_log(log, 0).map(Result::unwrap).enumerate() {
        for _ in 0..=usize::from(number % 3 == 2) {
            landed.push(Landed { offset, bytes: bytes.clone() });
            offset += 1;
        }
        offset += u64::from(number % 4 == 0);
    }
    landed
}

#[test]
fn a_mirror_tells_the_same_history_as_its_log() {
    let log = log();
    let landed = as_landed(&log);
    let path = tempfile::tempdir().unwrap();
    let (folder, _) = Folder::open_mirror(path.path(), &LOG).unwrap();
    let mirror = folder.database();
    let mut machine = Partition::open(config(), Arc::clone(&mirror) as Arc<dyn Store>).unwrap();
    for record in &landed {
        for action in machine.step(Signal::RecordRead(record.clone())) {
            let Action::Commit(commit) = action else {
                panic!("expected to read only, but found {action:?}")
            };
            let seq = commit.head.seq;
            mirror.commit(&[*commit]).unwrap();
            machine.step(Signal::Committed { seq });
        }
    }

    let whole = replay::verify_log(&log, 0, reader(), &|_| {}).unwrap();
    let report = replay::verify_log(&*mirror, 0, reader(), &|_| {}).unwrap();
    assert!(whole.transitions > RUNS * 3 && whole.is_clean(), "{} transitions", whole.transitions);
    assert!(report.is_clean());
    assert_eq!((report.state, report.decided), (whole.state, whole.decided));
    let end = mirror.end(0).unwrap();
    assert_eq!(report.head, Head { next_offset: end, ..whole.head.clone() });
    assert!(end > whole.head.next_offset + 10, "it has holes");
    assert_eq!(report.rows_differing(0, &*mirror).unwrap(), Vec::<String>::new());
    let other = Head { hash: Digest::of(b"another"), ..report.head.clone() };
    let other = replay::Report { head: other, ..report.clone() };
    assert_eq!(other.rows_differing(0, &*mirror).unwrap(), ["the head of partition 0"], "it is compared");

    let folded = replay::fold_log(&*mirror, 0, reader(), &|_| {}).unwrap();
    assert_eq!((folded.state, folded.head), (whole.state, report.head));
    let query = Query { runs_max: 100, ..Query::default() };
    let rows = mirror.runs(&query).unwrap();
    assert_eq!((rows.len() as u64, rows), (RUNS, log.runs(&query).unwrap()));

    // Others may write behind it: only a log of one writer ends with what it accepted.
    log.append(&[Append { partition: 0, records: vec![landed[0].bytes.clone()] }]).unwrap();
    assert!(!mirror.has_one_writer() && replay::fold_log(&log, 0, reader(), &|_| {}).is_ok());
}
