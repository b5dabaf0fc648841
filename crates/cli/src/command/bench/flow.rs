//! The flow that is measured: a whole delivery of five stages, and workers that answer at once.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use domain::definition::Pinned;
use domain::evidence::{Arm, ChangeVector, Evidence, Measurement, Text};
use domain::model::{Artifact, Lineage, Signature, Trained};
use domain::name::{AttemptId, CheckName, Digest, RunId, StreamId, TargetId, Version};
use domain::time::Timestamp;
use domain::work::{Bundle, Command, GatewayObserved, Order, Outcome, Packed, Planned, ServerLoaded};
use domain::workflow::Workflow;
use engine::port::clock::Clock as _;
use engine::request::Trigger;

use crate::node::{CarryOut, SystemClock};

/// Packed, tested, gated by policy, switched blue-green, judged.
pub(super) const DELIVERY: &str = r#"
workflow: bench
trigger: { models: ["*"], while_running: queue }
stages:
  - { name: package, kind: package }
  - { name: staging, kind: stage-test, with: { checks: [{ check: smoke }] } }
  - { name: policy, kind: gate, with: { require: ["model.version != ''"] } }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 0s } }
"#;

/// Packed, tested, and then waiting for people, who have a month.
pub(super) const WAITING: &str = r#"
workflow: bench-waiting
trigger: { models: ["*"], while_running: queue }
stages:
  - { name: package, kind: package }
  - { name: staging, kind: stage-test, with: { checks: [{ check: smoke }] } }
  - { name: board, kind: gate, with: { approvals: [{ role: ml }], expires: 30d } }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 0s } }
"#;

/// Makes triggers of one workflow.
#[derive(Debug)]
pub(super) struct Triggers {
    workflow: Pinned<Workflow>,
    text: Text,
    /// Keeps the runs of one call apart from those of another.
    source: String,
    made: u64,
}

impl Triggers {
    pub(super) fn new(source: String) -> Result<Self, String> {
        Self::of(DELIVERY, source)
    }

    pub(super) fn of(text: &str, source: String) -> Result<Self, String> {
        let workflow = wire::definitions::pin_workflow(text).map_err(|problems| problems.to_string())?;
        Ok(Self { workflow, text: text.into(), source, made: 0 })
    }

    pub(super) fn workflow(&self) -> &Workflow {
        &self.workflow.value
    }

    /// The next version of the target's model.
    pub(super) fn next(&mut self, target: &TargetId) -> Trigger {
        self.made += 1;
        self.numbered(self.made, target)
    }

    /// The trigger of this number: the same for the same number and target.
    pub(super) fn numbered(&self, number: u64, target: &TargetId) -> Trigger {
        let version = format!("v{number}");
        let trained = Trained {
            source: self.source.as_str().into(),
            id: version.as_str().into(),
            model: target.model.clone(),
            version: Version::parse(&version).expect("a letter and digits"),
            artifact: Artifact {
                uri: "file:model.onnx".into(),
                sha256: Digest::of(format!("{} {version}", self.source).as_bytes()),
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
        Trigger {
            target: target.clone(),
            trained: Arc::new(trained),
            workflow: self.workflow.clone(),
            workflow_text: self.text.clone(),
        }
    }
}

/// A run whose last outcome is recorded: of its last stage, or the word that people were asked.
#[derive(Debug)]
pub(super) struct Completed {
    pub run: RunId,
    pub at: Instant,
}

/// Answers every command at once.
#[derive(Debug)]
pub(super) struct NoOp {
    clock: SystemClock,
    /// Attempts whose outcome is the last that a run has, for now.
    last: Mutex<BTreeSet<AttemptId>>,
    completed: Mutex<Sender<Completed>>,
}

impl NoOp {
    pub(super) fn new(completed: Sender<Completed>) -> Self {
        Self {
            clock: SystemClock::default(),
            last: Mutex::new(BTreeSet::new()),
            completed: Mutex::new(completed),
        }
    }

    fn evidence(command: &Command, check: Option<&CheckName>) -> Evidence {
        let passed = |check: &CheckName| Measurement {
            n: 1,
            sum: 1.0,
            ..Measurement::new(check.clone(), "bench/1", Arm::Candidate)
        };
        Evidence {
            digest: command.effect_key,
            measurements: check.map(passed).into_iter().collect(),
            findings: vec![],
            blobs: vec![],
        }
    }

    fn heard_at(&self) -> Timestamp {
        self.clock.wall()
    }
}

impl CarryOut for NoOp {
    fn carry_out(&self, command: &Command, _: &dyn Fn() -> bool, _: &dyn Fn(&str)) -> Outcome {
        match &command.order {
            Order::Package(order) => Outcome::Packed(Packed {
                evidence: Self::evidence(command, None).into(),
                bundle: Some(Arc::new(Bundle {
                    digest: order.trained.artifact.sha256,
                    size: 1,
                    format: "onnx".into(),
                    artifact: order.trained.artifact.sha256,
                    signature: Signature::default(),
                    signed_by: None,
                    change: ChangeVector::default(),
                })),
            }),
            Order::Test(order) => Outcome::Measured(
                Self::evidence(command, order.checks.first().map(|check| &check.name)).into(),
            ),
            Order::Notify(_) => {
                self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(command.attempt.clone());
                Outcome::Notified { review: None, delivered: vec![] }
            }
            Order::Plan(_) => Outcome::Planned(Planned {
                digest: command.effect_key,
                requests_per_second: 10.0,
                hours: Some(1.0),
                requests_exposed: None,
                detectable: None,
            }),
            Order::Measure(_) => {
                self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(command.attempt.clone());
                Outcome::Measured(Self::evidence(command, None).into())
            }
            Order::Watch(_) => Outcome::Measured(Self::evidence(command, None).into()),
            Order::Prepare(order) => {
                let mut bundles: Vec<Digest> = order.releases.iter().map(|release| release.bundle).collect();
                bundles.sort_unstable();
                let server =
                    ServerLoaded { server: "s".into(), bundles, failed: vec![], heard_at: self.heard_at() };
                Outcome::Prepared { servers: vec![server] }
            }
            Order::Apply(order) => Outcome::Applied {
                gateways: vec![GatewayObserved {
                    gateway: "g".into(),
                    generation: order.table.generation,
                    override_to: None,
                    killed: vec![],
                    heard_at: self.heard_at(),
                }],
            },
        }
    }

    fn recorded(&self, attempt: &AttemptId) {
        let StreamId::Run(run) = attempt.owner else { return };
        if self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt) {
            let completed = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody listens any more once the figures are taken.
            drop(completed.send(Completed { run, at: Instant::now() }));
        }
    }
}
