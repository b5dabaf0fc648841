//! One value of every variant, in two sizes: `full` has all that may be there, the other nothing that may be
//! absent.

mod message;
mod run;
mod state;
mod target;

use std::sync::Arc;

use domain::check::Judgement;
use domain::definition::{self, Define, Pinned};
use domain::evidence::{Arm, BlobRef, Change, ChangeVector, Evidence, Finding, Measurement, Text};
use domain::model::{Artifact, Claim, Lineage, Release, Signature, Tensor, TestFile, Trained, TrainingSet};
use domain::name::{AttemptId, CheckName, Digest, ModelName, Role, RunId, StageName, StreamId, Subject};
use domain::name::{Environment, TargetId, Version, WorkflowName};
use domain::roles::{Actor, RoleMap};
use domain::time::{Millis, Timestamp};
use domain::verdict::Verdict;
use domain::weight::Weight;
use domain::work::{Bundle, GatewayObserved, Outcome, Packed, Planned, ServerLoaded};
use domain::workflow::{Trigger, WhileRunning, Workflow};

use crate::codec::{Definitions, Parsers};

pub(crate) const WORKFLOW: &str = "workflow: sample";
pub(crate) const ROLES: &str = "operator: [ada]";

/// A hard float: a negative zero, the smallest, one that no decimal writes.
pub(crate) const HARD: [f64; 4] = [-0.0, f64::MIN_POSITIVE, 0.1 + 0.2, -1.797e308];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) full: bool,
}

pub(crate) const BOTH: [Sample; 2] = [Sample { full: true }, Sample { full: false }];

pub(crate) fn parsers() -> Parsers {
    Parsers {
        workflow: |text| {
            let name = text.strip_prefix("workflow: ").ok_or("not a workflow")?;
            let name = WorkflowName::parse(name).map_err(|error| error.to_string())?;
            let environment = Environment::parse("production").unwrap();
            let trigger = Trigger { models: vec![], environment, while_running: WhileRunning::Queue };
            Ok(Workflow { name, trigger, stages: vec![] })
        },
        roles: |text| match text.split_once(": [") {
            Some((role, _)) => {
                let role = Role::parse(role).map_err(|error| error.to_string())?;
                Ok(RoleMap { members: [(role, [Subject::parse("ada").unwrap()].into())].into() })
            }
            None => Err("not roles".to_owned()),
        },
        rule: |text| crate::rule::parse(text).map_err(|problems| problems.to_string()),
    }
}

/// Knows the two definitions of the samples.
pub(crate) fn known() -> Definitions {
    let mut known = Definitions::new(parsers());
    known.insert(definition::Kind::Workflow, WORKFLOW).unwrap();
    known.insert(definition::Kind::Roles, ROLES).unwrap();
    known
}

pub(crate) fn text(text: &str) -> Text {
    text.into()
}
pub(crate) fn digest(seed: u8) -> Digest {
    Digest([seed; 32])
}
pub(crate) fn run_id() -> RunId {
    RunId(*b"0123456789abcdef")
}
pub(crate) fn target_id() -> TargetId {
    TargetId::parse("fraud@production").unwrap()
}
pub(crate) fn stage() -> StageName {
    StageName::parse("canary").unwrap()
}
pub(crate) fn check() -> CheckName {
    CheckName::parse("error-rate").unwrap()
}
pub(crate) fn role() -> Role {
    Role::parse("ml").unwrap()
}
pub(crate) fn subject() -> Subject {
    Subject::parse("ada").unwrap()
}
pub(crate) fn at() -> Timestamp {
    Timestamp(1_795_219_199_999)
}
pub(crate) fn weight() -> Weight {
    Weight::basis_points(2_500).unwrap()
}
pub(crate) fn pinned_roles() -> Pinned<RoleMap> {
    let value = Arc::new((parsers().roles)(ROLES).unwrap());
    Pinned { digest: Digest::of(ROLES.as_bytes()), value }
}
pub(crate) fn pinned_workflow() -> Pinned<Workflow> {
    let value = Arc::new((parsers().workflow)(WORKFLOW).unwrap());
    Pinned { digest: Digest::of(WORKFLOW.as_bytes()), value }
}

impl Sample {
    pub(crate) fn maybe<T>(self, value: T) -> Option<T> {
        self.full.then_some(value)
    }
    pub(crate) fn list<T>(self, values: Vec<T>) -> Vec<T> {
        if self.full { values } else { vec![] }
    }
    pub(crate) fn maybe_text(self, value: &str) -> Option<Text> {
        self.maybe(text(value))
    }

    pub(crate) fn release(self) -> Release {
        Release { version: Version::parse("v7").unwrap(), bundle: digest(1), run: self.maybe(run_id()) }
    }
    pub(crate) fn actor(self) -> Actor {
        let (issuer, method) = (text("modelrail"), text("token"));
        Actor { subject: subject(), issuer, method, on_behalf_of: self.maybe(subject()) }
    }
    pub(crate) fn attempt(self) -> AttemptId {
        let owner = if self.full { StreamId::Run(run_id()) } else { StreamId::Target(target_id()) };
        AttemptId { owner, number: 3 }
    }
    pub(crate) fn finding() -> Finding {
        Finding { check: check(), code: text("MODEL_UNREADABLE"), text: text("expected a model") }
    }
    pub(crate) fn blob() -> BlobRef {
        BlobRef { digest: digest(2), kind: text("profile"), size: u64::MAX }
    }

