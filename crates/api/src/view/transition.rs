//! What happened to a run or target, record by record.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Fault, NamedText, Who};

/// Transitions, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionList {
    pub transitions: Vec<TransitionView>,
    /// Give it as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One outside input, what was decided, and what followed inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionView {
    pub seq: u64,
    /// The recorded time.
    pub now: String,
    /// The name of the outside input, such as `Approve`.
    pub input: String,
    /// The id it came with; absent for a moment that had come.
    pub input_id: Option<String>,
    /// Who asked, when a person or tool did.
    pub who: Option<Who>,
    /// Key values of the outside input.
    pub said: Vec<NamedText>,
    /// What each stream decided, in order.
    pub steps: Vec<DecidedView>,
    /// Why the outside input was refused.
    pub refused: Option<Fault>,
    pub engine_version: String,
    /// The hash of the record's bytes.
    pub hash: String,
}

/// One stream's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecidedView {
    /// A run, a target, or `definitions`.
    pub stream: String,
    pub input: String,
    pub events: Vec<HappenedView>,
}

/// One event with its key values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HappenedView {
    /// Such as `StepEntered`.
    pub event: String,
    pub values: Vec<NamedText>,
}

impl HappenedView {
    /// The value of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|value| value.name == name).map(|value| value.value.as_str())
    }
}
