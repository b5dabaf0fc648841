//! The prediction log: what gateways answered, and the labels that came later.
//!
//! Contract:
//! 1. Appending the same (target, request id) again replaces the former: gateways may repeat.
//! 2. `scan` visits the predictions of a target with `from <= at < to`, oldest first, each with the latest label
//!    known for its request id, if any. A label may arrive before its prediction.
//! 3. Predictions and labels are kept for the retention and then dropped, the oldest first.
//! 4. Durability is best effort: a crash may lose the last moments, and a measurement says how many it had.

use domain::name::{Digest, TargetId};
use domain::routes::Generation;
use domain::time::Timestamp;

#[derive(Debug, thiserror::Error)]
#[error("failed to reach the prediction log")]
pub struct Error(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// One answered request.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub target: TargetId,
    /// The join key of prediction and label.
    pub request_id: String,
    /// When the answer was given.
    pub at: Timestamp,
    pub bundle: Digest,
    pub generation: Generation,
    /// The 64-bit hash of the sticky key, to count distinct units without keeping who they are.
    pub unit: u64,
    pub latency_us: u32,
    /// The answer was an error of the release (5xx, refused, timed out); not of the caller.
    pub error: bool,
    /// The numeric inputs, in the order of the signature, when the workflow keeps them.
    pub features: Vec<f32>,
    /// The first value of the output that is the prediction: a class or a number.
    pub output: Option<f64>,
    /// The score behind it, when the model gives one.
    pub score: Option<f64>,
}

/// What the truth turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub target: TargetId,
    pub request_id: String,
    pub at: Timestamp,
    pub value: f64,
}

pub trait Predictions: Send + Sync + std::fmt::Debug {
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error>;
    fn label(&self, labels: &[Label]) -> Result<(), Error>;
    /// Visits in order; the visitor gets the label's value where one is known.
    fn scan(
        &self,
        target: &TargetId,
        from: Timestamp,
        to: Timestamp,
        visit: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error>;
    /// Drops what is older than `before`.
    fn sweep(&self, before: Timestamp) -> Result<(), Error>;
}
