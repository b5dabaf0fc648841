//! `quality`: the confusion table, and what needs the single scores.

use domain::check::quality::Metric;
use domain::check::{Check, Kind};
use domain::evidence::{Arm, Measurement};
use stats::auc::{INTERVAL, auc};
use stats::classify::{Confusion, brier, log_loss};

use super::Tally;
use crate::evidence::set;
use crate::latencies::CONFIDENCE;

const METHOD: &str = "confusion-table-production/1";

pub(super) fn measure(check: &Check, arm: Arm, tally: &Tally) -> Measurement {
    labelled(check, METHOD, arm, &tally.predicted, &tally.scores, &tally.labels)
}

/// The table of predictions against labels: `counts` is tp, fp, fn, tn; `sum` how many agree. With a score for each
/// also `auc` with `auc_lower` and `auc_upper` (95 %), and of probabilities `log_loss` and `brier`.
pub(crate) fn labelled(
    check: &Check,
    method: &str,
    arm: Arm,
    predicted: &[bool],
    scores: &[f64],
    labels: &[bool],
) -> Measurement {
    // The core takes the AUC and its interval as they are, so the method is named that made them.
    let is_auc = matches!(&check.kind, Kind::Quality(asked) if asked.metric == Metric::Auc);
    let method = if is_auc { INTERVAL } else { method };
    let mut measurement = Measurement::new(check.name.clone(), method, arm);
    measurement.unit = "matches".into();
    let Ok(table) = Confusion::count(predicted, labels) else { return measurement };
    let agree = table.true_positive + table.true_negative;
    measurement.n = table.total();
    measurement.sum = agree as f64;
    measurement.sum_sq = agree as f64;
    measurement.counts =
        vec![table.true_positive, table.false_positive, table.false_negative, table.true_negative];
    // Each is left out where it is not defined: one class only, scores that are no probabilities.
    if let Ok(area) = auc(scores, labels) {
        set(&mut measurement, "auc", area.value);
        if let Ok(bounds) = area.bounds(CONFIDENCE) {
            set(&mut measurement, "auc_lower", bounds.lower);
            set(&mut measurement, "auc_upper", bounds.upper);
        }
    }
    if let (Ok(log_loss), Ok(brier)) = (log_loss(scores, labels), brier(scores, labels)) {
        set(&mut measurement, "log_loss", log_loss);
        set(&mut measurement, "brier", brier);
    }
    measurement
}
