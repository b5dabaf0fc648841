//! Workflows that are loaded.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All loaded workflows, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowList {
    pub workflows: Vec<WorkflowLine>,
}

/// One workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowLine {
    pub workflow: String,
    pub digest: String,
    /// The file it was read from.
    pub file: String,
    /// Names, or prefixes that end in `*`.
    pub models: Vec<String>,
    pub environment: String,
    /// `supersede`, `queue` or `refuse`.
    pub while_running: String,
    pub stages: Vec<WorkflowStage>,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowStage {
    pub stage: String,
    pub kind: String,
    pub needs: Vec<String>,
}
