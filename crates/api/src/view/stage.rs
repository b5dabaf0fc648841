//! Stages of a run: state, judgements, evidence; votes of a gate, steps of a rollout, windows of a monitor.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Who;

/// A name and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedText {
    pub name: String,
    pub value: String,
}

/// A name and a number; no number when it is not finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NamedNumber {
    pub name: String,
    pub value: Option<f64>,
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    pub name: String,
    /// `package`, `stage-test`, `gate`, `rollout`, `monitor`.
    pub kind: String,
    /// `pending`, `skipped`, `working`, `waiting`, a verdict, or `gave_up`.
    pub state: String,
    /// Why it was skipped or gave up.
    pub why: Option<String>,
    pub began_at: Option<String>,
    /// Stages that must have ended well before.
    pub needs: Vec<String>,
    /// Tries that failed in a row.
    pub failures: u32,
    pub retry_at: Option<String>,
    /// The latest judgement of each check.
    pub judged: Vec<JudgementView>,
    /// In force: neither void nor replaced.
    pub evidence: Vec<EvidenceView>,
    pub gate: Option<GateView>,
    pub rollout: Option<RolloutView>,
    pub monitor: Option<MonitorView>,
}

/// What was concluded about one check, with the numbers it was concluded from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgementView {
    pub check: String,
    pub verdict: String,
    /// The formula, with its version.
    pub method: String,
    pub value: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// What it was held against.
    pub bound: Option<f64>,
    /// Observations of the candidate.
    pub n: u64,
    pub terms: Vec<NamedNumber>,
    pub note: Option<String>,
}

/// All that one attempt measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    pub digest: String,
    pub measurements: Vec<MeasurementView>,
    pub findings: Vec<FindingView>,
    pub blobs: Vec<BlobView>,
}

/// Sufficient statistics of one check on one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasurementView {
    pub check: String,
    pub method: String,
    /// `candidate` or `live`.
    pub arm: String,
    pub n: u64,
    pub sum: Option<f64>,
    pub sum_sq: Option<f64>,
    pub counts: Vec<u64>,
    pub values: Vec<NamedNumber>,
    pub unit: String,
}

/// Something that is wrong with what was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    pub check: String,
    pub code: String,
    pub text: String,
    /// The field of the event to look at, where the publisher can mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Bytes in the blob store; read them at `/v1/evidence/{digest}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobView {
    pub digest: String,
    pub kind: String,
    pub size_bytes: u64,
}

/// The policy's verdict and the votes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateView {
    pub policy: Option<String>,
    pub terms: Vec<TermView>,
    /// The digest that a vote must name; absent before people were asked.
    pub asked: Option<String>,
    pub expires_at: Option<String>,
    pub four_eyes: bool,
    /// Which roles must approve.
    pub seats: Vec<SeatsView>,
    pub votes: Vec<VoteView>,
    /// What the votes named when the gate ended.
    pub decided_on: Option<String>,
}

/// One term of a policy, as it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TermView {
    pub name: String,
    pub rule: String,
    pub verdict: String,
    /// Each sub-term with its value.
    pub values: Vec<NamedText>,
}

/// How many people of a role must approve, and how many did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatsView {
    pub role: String,
    pub asked: u32,
    pub given: u32,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VoteView {
    pub role: String,
    pub who: Who,
    pub evidence: String,
}

/// Where a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// `blue-green` or `canary`.
    pub strategy: String,
    pub steps: Vec<StepView>,
    /// The step it is in, from 1; absent before the first.
    pub step: Option<u32>,
    /// Such as `5%`.
    pub weight: String,
    pub weight_basis_points: u16,
    /// It may move the target's traffic.
    pub has_slot: bool,
    /// Every server has the release loaded.
    pub prepared: bool,
    pub entered_at: Option<String>,
    pub generation_requested: Option<u64>,
    pub generation_observed: Option<u64>,
    pub observed_at: Option<String>,
    pub bake_from: Option<String>,
    pub exposed_since: Option<String>,
    pub looked_at: Option<String>,
    /// The verdict of the latest judged step.
    pub verdict: Option<String>,
    /// Why it stays where it is until somebody releases it.
    pub held: Option<String>,
    pub plan: Option<PlanView>,
}

/// One declared step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    pub weight: String,
    pub samples: u64,
    pub bake: String,
    pub deadline: Option<String>,
}

/// What a rollout will take, told before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    pub digest: String,
    pub requests_per_second: Option<f64>,
    pub hours: Option<f64>,
    pub requests_exposed: Option<f64>,
    /// The smallest difference of a rate that its samples can show.
    pub detectable: Option<f64>,
}

/// Which window a monitor is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonitorView {
    pub window: String,
    pub window_from: Option<String>,
    /// How many windows were judged.
    pub windows: u64,
    pub last: Option<String>,
    /// Checks whose alert is raised.
    pub alerts: Vec<String>,
}
