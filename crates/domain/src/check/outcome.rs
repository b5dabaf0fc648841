//! Being written.
use super::{Judgement, Seen, Setting};
pub const NAME: &str = "outcome";
/// The share of outcome: absolute (`min`) or against the live release (`margin`); exactly one is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What is compared: `label-match`, the share of answers that agree with the label.
    pub field: crate::evidence::Text,
    /// The least allowed, 0 to 1.
    pub min: Option<f64>,
    /// How much worse than the live release it may be, 0 to 1, one-sided for harm.
    pub margin: Option<f64>,
}
impl Outcome {
    pub fn judge(&self, _seen: Seen<'_>, _setting: Setting) -> Judgement {
        Judgement::no_data("", "")
    }
    pub fn words(&self) -> String {
        String::new()
    }
}
