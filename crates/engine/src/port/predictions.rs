//! The prediction log: what gateways answered, and the labels that came later.
//!
//! Contract:
//! 1. Appending the same (target, request id) again replaces the former: gateways may repeat.
//! 2. `scan` visits the predictions of a target with `from <= at < to`, oldest first, each with the latest label
//!    known for its request id, if any. A label may arrive before its prediction.
//! 3. Predictions and labels are kept for the retention and then dropped, the oldest first.
//! 4. Durability is best effort: a crash may lose the last moments, and a measurement says how many it had.

use domain::name::TargetId;
use domain::time::Timestamp;
pub use wire::message::{Label, Prediction};

#[derive(Debug, thiserror::Error)]
#[error("failed to reach the prediction log")]
pub struct Error(#[source] pub Box<dyn std::error::Error + Send + Sync>);

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
