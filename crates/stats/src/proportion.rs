//! Proportions at a fixed sample size: Wilson, Newcombe, and the two-proportion z test.
//!
//! These hold for one look at the sample. Whoever looks at every tick uses [`crate::sequential`].

use crate::error::{Error, open_unit};
use crate::math::{normal_cdf, normal_quantile, normal_upper_tail, sqrt};
use crate::{Bounds, Interval};

/// Method id of [`wilson`].
pub const WILSON: &str = "proportion-wilson/1";
/// Method id of [`newcombe_difference`].
pub const NEWCOMBE: &str = "two-proportion-newcombe/1";

/// Events among trials. **Invariant:** events ≤ total and total ≥ 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    events: u64,
    total: u64,
}

impl Counts {
    /// Takes counts that make sense; [`Error::Empty`] for no trials.
    pub fn new(events: u64, total: u64) -> Result<Self, Error> {
        if total == 0 {
            return Err(Error::Empty { name: "trials" });
        }
        if events > total {
            return Err(Error::CountAboveTotal { events, total });
        }
        Ok(Self { events, total })
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Events per trial, 0 to 1.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.total as f64
    }
}

/// Two-proportion z test: the statistic and its p-values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZTest {
    /// (p̂₁ − p̂₂) in standard errors; 0 when both samples are all or none.
    pub z: f64,
    /// P-value against p₁ ≠ p₂.
    pub p_two_sided: f64,
    /// P-value against p₁ > p₂.
    pub p_larger: f64,
    /// P-value against p₁ < p₂.
    pub p_smaller: f64,
}

/// Wilson's score interval for a proportion, within 0 to 1.
///
/// `confidence` is two-sided, strictly between 0 and 1. Source: Wilson 1927.
pub fn wilson(successes: u64, n: u64, confidence: f64) -> Result<Interval, Error> {
    Ok(score_interval(Counts::new(successes, n)?, two_sided_z(confidence)?))
}

/// Estimate and Wilson interval of a proportion.
pub fn rate(counts: Counts, confidence: f64) -> Result<Bounds, Error> {
    let interval = wilson(counts.events, counts.total, confidence)?;
    Ok(Bounds::around(counts.rate(), interval))
}

/// Newcombe's hybrid score interval for p₁ − p₂, within −1 to 1.
///
/// Source: Newcombe 1998, method 10 (without continuity correction). `confidence` is two-sided.
pub fn newcombe_difference(first: Counts, second: Counts, confidence: f64) -> Result<Bounds, Error> {
    Ok(hybrid_score_difference(first, second, two_sided_z(confidence)?))
}

/// Tests p₁ = p₂ with the pooled standard error √(p̄(1−p̄)(1/n₁ + 1/n₂)), for one look.
pub fn z_test(first: Counts, second: Counts) -> ZTest {
    let (n1, n2) = (first.total as f64, second.total as f64);
    let pooled = (first.events as f64 + second.events as f64) / (n1 + n2);
    let variance = pooled * (1.0 - pooled) * (1.0 / n1 + 1.0 / n2);
    let z = if variance > 0.0 { (first.rate() - second.rate()) / sqrt(variance) } else { 0.0 };
    ZTest {
        z,
        p_two_sided: (2.0 * normal_upper_tail(z.abs())).min(1.0),
        p_larger: normal_upper_tail(z),
        p_smaller: normal_cdf(z),
    }
}

/// The normal quantile that leaves (1 − confidence)/2 in each tail.
pub(crate) fn two_sided_z(confidence: f64) -> Result<f64, Error> {
    open_unit("confidence", confidence)?;
    Ok(-normal_quantile((1.0 - confidence) / 2.0)?)
}

/// Newcombe's interval with the limits of either proportion `z` > 0 standard errors away.
pub(crate) fn hybrid_score_difference(first: Counts, second: Counts, z: f64) -> Bounds {
    let (p1, p2) = (first.rate(), second.rate());
    let (one, two) = (score_interval(first, z), score_interval(second, z));
    let estimate = p1 - p2;
    let below = sqrt((p1 - one.lower) * (p1 - one.lower) + (two.upper - p2) * (two.upper - p2));
    let above = sqrt((one.upper - p1) * (one.upper - p1) + (p2 - two.lower) * (p2 - two.lower));
    Bounds { estimate, lower: estimate - below, upper: estimate + above }
}

/// Wilson's limits `z` > 0 standard errors away.
pub(crate) fn score_interval(counts: Counts, z: f64) -> Interval {
    let n = counts.total as f64;
    let (x, p) = (counts.events as f64, counts.rate());
    let square = z * z;
    let center = (x + square / 2.0) / (n + square);
    let half = z * sqrt(n * p * (1.0 - p) + square / 4.0) / (n + square);
    let lower = if counts.events == 0 { 0.0 } else { (center - half).max(0.0) };
    let upper = if counts.events == counts.total { 1.0 } else { (center + half).min(1.0) };
    Interval { lower, upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the ends are exact")]
    fn wilson_is_pinned_at_the_ends_and_never_empty() {
        let none = wilson(0, 20, 0.95).unwrap();
        assert_eq!(none.lower, 0.0);
        assert!(none.upper > 0.1 && none.upper < 0.2);
        let all = wilson(20, 20, 0.95).unwrap();
        assert_eq!(all.upper, 1.0);
        assert!((all.lower - (1.0 - none.upper)).abs() < 1e-15);
    }

    #[test]
    fn more_trials_narrow_the_interval() {
        let widths: Vec<f64> =
            [10, 100, 1_000, 10_000].map(|n| wilson(n / 5, n, 0.95).unwrap().width()).to_vec();
        assert!(widths.windows(2).all(|pair| pair[1] < pair[0]), "{widths:?}");
    }

    #[test]
    fn swapping_the_samples_mirrors_the_difference() {
        let (a, b) = (Counts::new(7, 40).unwrap(), Counts::new(90, 300).unwrap());
        let forth = newcombe_difference(a, b, 0.9).unwrap();
        let back = newcombe_difference(b, a, 0.9).unwrap();
        assert!((forth.lower + back.upper).abs() < 1e-15 && (forth.upper + back.lower).abs() < 1e-15);
        assert!((z_test(a, b).z + z_test(b, a).z).abs() < 1e-15);
    }

    #[test]
    fn samples_without_variance_show_no_difference() {
        let test = z_test(Counts::new(0, 10).unwrap(), Counts::new(0, 20).unwrap());
        assert!(test.z.abs() < f64::EPSILON && (test.p_two_sided - 1.0).abs() < 1e-15);
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert_eq!(wilson(3, 2, 0.95), Err(Error::CountAboveTotal { events: 3, total: 2 }));
        assert_eq!(wilson(0, 0, 0.95), Err(Error::Empty { name: "trials" }));
        for confidence in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(wilson(1, 2, confidence).is_err());
        }
    }
}
