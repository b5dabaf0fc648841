//! Runs: a line of a list, and all that is true of one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NamedText, StageView};

/// One run, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunLine {
    pub run: String,
    pub model: String,
    pub version: String,
    pub target: String,
    pub workflow: String,
    /// `active`, `live`, `standby`, `leaving`, or how it ended.
    pub state: String,
    pub ended: bool,
    pub paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    pub started_at: String,
    pub updated_at: String,
    /// The last record that touches it.
    pub seq: u64,
    pub transitions: u64,
    /// What it waits for, short; empty when it ended.
    pub waits: String,
}

/// Nothing is decided on a run or target, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithheldView {
    /// A decision failed. It stays at its last good state until somebody asks `resolve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// This binary cannot read one of its records: it needs an upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// How many inputs wait, to be decided in order.
    pub held: u32,
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunList {
    pub runs: Vec<RunLine>,
    /// Give it as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// All that is true of a run after record `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    pub run: String,
    pub model: String,
    pub version: String,
    pub target: String,
    pub workflow: String,
    pub workflow_digest: String,
    pub state: String,
    pub ended: bool,
    pub paused_since: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    pub started_at: String,
    /// The recorded time of the last record that touches it.
    pub updated_at: String,
    /// The last record that touches it, of those that were folded.
    pub seq: u64,
    /// How many records touch it, of those that were folded.
    pub transitions: u64,
    /// SHA-256 of the state's canonical bytes: the same in every binary that folds the same log.
    pub state_sha256: String,
    /// Which chapter of its stream it is in; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chapter: Option<u32>,
    /// Where the event came from: CloudEvents `source` and `id`.
    pub source: String,
    pub event_id: String,
    pub owner: Option<String>,
    pub risk_tier: Option<String>,
    pub artifact: ArtifactView,
    /// Where the model comes from, by name. What is not here was not said.
    pub lineage: Vec<NamedText>,
    /// The release it brings, once it is packed.
    pub release: Option<ReleaseView>,
    pub bundle: Option<BundleView>,
    /// The release that served the target when the latest stage began.
    pub live: Option<ReleaseView>,
    pub live_since: Option<String>,
    /// The latest generation that was raised for it.
    pub generation: Option<u64>,
    pub leaving: Option<LeavingView>,
    pub incidents: u32,
    pub stages: Vec<StageView>,
    /// Attempts without an answer yet.
    pub attempts: Vec<AttemptView>,
    pub attempts_issued: u32,
    /// What it waits for; empty when it ended.
    pub waits: Vec<WaitView>,
}

/// The bytes that training made, as the event names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    pub uri: String,
    pub sha256: String,
    pub size: Option<u64>,
    pub format: Option<String>,
}

/// A bundle that can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    pub version: String,
    pub bundle: String,
    /// The run that brought it; absent when it was adopted.
    pub run: Option<String>,
}

/// The package of a model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleView {
    pub digest: String,
    pub size_bytes: u64,
    pub format: String,
    pub artifact: String,
    pub signed_by: Option<String>,
    /// What differs from the live release, by part: `same`, `changed`, `unknown`.
    pub change: Vec<NamedText>,
}

/// Traffic is being taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeavingView {
    /// How the run will end.
    pub end: String,
    pub cause: String,
    pub since: String,
    pub generation: Option<u64>,
    pub observed_at: Option<String>,
    pub overdue: bool,
}

/// A work order without an answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    pub attempt: String,
    pub stage: String,
    pub purpose: String,
    pub issued_at: String,
}

/// One thing a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitView {
    /// `command`, `timer`, `people`, `slot`, `thaw`, `prepare`, `facts`, `samples`, `resume`, `replaced`, `target`.
    pub kind: String,
    pub text: String,
    pub until: Option<String>,
}

/// All that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitsView {
    pub run: String,
    pub state: String,
    pub seq: u64,
    pub waits: Vec<WaitView>,
}
