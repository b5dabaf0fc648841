//! Why a run was decided as it was: each stage's verdict with the rule and the recorded values in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JudgementView, TermView, VoteView};

/// Why each stage was judged as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub run: String,
    pub state: String,
    /// How it ended or why it leaves, in words.
    pub why: Option<String>,
    pub seq: u64,
    pub workflow: String,
    /// The digest of the workflow that the run is pinned to.
    pub workflow_digest: String,
    pub stages: Vec<StageExplained>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageExplained {
    pub stage: String,
    pub kind: String,
    pub state: String,
    /// As it was recorded with the latest verdict.
    pub why: Option<String>,
    pub checks: Vec<CheckExplained>,
    /// Of a gate: the policy's terms.
    pub terms: Vec<TermView>,
    /// Of a gate: who approved.
    pub votes: Vec<VoteView>,
}

/// One check: what it asks for, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckExplained {
    pub check: String,
    pub kind: String,
    /// Whether it can stop the run; `false` when it is shown only.
    pub counts: bool,
    /// What the workflow asks for, in words.
    pub asks: String,
    /// The verdict with the numbers it rests on, in words.
    pub found: String,
    /// Absent when it was not judged yet.
    pub judgement: Option<JudgementView>,
    /// The record in which it was judged last.
    pub seq: Option<u64>,
}
