//! What the pieces are measured on: an engine in memory, one workflow, and runs on their way through it.

use std::path::PathBuf;
use std::sync::Arc;

use domain::evidence::{ChangeVector, Evidence};
use domain::model::{Artifact, Lineage, Signature, Trained};
use domain::name::{Digest, TargetId, Version};
use domain::time::{Millis, Timestamp};
use domain::transition::{Input, Step, Transition};
use domain::work::{Bundle, Order, Outcome, Packed};
use engine::chain::Identity;
use engine::embedded::{Engine, Passed};
use engine::partition::{Bounds, Config, Format, Redispatch, WorkOrder};
use engine::port::clock::Reading;
use engine::port::log::Log as _;
use engine::port::memory;
use engine::port::store::Embedded;
use engine::replay::{self, Reader, States};
use engine::request::{Report, Said, Trigger, WorkerAnswer};
use engine::token::Key;
use rocks::{Folder, NewLog};
use wire::codec::Definitions;
use wire::record::{self, Body, Lane, Record};

pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000);

const WORKFLOW: &str = r#"
workflow: hot
trigger: { models: ["*"], while_running: queue }
stages:
  - { name: package, kind: package }
  - { name: staging, kind: stage-test, with: { checks: [{ check: smoke }] } }
  - { name: policy, kind: gate, with: { require: ["model.version != ''"] } }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 0s } }
"#;

fn identity() -> Identity {
    Identity { log_id: None, partition: 0, partitions: 1 }
}

fn engine(database: &Arc<memory::Embedded>) -> Engine {
    let config = Config {
        log_id: [9; 16],
        partition: 0,
        partitions: 1,
        binary: "bench".into(),
        parsers: wire::definitions::parsers(),
        key: Key([3; 32]),
        redispatch: Redispatch::All,
        format: Format::default(),
        bounds: Bounds::default(),
    };
    let store = Arc::clone(database) as Arc<dyn Embedded>;
    let mut engine = Engine::open(&config, store, [1; 16]).expect("an empty log opens");
    // The workflow is recorded with its first use, and no more after.
    say(&mut engine, Lane::Triggers, trigger(0));
    pass(&mut engine);
    engine
}

fn pass(engine: &mut Engine) -> Passed {
    engine.pass(Reading { wall: START, monotonic: Millis(START.0) }).expect("memory does not fail")
}

fn say(engine: &mut Engine, lane: Lane, said: Said) {
    engine.offer(0, lane, said, None, None).expect("there is room");
}

/// The trigger of a target of its own.
fn trigger(number: usize) -> Said {
    let target = TargetId::parse(&format!("model-{number}@production")).expect("a target");
    let workflow = wire::definitions::pin_workflow(WORKFLOW).expect("a sound workflow");
    let trained = Trained {
        source: "/bench".into(),
        id: "v1".into(),
        model: target.model.clone(),
        version: Version::parse("v1").expect("a plain name"),
        artifact: Artifact {
            uri: "file:model.onnx".into(),
            sha256: Digest::of(&number.to_be_bytes()),
            size: None,
            format: None,
        },
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
    Said::Trigger(Box::new(Trigger {
        target,
        trained: Arc::new(trained),
        workflow,
        workflow_text: WORKFLOW.into(),
    }))
}

/// What the package worker answers; nothing to another's order.
fn packed(order: WorkOrder) -> Option<Said> {
    let Order::Package(package) = &order.command.order else { return None };
    let artifact = package.trained.artifact.sha256;
    let evidence =
        Evidence { digest: order.command.effect_key, measurements: vec![], findings: vec![], blobs: vec![] };
    let bundle = Bundle {
        digest: artifact,
        size: 1,
        format: "onnx".into(),
        artifact,
        signature: Signature::default(),
        signed_by: None,
        change: ChangeVector::default(),
    };
    let answer = WorkerAnswer::Done(Outcome::Packed(Packed {
        evidence: evidence.into(),
        bundle: Some(bundle.into()),
    }));
    let report = Report { attempt: order.command.attempt, token: order.token, answer };
    Some(Said::Report(Box::new(report)))
}

/// An engine with inputs that wait for its next pass.
pub(crate) struct Waiting(Engine);

impl Waiting {
    pub(crate) fn triggers(count: usize) -> Self {
        let mut engine = engine(&Arc::new(memory::Embedded::new(1)));
        (1..=count).for_each(|number| say(&mut engine, Lane::Triggers, trigger(number)));
        Self(engine)
    }

    pub(crate) fn outcomes(count: usize) -> Self {
        let Self(mut engine) = Self::triggers(count);
        let orders = pass(&mut engine).orders;
        orders.into_iter().filter_map(packed).for_each(|report| say(&mut engine, Lane::Outcomes, report));
        Self(engine)
    }

    pub(crate) fn pass(&mut self) -> Passed {
        pass(&mut self.0)
    }
}

/// A record, and what stood before it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) record: Record,
    pub(crate) bytes: Vec<u8>,
    pub(crate) known: Definitions,
    pub(crate) before: States,
}

/// A run's start with its entry at the target, and the outcome of its first stage.
pub(crate) fn cases() -> Vec<Case> {
    let database = Arc::new(memory::Embedded::new(1));
    let mut engine = engine(&database);
    say(&mut engine, Lane::Triggers, trigger(1));
    let orders = pass(&mut engine).orders;
    orders.into_iter().filter_map(packed).for_each(|report| say(&mut engine, Lane::Outcomes, report));
    pass(&mut engine);
    let landed = database.read(0, 0, usize::MAX).expect("memory does not fail");
    let parsers = wire::definitions::parsers();
    let mut known = Definitions::new(parsers);
    let mut cases = vec![];
    for landed in &landed {
        known.register(&landed.bytes).expect("a record of this engine");
        let record = record::decode(&landed.bytes, &known).expect("a record of this engine");
        let Body::Transition(recorded) = &record.body else { continue };
        let name = match recorded.transition.steps.first().map(Step::input_name) {
            Some("Start") => "a trigger",
            Some("Report") => "an outcome",
            _ => continue,
        };
        let records = replay::from_log(&*database, 0);
        let before = replay::fold(records, Reader::new(identity(), parsers), record.seq - 1);
        let before = before.expect("a log of this engine");
        let (bytes, known) = (landed.bytes.clone(), known.clone());
        cases.push(Case { name, record, bytes, known, before });
    }
    // The later of each: the workflow is recorded by then.
    cases.reverse();
    let latest = |name| cases.iter().position(|case| case.name == name).expect("the log has one");
    let (trigger, outcome) = (latest("a trigger"), latest("an outcome"));
    let mut number = 0..;
    cases.retain(|_| number.next().is_some_and(|number| number == trigger || number == outcome));
    cases
}

/// The input that a transition began with.
pub(crate) fn outside(transition: &Transition) -> Input {
    match &transition.steps[0] {
        Step::Definitions { input, .. } => Input::Define(input.clone()),
        Step::Run { run, input, .. } => Input::Run(*run, input.clone()),
        Step::Target { target, input, .. } => Input::Target(target.clone(), input.clone()),
    }
}

/// A data folder that goes away with this. Its fields go in this order: closed before its files are deleted.
pub(crate) struct Place {
    folder: Folder,
    _path: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let around = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = tempfile::tempdir_in(around).expect("a folder");
        let new = NewLog { log_id: [9; 16], partitions: 1 };
        let folder = Folder::open_or_create(path.path(), &new).expect("an empty folder opens");
        Self { folder, _path: path }
    }

    pub(crate) fn database(&self) -> Arc<rocks::Database> {
        self.folder.database()
    }
}
