//! Targets: what is live, who moves traffic, what gateways obey, and what was live when.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FindingView, ReleaseView, Who, WithheldView};

/// One target, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetLine {
    pub target: String,
    pub live_version: Option<String>,
    pub live_bundle: Option<String>,
    /// The run that may move traffic.
    pub slot: Option<String>,
    /// How many runs are under way.
    pub under_way: u32,
    pub frozen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    pub generation: u64,
    pub updated_at: String,
    pub seq: u64,
}

/// All targets, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetList {
    pub targets: Vec<TargetLine>,
}

/// All that is true of a target after record `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetView {
    pub target: String,
    pub seq: u64,
    pub transitions: u64,
    pub updated_at: String,
    /// SHA-256 of the state's canonical bytes: the same in every binary that folds the same log.
    pub state_sha256: String,
    /// Which chapter of its stream it is in; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chapter: Option<u32>,
    pub live: Option<LiveView>,
    /// What a rollback goes to.
    pub last_good: Option<ReleaseView>,
    pub last_good_warm_until: Option<String>,
    /// The live release is being rolled back; this is why.
    pub leaving: Option<String>,
    pub slot: Option<String>,
    /// Runs that wait for the slot.
    pub queue: Vec<String>,
    pub under_way: Vec<UnderWayView>,
    /// The generation that was raised last.
    pub generation: u64,
    pub raised_at: Option<String>,
    /// The generation that every gateway heard of obeys.
    pub observed: u64,
    pub routes: Vec<RouteView>,
    pub gateways: Vec<GatewayView>,
    pub servers: Vec<ServerView>,
    pub errands: Vec<ErrandView>,
    pub frozen: Option<FrozenView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<WithheldView>,
    /// Bundles that were rolled back or killed here.
    pub bad: Vec<String>,
}

/// The release that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveView {
    pub release: ReleaseView,
    pub since: String,
    pub generation: u64,
}

/// A run that entered and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnderWayView {
    pub run: String,
    pub version: String,
    /// A generation was raised for it.
    pub moved: bool,
}

/// A release and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteView {
    pub release: ReleaseView,
    pub weight: String,
    pub weight_basis_points: u16,
}

/// What was last heard of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayView {
    pub gateway: String,
    pub generation: u64,
    /// What answers instead while its kill switch is on; nothing when nobody does.
    pub override_to: Option<ReleaseView>,
    /// The bundles that its kill switch keeps everybody away from; empty while the switch is off.
    pub killed: Vec<String>,
    pub heard_at: String,
}

/// What was last heard of a model server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    pub server: String,
    pub bundles: Vec<String>,
    pub failed: Vec<FindingView>,
    pub heard_at: String,
}

/// What a target has done by itself: `prepare` (releases loaded) or `apply` (gateways told).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrandView {
    pub errand: String,
    pub outstanding: bool,
    /// The open attempt's number.
    pub attempt: Option<u32>,
    pub failures: u32,
    pub last_failure: Option<String>,
    pub retry_at: Option<String>,
}

/// No share may be raised here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FrozenView {
    pub until: Option<String>,
    pub by: Option<Who>,
    pub reason: String,
}

/// What was live when, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetHistory {
    pub target: String,
    pub history: Vec<HistoryLine>,
    /// Give it as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One change of who serves, of shares, or of whether shares may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryLine {
    pub seq: u64,
    pub at: String,
    /// `live_changed`, `generation_raised`, `rolled_back`, `killed`, `adopted`, `frozen`, `unfrozen`, `override`,
    /// `quarantined`, `resolved`.
    pub what: String,
    pub from: Option<ReleaseView>,
    pub to: Option<ReleaseView>,
    pub generation: Option<u64>,
    pub routes: Vec<RouteView>,
    pub run: Option<String>,
    pub by: Option<Who>,
    pub cause: Option<String>,
}
