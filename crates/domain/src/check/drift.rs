//! Being written.
use super::{Judgement, Seen};
use crate::evidence::Text;
pub const NAME: &str = "drift";
/// PSI of each feature against the training baseline, method `psi/ref-quantile-10`, with a sample-aware bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /** All when empty. */
    pub features: Vec<Text>,
    /** The PSI that counts as drift, beside the sample-aware bound. */
    pub max: f64,
    /** The false discovery rate over features, 0 to 1. */
    pub fdr: f64,
}
impl Drift {
    pub fn judge(&self, _seen: Seen<'_>) -> Judgement {
        Judgement::no_data("", "")
    }
    pub fn words(&self) -> String {
        String::new()
    }
}
