//! Work orders to stage workers, and what they answer.
//!
//! Workers measure and act, the core judges. What a worker does outside is absolute ("generation 7: weight 20 %"),
//! carries the effect key as idempotency key and the generation as fencing token, and is read back.

use std::sync::Arc;

use crate::check::Check;
use crate::evidence::{BlobRef, ChangeVector, Evidence, Finding, Text};
use crate::model::{Release, Signature, Trained};
use crate::name::{AttemptId, Digest, Environment, RunId, StageName, StreamId, TargetId};
use crate::routes::{Generation, RouteTable};
use crate::time::{Millis, Timestamp};
use crate::workflow::{GateWith, PackageWith, RolloutWith, StageKind};

/// A work order: one attempt of one command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub attempt: AttemptId,
    pub target: TargetId,
    /// The same for all attempts at the same thing: the idempotency key of everything done outside.
    pub effect_key: Digest,
    pub order: Order,
    /// When the attempt was issued.
    pub issued_at: Timestamp,
    /// Without a sign of life for this long the attempt is given up and the next one issued.
    pub lease: Millis,
    pub traceparent: Option<Text>,
}

impl Command {
    /// Which workers carry it out.
    pub fn stage(&self) -> StageKind {
        match self.order {
            Order::Package(_) => StageKind::Package,
            Order::Test(_) => StageKind::StageTest,
            Order::Notify(_) => StageKind::Gate,
            Order::Plan(_) | Order::Measure(_) | Order::Prepare(_) | Order::Apply(_) => StageKind::Rollout,
            Order::Watch(_) => StageKind::Monitor,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Make the bundle.
    Package(Package),
    /// Run checks against the bundle in a staging environment.
    Test(Test),
    /// Tell the approvers that a gate waits for them.
    Notify(Notify),
    /// Say how long the rollout will take at today's traffic and what it can see.
    Plan(Plan),
    /// Measure both arms of a rollout since its last change of traffic.
    Measure(Measure),
    /// Have exactly these releases loaded, warmed and ready, and say which are.
    Prepare(Prepare),
    /// Make the gateways obey this table, and say what they obey.
    Apply(Apply),
    /// Measure one window of a live release.
    Watch(Watch),
}

impl Order {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Package(_) => "package",
            Self::Test(_) => "test",
            Self::Notify(_) => "notify",
            Self::Plan(_) => "plan",
            Self::Measure(_) => "measure",
            Self::Prepare(_) => "prepare",
            Self::Apply(_) => "apply",
            Self::Watch(_) => "watch",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    pub run: RunId,
    pub stage: StageName,
    pub trained: Arc<Trained>,
    pub with: PackageWith,
    /// What serves the target, to say what changes.
    pub live: Option<Release>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub run: RunId,
    pub stage: StageName,
    pub environment: Environment,
    pub release: Release,
    pub live: Option<Release>,
    pub trained: Arc<Trained>,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Notify {
    pub run: RunId,
    pub stage: StageName,
    pub release: Release,
    pub with: GateWith,
    /// The digest that a vote must name.
    pub evidence: Digest,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub run: RunId,
    pub stage: StageName,
    pub live: Option<Release>,
    pub with: RolloutWith,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub run: RunId,
    pub stage: StageName,
    pub candidate: Release,
    /// The release to compare with, when it has a share.
    pub live: Option<Release>,
    /// Predictions since this moment count: when the generation was observed.
    pub since: Timestamp,
    pub generation: Generation,
    /// The candidate's intended share while it was measured, for the sample-ratio test.
    pub share: f64,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Prepare {
    /// The whole set to keep loaded.
    pub releases: Vec<Release>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    pub table: RouteTable,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    pub run: RunId,
    pub stage: StageName,
    pub release: Release,
    pub trained: Arc<Trained>,
    /// The window: from inclusive, to exclusive.
    pub from: Timestamp,
    pub to: Timestamp,
    pub checks: Vec<Check>,
}

/// A worker's answer to a command: measured values and digests, never a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Packed(Packed),
    Measured(Arc<Evidence>),
    Planned(Planned),
    Notified {
        review: Option<BlobRef>,
        delivered: Vec<Text>,
    },
    /// Which of the wanted releases are ready, per server.
    Prepared {
        servers: Vec<ServerLoaded>,
    },
    /// Which generation each gateway obeys.
    Applied {
        gateways: Vec<GatewayObserved>,
    },
    /// It could not be told or done. Tried again, visibly.
    CouldNotTell {
        code: Text,
        reason: Text,
        retry_after: Option<Millis>,
    },
}

impl Outcome {
    /// Whether every number in it is one. NaN equals nothing, not even itself, so it never comes into the log.
    pub fn is_finite(&self) -> bool {
        let all = |evidence: &Evidence| {
            evidence.measurements.iter().all(|m| {
                m.sum.is_finite()
                    && m.sum_sq.is_finite()
                    && m.values.iter().all(|(_, value)| value.is_finite())
            })
        };
        match self {
            Self::Packed(packed) => all(&packed.evidence),
            Self::Measured(evidence) => all(evidence),
            Self::Planned(plan) => {
                let told =
                    [Some(plan.requests_per_second), plan.hours, plan.requests_exposed, plan.detectable];
                told.into_iter().flatten().all(f64::is_finite)
            }
            Self::Notified { .. }
            | Self::Prepared { .. }
            | Self::Applied { .. }
            | Self::CouldNotTell { .. } => true,
        }
    }
}

/// What packaging found. Without a bundle there is a finding that says why.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    pub evidence: Arc<Evidence>,
    pub bundle: Option<Arc<Bundle>>,
}

/// The immutable package of a model version, as packaging made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// The digest of the manifest. From here on only it travels: what was tested is what is served.
    pub digest: Digest,
    pub size: u64,
    pub format: Text,
    /// The digest of the model's own bytes.
    pub artifact: Digest,
    /// As found in the model.
    pub signature: Signature,
    /// The key that signed the manifest, by its fingerprint.
    pub signed_by: Option<Text>,
    pub change: ChangeVector,
}

/// What a rollout will take, told before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub digest: Digest,
    /// Requests a second at the target, lately.
    pub requests_per_second: f64,
    /// Until the last step may be passed; nothing when there is no traffic.
    pub hours: Option<f64>,
    /// Requests that the candidate answers before its last step.
    pub requests_exposed: Option<f64>,
    /// The smallest difference of a rate that the samples of the largest step but the last can show.
    pub detectable: Option<f64>,
}

/// Which releases a model server has loaded, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLoaded {
    pub server: Text,
    /// Bundles, sorted.
    pub bundles: Vec<Digest>,
    /// Those that could not be loaded, with the reason.
    pub failed: Vec<Finding>,
    pub heard_at: Timestamp,
}

/// Which generation a gateway obeys, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayObserved {
    pub gateway: Text,
    pub generation: Generation,
    /// What answers instead while the kill switch of this gateway is on; nothing when nobody does.
    pub override_to: Option<Release>,
    /// The bundles that its kill switch keeps everybody away from; empty while the switch is off.
    pub killed: Vec<Digest>,
    pub heard_at: Timestamp,
}

/// The effect key of what `owner` does in `stage` at `step` under `generation`.
pub fn effect_key(owner: &StreamId, stage: &str, step: u64, generation: Generation) -> Digest {
    let (owner, step, generation) = (owner.to_string(), step.to_be_bytes(), generation.0.to_be_bytes());
    Digest::of_parts([owner.as_bytes(), stage.as_bytes(), &step, &generation])
}
