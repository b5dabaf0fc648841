//! Quality of a binary classifier from its confusion counts, and of its probabilities.
//!
//! Each measure comes with an interval, so that a gate may judge by the bound and not by luck.
//! Thresholds and what counts as the positive class are the caller's.

use crate::error::{Error, unit};
use crate::math::{ln, sum};
use crate::proportion::{Counts, rate, wilson};
use crate::{Bounds, Interval};

/// Method id of [`Confusion::accuracy`], [`Confusion::precision`], [`Confusion::recall`] and
/// [`Confusion::specificity`].
pub const PROPORTION_INTERVAL: &str = crate::proportion::WILSON;
/// Method id of [`Confusion::f1`].
pub const F1_INTERVAL: &str = "f1-wilson-jaccard/1";
/// Probabilities are moved this far from 0 and 1 before their logarithm is taken.
const PROBABILITY_MIN: f64 = 1e-15;

/// How many of each outcome a binary classifier had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    pub true_positive: u64,
    pub false_positive: u64,
    pub false_negative: u64,
    pub true_negative: u64,
}

impl Confusion {
    /// Counts predictions against labels of the same length; true is the positive class.
    pub fn count(predicted: &[bool], actual: &[bool]) -> Result<Self, Error> {
        same_length(predicted.len(), actual.len())?;
        let mut counts = Self::default();
        for pair in predicted.iter().zip(actual) {
            match pair {
                (true, true) => counts.true_positive += 1,
                (true, false) => counts.false_positive += 1,
                (false, true) => counts.false_negative += 1,
                (false, false) => counts.true_negative += 1,
            }
        }
        Ok(counts)
    }

    pub fn total(&self) -> u64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }

    /// (tp + tn)/all with its Wilson interval; [`Error::Empty`] for no rows.
    pub fn accuracy(&self, confidence: f64) -> Result<Bounds, Error> {
        rate(Counts::new(self.true_positive + self.true_negative, self.total())?, confidence)
    }

    /// tp/(tp + fp) with its Wilson interval; [`Error::Empty`] when nothing was predicted positive.
    pub fn precision(&self, confidence: f64) -> Result<Bounds, Error> {
        rate(Counts::new(self.true_positive, self.true_positive + self.false_positive)?, confidence)
    }

    /// tp/(tp + fn) with its Wilson interval; [`Error::Empty`] when nothing is positive.
    pub fn recall(&self, confidence: f64) -> Result<Bounds, Error> {
        rate(Counts::new(self.true_positive, self.true_positive + self.false_negative)?, confidence)
    }

    /// tn/(tn + fp) with its Wilson interval; [`Error::Empty`] when nothing is negative.
    pub fn specificity(&self, confidence: f64) -> Result<Bounds, Error> {
        rate(Counts::new(self.true_negative, self.true_negative + self.false_positive)?, confidence)
    }

    /// F1 = 2tp/(2tp + fp + fn) with an interval; [`Error::Empty`] when there is no positive on either side.
    ///
    /// Given the n = tp + fp + fn rows that are positive somewhere, tp is binomial with the Jaccard index
    /// J = tp/n as its rate, and F1 = 2J/(1+J) rises with J; so the Wilson interval of J, mapped, is one of F1.
    pub fn f1(&self, confidence: f64) -> Result<Bounds, Error> {
        let positive_somewhere = self.true_positive + self.false_positive + self.false_negative;
        let jaccard = wilson(self.true_positive, positive_somewhere, confidence)?;
        let from_jaccard = |j: f64| 2.0 * j / (1.0 + j);
        let tp = self.true_positive as f64;
        let estimate = 2.0 * tp / (tp + positive_somewhere as f64);
        let interval = Interval { lower: from_jaccard(jaccard.lower), upper: from_jaccard(jaccard.upper) };
        Ok(Bounds::around(estimate, interval))
    }
}

/// Mean of −ln(probability given to what happened), in nats; at least 0, lower is better.
///
/// `probabilities` of the positive class, 0 to 1, one per label. They are clipped to 1e-15 from the ends, so
/// one sure mistake costs 34.5.
pub fn log_loss(probabilities: &[f64], labels: &[bool]) -> Result<f64, Error> {
    mean_score(probabilities, labels, |probability, label| {
        let probability = probability.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
        -ln(if label { probability } else { 1.0 - probability })
    })
}

