//! What people and tools ask of runs and targets, and what they are answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks something of a run. Which fields are needed depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    pub kind: RunRequestKind,
    /// Of `approve`, `reject`, `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Of `approve`, `reject`: the role in which the person votes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Of `approve`, `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// Of `approve`, `reject`: the digest of the evidence that was looked at, as the gate shows it in `asked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Of all other kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `promote`: the share to go to, such as `25%` or `2500bp`; without it one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of `resolve`: the input that failed is not decided again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunRequestKind {
    Approve,
    Reject,
    Pause,
    Resume,
    Abort,
    Promote,
    Retry,
    /// Lifts a quarantine: what is held is decided then, in order.
    Resolve,
}

/// Asks something of a target. Which fields are needed depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetRequest {
    pub kind: TargetRequestKind,
    pub reason: String,
    /// Of `roll_back`: the bundle to go back to; without it the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of `kill`, `adopt`: the bundle's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Of `adopt`: the version that the bundle is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of `freeze`: RFC 3339; without it until somebody unfreezes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Of `resolve`: the input that failed is not decided again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetRequestKind {
    RollBack,
    Kill,
    Freeze,
    Unfreeze,
    Adopt,
    /// Lifts a quarantine: what is held is decided then, in order.
    Resolve,
}

/// The answer to a request that was not refused; a refusal is a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestAnswer {
    /// Ask again with it as `Idempotency-Key` to get the same answer.
    pub id: String,
    pub outcome: RequestOutcome,
    /// The record of the request, when it was accepted.
    pub seq: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// It is in the log and acted upon.
    Accepted,
    /// It is not decided yet.
    Pending,
}
