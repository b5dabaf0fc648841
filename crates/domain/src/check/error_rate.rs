//! Being written.
use super::{Judgement, Seen, Setting};
pub const NAME: &str = "error-rate";
/// The share of error_rate: absolute (`max`) or against the live release (`margin`); exactly one is set.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorRate {
    /// The most allowed, 0 to 1.
    pub max: Option<f64>,
    /// How much worse than the live release it may be, 0 to 1, one-sided for harm.
    pub margin: Option<f64>,
}
impl ErrorRate {
    pub fn judge(&self, _seen: Seen<'_>, _setting: Setting) -> Judgement {
        Judgement::no_data("", "")
    }
    pub fn words(&self) -> String {
        String::new()
    }
}