    pub(crate) fn evidence(self) -> Evidence {
        let measurement = |arm| Measurement {
            n: 12_345,
            sum: HARD[0],
            sum_sq: HARD[2],
            counts: self.list(vec![0, 1, u64::MAX]),
            values: self.list(vec![(text("p99_ms"), HARD[1]), (text("zero"), -0.0)]),
            unit: text("requests"),
            inputs: self.maybe(digest(3)),
            ..Measurement::new(check(), "error-count/1", arm)
        };
        Evidence {
            digest: digest(4),
            measurements: self.list(vec![measurement(Arm::Candidate), measurement(Arm::Live)]),
            findings: self.list(vec![Self::finding()]),
            blobs: self.list(vec![Self::blob()]),
        }
    }

    pub(crate) fn signature(self) -> Signature {
        let tensor = Tensor { name: text("x"), datatype: text("FP32"), shape: self.list(vec![-1, 4]) };
        Signature { inputs: self.list(vec![tensor.clone()]), outputs: vec![tensor] }
    }

    pub(crate) fn bundle(self) -> Bundle {
        let change = ChangeVector { model: Change::Changed, code: Change::Same, ..ChangeVector::default() };
        Bundle {
            digest: digest(1),
            size: 1_000,
            format: text("onnx"),
            artifact: digest(5),
            signature: self.signature(),
            signed_by: self.maybe_text("SHA256:key"),
            change,
        }
    }

    pub(crate) fn plan(self) -> Planned {
        Planned {
            digest: digest(6),
            requests_per_second: HARD[3],
            hours: self.maybe(-0.0),
            requests_exposed: self.maybe(HARD[2]),
            detectable: self.maybe(HARD[1]),
        }
    }

    pub(crate) fn server(self) -> ServerLoaded {
        let bundles = self.list(vec![digest(1), digest(2)]);
        ServerLoaded {
            server: text("server-1"),
            bundles,
            failed: self.list(vec![Self::finding()]),
            heard_at: at(),
        }
    }

    pub(crate) fn gateway(self) -> GatewayObserved {
        let generation = domain::routes::Generation(7);
        let override_to = self.maybe(self.release());
        let killed = self.maybe(digest(9)).into_iter().collect();
        GatewayObserved { gateway: text("gateway-1"), generation, override_to, killed, heard_at: at() }
    }

    pub(crate) fn trained(self) -> Trained {
        let file = TestFile { uri: text("file:eval.csv"), sha256: digest(7), label: self.maybe_text("y") };
        let set = TrainingSet {
            uri: text("s3:train"),
            version: self.maybe_text("3"),
            sha256: self.maybe(digest(8)),
            rows: self.maybe(10),
        };
        let lineage = Lineage {
            run_system: self.maybe_text("mlflow"),
            run_id: self.maybe_text("1"),
            run_url: self.maybe_text("https:run"),
            code_repo: self.maybe_text("repo"),
            code_commit: self.maybe_text("abc"),
            code_dirty: self.maybe(false),
            training_sets: self.list(vec![set]),
            features_view: self.maybe_text("view"),
            features_schema_version: self.maybe_text("2"),
            hyperparameters: self.list(vec![(text("depth"), text("4"))]),
            environment_lock: self.maybe_text("lock"),
            environment_image: self.maybe_text("image"),
        };
        let claim = Claim {
            name: text("auc"),
            value: HARD[2],
            n: self.maybe(100),
            slice: self.maybe_text("eu"),
            dataset: self.maybe_text("eval"),
        };
        Trained {
            source: text("/training"),
            id: text("1"),
            model: ModelName::parse("fraud").unwrap(),
            version: Version::parse("v7").unwrap(),
            artifact: Artifact {
                uri: text("file:model.onnx"),
                sha256: digest(5),
                size: self.maybe(1_000),
                format: self.maybe_text("onnx"),
            },
            signature: self.signature(),
            lineage,
            claims: self.list(vec![claim]),
            evaluation: self.maybe(file.clone()),
            baseline: self.maybe(file),
            risk_tier: self.maybe_text("high"),
            owner: self.maybe(subject()),
            publisher: self.maybe(subject()),
            traceparent: self.maybe_text("00-1-2-01"),
        }
    }

    pub(crate) fn judgement(self, verdict: Verdict) -> Judgement {
        Judgement {
            value: self.maybe(HARD[0]),
            lower: self.maybe(HARD[1]),
            upper: self.maybe(HARD[2]),
            bound: self.maybe(HARD[3]),
            n: 9,
            terms: self.list(vec![(text("live.rate"), 0.25)]),
            note: self.maybe_text("no counterpart"),
            ..Judgement::new(verdict, "two-proportion-sequential/1")
        }
    }

    pub(crate) fn outcomes(self) -> Vec<Outcome> {
        vec![
            Outcome::Packed(Packed {
                evidence: self.evidence().into(),
                bundle: self.maybe(self.bundle().into()),
            }),
            Outcome::Measured(self.evidence().into()),
            Outcome::Planned(self.plan()),
            Outcome::Notified {
                review: self.maybe(Self::blob()),
                delivered: self.list(vec![text("mail"), text("")]),
            },
            Outcome::Prepared { servers: self.list(vec![self.server()]) },
            Outcome::Applied { gateways: self.list(vec![self.gateway()]) },
            Outcome::CouldNotTell {
                code: text("UNREACHABLE"),
                reason: text("no route"),
                retry_after: self.maybe(Millis(500)),
            },
        ]
    }

    pub(crate) fn defines(self) -> Vec<Define> {
        let actor = self.maybe(self.actor());
        let define = |kind, text: &str, roles| Define {
            actor: actor.clone(),
            kind,
            digest: Digest::of(text.as_bytes()),
            text: text.into(),
            roles,
        };
        vec![
            define(definition::Kind::Workflow, WORKFLOW, None),
            define(definition::Kind::Roles, ROLES, Some(pinned_roles())),
        ]
    }
}