/// Mean of (probability − label)², 0 to 1, lower is better. Arguments as [`log_loss`].
pub fn brier(probabilities: &[f64], labels: &[bool]) -> Result<f64, Error> {
    mean_score(probabilities, labels, |probability, label| {
        let error = probability - f64::from(u8::from(label));
        error * error
    })
}

fn mean_score(
    probabilities: &[f64],
    labels: &[bool],
    score: impl Fn(f64, bool) -> f64,
) -> Result<f64, Error> {
    same_length(probabilities.len(), labels.len())?;
    if labels.is_empty() {
        return Err(Error::Empty { name: "labels" });
    }
    for &probability in probabilities {
        unit("probability", probability)?;
    }
    let scores = probabilities.iter().zip(labels).map(|(&probability, &label)| score(probability, label));
    Ok(sum(scores) / labels.len() as f64)
}

pub(crate) fn same_length(left: usize, right: usize) -> Result<(), Error> {
    if left == right { Ok(()) } else { Err(Error::LengthMismatch { left, right }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::Random;

    const SOME: Confusion =
        Confusion { true_positive: 40, false_positive: 10, false_negative: 20, true_negative: 130 };

    #[test]
    fn measures_of_known_counts() {
        for (bounds, expected) in [
            (SOME.accuracy(0.95), 0.85),
            (SOME.precision(0.95), 0.8),
            (SOME.recall(0.95), 2.0 / 3.0),
            (SOME.specificity(0.95), 130.0 / 140.0),
            (SOME.f1(0.95), 8.0 / 11.0),
        ] {
            let bounds = bounds.unwrap();
            assert!((bounds.estimate - expected).abs() < 1e-15);
            assert!(bounds.lower < bounds.estimate && bounds.estimate < bounds.upper);
        }
    }

    #[test]
    fn what_was_never_seen_is_undefined_rather_than_zero() {
        let negatives = Confusion { true_negative: 5, ..Confusion::default() };
        for measure in [Confusion::precision, Confusion::recall, Confusion::f1] {
            assert_eq!(measure(&negatives, 0.95), Err(Error::Empty { name: "trials" }));
        }
        assert!(Confusion::default().accuracy(0.95).is_err());
    }

    #[test]
    fn a_flawless_model_still_has_a_lower_bound_below_one() {
        let flawless = Confusion { true_positive: 30, true_negative: 30, ..Confusion::default() };
        let f1 = flawless.f1(0.95).unwrap();
        assert!((f1.estimate - 1.0).abs() < f64::EPSILON && f1.lower < 0.96 && f1.lower > 0.9, "{f1:?}");
    }

    #[test]
    fn f1_interval_covers_the_truth_about_as_often_as_said() {
        let mut random = Random::seeded(11);
        // Shares of tp, fp, fn, tn.
        let shares = [0.12, 0.05, 0.08];
        let truth = 0.24 / (0.24 + 0.13);
        let covered = (0..1_000).filter(|_| {
            let mut counts = Confusion::default();
            for _ in 0..300 {
                let u = random.uniform();
                if u < shares[0] {
                    counts.true_positive += 1;
                } else if u < shares[0] + shares[1] {
                    counts.false_positive += 1;
                } else if u < shares[0] + shares[1] + shares[2] {
                    counts.false_negative += 1;
                } else {
                    counts.true_negative += 1;
                }
            }
            counts.f1(0.95).unwrap().interval().contains(truth)
        });
        let covered = covered.count();
        assert!((925..=975).contains(&covered), "{covered} of 1000");
    }

    #[test]
    fn counting_follows_the_pairs() {
        let counts =
            Confusion::count(&[true, true, false, false, true], &[true, false, true, false, true]).unwrap();
        let expected = Confusion { true_positive: 2, false_positive: 1, false_negative: 1, true_negative: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn senseless_probabilities_are_errors() {
        assert!(log_loss(&[0.5], &[true, false]).is_err());
        assert!(log_loss(&[], &[]).is_err());
        assert!(brier(&[1.5], &[true]).is_err());
        assert!(brier(&[f64::NAN], &[true]).is_err());
    }
}
