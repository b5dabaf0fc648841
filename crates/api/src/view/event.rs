//! What a publisher of `ModelTrained` is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RequestOutcome;

/// One answer for each event, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventAnswers {
    pub events: Vec<EventAnswer>,
}

/// The run that an event leads to. The same event again leads to the same run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventAnswer {
    pub source: String,
    pub id: String,
    pub run: String,
    /// Where the run can be read.
    pub location: String,
    pub target: String,
    pub workflow: String,
    pub outcome: RequestOutcome,
    /// It was known already.
    pub repeated: bool,
}
