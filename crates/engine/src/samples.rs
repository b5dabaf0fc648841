//! A small model world for tests: one workflow, triggers, roles, and a worker that answers every order the same
//! way each time.

use std::sync::Arc;

use domain::definition::{Define, Kind, Pinned};
use domain::evidence::{ChangeVector, Evidence};
use domain::model::{Artifact, Lineage, Signature, Trained};
use domain::name::{
    Digest, Environment, ModelName, Role, StageName, Subject, TargetId, Version, WorkflowName,
};
use domain::roles::{Actor, RoleMap};
use domain::routes::Sticky;
use domain::time::{Millis, Timestamp};
use domain::verdict::On;
use domain::weight::Weight;
use domain::work::{Bundle, GatewayObserved, Order, Outcome, Packed, Planned, ServerLoaded};
use domain::workflow::{
    PackageWith, Retry, RolloutStep, RolloutWith, Stage, Strategy, Trigger as When, WhileRunning, With,
    Workflow,
};
use wire::codec::Parsers;
use wire::definitions::parsers;

use crate::partition::{Bounds, Config, Format, Redispatch};
use crate::request::{Request, RunAsk, Said, TargetAsk, Trigger};
use crate::token::Key;

pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000);
pub(crate) const WORKFLOW: &str = "workflow: package, then blue-green";
pub(crate) const ROLES: &str = "operator: ann; ml: mo";

pub(crate) fn config(partitions: u32) -> Config {
    Config {
        log_id: [9; 16],
        partition: 0,
        partitions,
        binary: "test".into(),
        parsers: Parsers { workflow: |_| Ok(workflow()), roles: |_| Ok(roles()), ..parsers() },
        key: Key([3; 32]),
        redispatch: Redispatch::All,
        format: Format::default(),
        bounds: Bounds::default(),
    }
}

fn name(text: &str) -> StageName {
    StageName::parse(text).unwrap()
}

pub(crate) fn workflow() -> Workflow {
    let retry = Retry { attempts: 3, backoff_min: Millis::seconds(1), backoff_max: Millis::seconds(4) };
    let stage = |text, needs, with| Stage {
        name: name(text),
        needs,
        when: None,
        timeout: Millis::minutes(30),
        retry,
        with,
    };
    let package =
        PackageWith { formats: vec!["onnx".into()], size_max_bytes: 1 << 20, require: vec![], sign: false };
    let step = RolloutStep { weight: Weight::ALL, samples: 0, bake: Millis::seconds(5), deadline: None };
    let rollout = RolloutWith {
        strategy: Strategy::BlueGreen,
        sticky: Sticky::None,
        steps: vec![step],
        analysis: vec![],
        alpha: 0.05,
        share_cap: Weight::ALL,
        tick: Millis::seconds(60),
        on: On::LIVE,
        leave_deadline: Millis::seconds(60),
        keep_warm: Millis::hours(24),
    };
    Workflow {
        name: WorkflowName::parse("small").unwrap(),
        trigger: When {
            models: vec!["*".into()],
            environment: Environment::parse("production").unwrap(),
            while_running: WhileRunning::Supersede,
        },
        stages: vec![
            stage("package", vec![], With::Package(package)),
            stage("rollout", vec![0], With::Rollout(rollout)),
        ],
    }
}

fn roles() -> RoleMap {
    let mut roles = RoleMap::default();
    for (role, who) in [("operator", "ann"), ("ml", "mo")] {
        let (role, who) = (Role::parse(role).unwrap(), Subject::parse(who).unwrap());
        roles.members.entry(role).or_default().insert(who);
    }
    roles
}

pub(crate) fn target(model: &str) -> TargetId {
    TargetId {
        model: ModelName::parse(model).unwrap(),
        environment: Environment::parse("production").unwrap(),
    }
}

pub(crate) fn trigger(model: &str, id: &str) -> Trigger {
    let artifact = Artifact {
        uri: format!("file:///models/{model}/{id}").into(),
        sha256: Digest::of(format!("{model} {id}").as_bytes()),
        size: None,
        format: None,
    };
    let trained = Trained {
        source: "/training".into(),
        id: id.into(),
        model: ModelName::parse(model).unwrap(),
        version: Version::parse(id).unwrap(),
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
    let workflow = Pinned { digest: Digest::of(WORKFLOW.as_bytes()), value: Arc::new(workflow()) };
    Trigger { target: target(model), trained: Arc::new(trained), workflow, workflow_text: WORKFLOW.into() }
}

pub(crate) fn trained(model: &str, id: &str) -> Said {
    Said::Trigger(Box::new(trigger(model, id)))
}

pub(crate) fn define_roles() -> Said {
    let digest = Digest::of(ROLES.as_bytes());
    let roles = Some(Pinned { digest, value: Arc::new(roles()) });
    Said::Request(Box::new(Request::Define(Define {
        actor: None,
        kind: Kind::Roles,
        digest,
        text: ROLES.into(),
        roles,
    })))
}

pub(crate) fn actor(who: &str) -> Actor {
    Actor {
        subject: Subject::parse(who).unwrap(),
        issuer: "modelrail".into(),
        method: "token".into(),
        on_behalf_of: None,
    }
}

pub(crate) fn freeze(model: &str, who: &str, reason: &str) -> Said {
    let ask = TargetAsk::Freeze { until: None, reason: reason.into() };
    Said::Request(Box::new(Request::Target { target: target(model), actor: actor(who), ask }))
}

pub(crate) fn abort(run: domain::name::RunId) -> Said {
    let ask = RunAsk::Abort { reason: "not wanted".into() };
    Said::Request(Box::new(Request::Run { run, actor: actor("ann"), ask }))
}

/// What a worker that always succeeds answers.
pub(crate) fn answer(order: &Order, now: Timestamp) -> Outcome {
    let evidence = |what: &str| Evidence {
        digest: Digest::of(what.as_bytes()),
        measurements: vec![],
        findings: vec![],
        blobs: vec![],
    };
    match order {
        Order::Package(package) => Outcome::Packed(Packed {
            evidence: evidence("package").into(),
            bundle: Some(Arc::new(Bundle {
                digest: Digest::of_parts([&b"bundle"[..], &package.trained.artifact.sha256.0]),
                size: 3,
                format: "onnx".into(),
                artifact: package.trained.artifact.sha256,
                signature: Signature::default(),
                signed_by: None,
                change: ChangeVector::default(),
            })),
        }),
        Order::Test(_) | Order::Measure(_) | Order::Watch(_) => {
            Outcome::Measured(evidence("measured").into())
        }
        Order::Notify(_) => Outcome::Notified { review: None, delivered: vec![] },
        Order::Plan(_) => Outcome::Planned(Planned {
            digest: Digest::of(b"plan"),
            requests_per_second: 0.0,
            hours: None,
            requests_exposed: None,
            detectable: None,
        }),
        Order::Prepare(prepare) => {
            let mut bundles: Vec<Digest> = prepare.releases.iter().map(|release| release.bundle).collect();
            bundles.sort();
            let server = ServerLoaded { server: "s1".into(), bundles, failed: vec![], heard_at: now };
            Outcome::Prepared { servers: vec![server] }
        }
        Order::Apply(apply) => {
            let generation = apply.table.generation;
            let gateway = GatewayObserved {
                gateway: "g1".into(),
                generation,
                override_to: None,
                killed: vec![],
                heard_at: now,
            };
            Outcome::Applied { gateways: vec![gateway] }
        }
    }
}
