//! Area under the ROC curve: the chance that a positive row scores above a negative one, ties one half.

use crate::classify::same_length;
use crate::error::{Error, finite};
use crate::math::{bisect, exp, ln, sample_variance, sqrt, sum};
use crate::proportion::two_sided_z;
use crate::{Bounds, Interval};

/// Method id of [`Auc::bounds`].
pub const INTERVAL: &str = "auc-delong-logit/1";

/// An area under the ROC curve and what its interval needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auc {
    /// 0 to 1; one half for scores that tell nothing.
    pub value: f64,
    /// DeLong's variance of the value; `None` with fewer than two rows of either class.
    pub variance: Option<f64>,
    pub positives: u64,
    pub negatives: u64,
}

impl Auc {
    /// The value with its two-sided interval within 0 to 1.
    ///
    /// DeLong's variance on the logit scale. Where that says nothing (value 0 or 1, no variance) the score interval
    /// of Newcombe 2006 (method 5, on Hanley and McNeil's variance), which is never empty.
    pub fn bounds(&self, confidence: f64) -> Result<Bounds, Error> {
        let z = two_sided_z(confidence)?;
        let spread = self.value * (1.0 - self.value);
        let interval = match self.variance {
            Some(variance) if variance > 0.0 && spread > 0.0 => {
                let center = ln(self.value / (1.0 - self.value));
                let half = z * sqrt(variance) / spread;
                let back = |logit: f64| 1.0 / (1.0 + exp(-logit));
                Interval { lower: back(center - half), upper: back(center + half) }
            }
            _ => score_interval(self, z)?,
        };
        Ok(Bounds::around(self.value, interval))
    }
}

/// Area under the ROC curve of `scores` (finite, higher means positive) against `labels`, of one length.
///
/// [`Error::Empty`] when a class is missing. Source: DeLong, DeLong, Clarke-Pearson 1988, with midranks (Sun and
/// Xu 2014), so n log n.
pub fn auc(scores: &[f64], labels: &[bool]) -> Result<Auc, Error> {
    same_length(scores.len(), labels.len())?;
    for &score in scores {
        finite("score", score)?;
    }
    let of_class = |class: bool| -> Vec<f64> {
        scores.iter().zip(labels).filter(|(_, label)| **label == class).map(|(&score, _)| score).collect()
    };
    let (positive, negative) = (of_class(true), of_class(false));
    if positive.is_empty() {
        return Err(Error::Empty { name: "positive labels" });
    }
    if negative.is_empty() {
        return Err(Error::Empty { name: "negative labels" });
    }
    let above_negatives = placements(&positive, &negative);
    let above_positives = placements(&negative, &positive);
    let (m, n) = (positive.len() as f64, negative.len() as f64);
    let value = sum(above_negatives.iter().copied()) / m;
    let variance = sample_variance(&above_negatives)
        .zip(sample_variance(&above_positives))
        .map(|(of_positives, of_negatives)| of_positives / m + of_negatives / n);
    Ok(Auc { value, variance, positives: positive.len() as u64, negatives: negative.len() as u64 })
}

/// For each of `values` the share of `others` below it, ties one half.
fn placements(values: &[f64], others: &[f64]) -> Vec<f64> {
    let mut sorted = others.to_vec();
    sorted.sort_by(f64::total_cmp);
    let total = others.len() as f64;
    let share = |&value: &f64| {
        let below = sorted.partition_point(|&other| other < value);
        let up_to = sorted.partition_point(|&other| other <= value);
        (below as f64 + (up_to - below) as f64 / 2.0) / total
    };
    values.iter().map(share).collect()
}

/// The areas A with (Â−A)² ≤ z²·var(A), var(A) = A(1−A)/(mn)·[1 + ((m+n)/2−1)·((1−A)/(2−A) + A/(1+A))].
fn score_interval(auc: &Auc, z: f64) -> Result<Interval, Error> {
    let (m, n) = (auc.positives as f64, auc.negatives as f64);
    let reach = |a: f64| {
        let shape = 1.0 + (f64::midpoint(m, n) - 1.0) * ((1.0 - a) / (2.0 - a) + a / (1.0 + a));
        z * sqrt(a * (1.0 - a) / (m * n) * shape)
    };
    let lower = bisect(0.0, auc.value, |a| Ok::<_, Error>(auc.value - a > reach(a)))?;
    let upper = bisect(auc.value, 1.0, |a| Ok::<_, Error>(a - auc.value <= reach(a)))?;
    Ok(Interval { lower, upper })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::Random;

    #[test]
    fn ties_count_one_half() {
        let area = auc(&[0.5, 0.5, 0.5, 0.5], &[true, false, true, false]).unwrap();
        assert!((area.value - 0.5).abs() < f64::EPSILON);
        let bounds = area.bounds(0.95).unwrap();
        assert!(bounds.lower < 0.3 && bounds.upper > 0.7, "no variance is no certainty: {bounds:?}");
    }

    #[test]
    fn perfect_separation_still_has_room_below() {
        let scores: Vec<f64> = (0..40).map(f64::from).collect();
        let labels: Vec<bool> = (0..40).map(|index| index >= 20).collect();
        let bounds = auc(&scores, &labels).unwrap().bounds(0.95).unwrap();
        assert!((bounds.estimate - 1.0).abs() < f64::EPSILON && (bounds.upper - 1.0).abs() < f64::EPSILON);
        assert!(bounds.lower > 0.8 && bounds.lower < 0.99, "{bounds:?}");
    }

    #[test]
    fn interval_covers_the_truth_about_as_often_as_said() {
        let mut random = Random::seeded(5);
        // Positive scores are the larger of two uniforms: P(positive above negative) = 2/3.
        let covered = (0..500).filter(|_| {
            let scores: Vec<f64> = (0..120)
                .map(|index| match index % 3 {
                    0 => random.uniform().max(random.uniform()),
                    _ => random.uniform(),
                })
                .collect();
            let labels: Vec<bool> = (0..120).map(|index| index % 3 == 0).collect();
            auc(&scores, &labels).unwrap().bounds(0.95).unwrap().interval().contains(2.0 / 3.0)
        });
        let covered = covered.count();
        assert!((455..=492).contains(&covered), "{covered} of 500");
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert_eq!(auc(&[0.1, 0.2], &[true, true]), Err(Error::Empty { name: "negative labels" }));
        assert_eq!(auc(&[0.1], &[false]), Err(Error::Empty { name: "positive labels" }));
        assert!(auc(&[f64::NAN, 0.1], &[true, false]).is_err());
        assert!(auc(&[0.1], &[true, false]).is_err());
    }
}
