//! `error-rate`: answers, and how many of them were errors of the release.

use domain::check::Check;
use domain::evidence::{Arm, Measurement};

use super::Tally;

const METHOD: &str = "error-count/1";

pub(super) fn measure(check: &Check, arm: Arm, tally: &Tally) -> Measurement {
    let mut measurement = Measurement::new(check.name.clone(), METHOD, arm);
    measurement.n = tally.n;
    measurement.sum = tally.errors as f64;
    measurement.sum_sq = measurement.sum;
    measurement.unit = "errors".into();
    measurement
}
