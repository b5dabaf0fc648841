//! `outcome`: labelled answers, and how many of them the label agrees with.

use domain::check::Check;
use domain::evidence::{Arm, Measurement};

use super::Tally;

const METHOD: &str = "label-match/1";
/// The one field there is.
pub(super) const LABEL_MATCH: &str = "label-match";

pub(super) fn measure(check: &Check, arm: Arm, tally: &Tally) -> Measurement {
    let mut measurement = Measurement::new(check.name.clone(), METHOD, arm);
    measurement.n = tally.labelled;
    measurement.sum = tally.matches as f64;
    measurement.sum_sq = measurement.sum;
    measurement.unit = "matches".into();
    measurement
}
