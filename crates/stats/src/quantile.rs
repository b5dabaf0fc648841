//! Quantiles of a sorted sample and distribution-free intervals for them.

use crate::Interval;
use crate::error::{Error, open_unit, unit};
use crate::math::binomial_cdf;

/// Method id of [`quantile`].
pub const TYPE_7: &str = "quantile-type-7/1";
/// Method id of [`quantile_interval`].
pub const ORDER_STATISTICS: &str = "quantile-order-statistics/1";

/// Which order statistics bound a quantile; ranks count from 1. `None`: the sample is too small for that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    pub lower: Option<u64>,
    pub upper: Option<u64>,
}

/// Quantile of an ascending sample, in its unit: linear between order statistics.
///
/// Definition 7 of Hyndman and Fan 1996 (the default of R and NumPy): position (n−1)·`probability`, from 0.
/// `sorted`: finite, ascending, at least one; `probability` 0 to 1.
pub fn quantile(sorted: &[f64], probability: f64) -> Result<f64, Error> {
    unit("probability", probability)?;
    check_sorted(sorted)?;
    let position = (sorted.len() - 1) as f64 * probability;
    let below = position.floor() as usize;
    let fraction = position - position.floor();
    let lower = sorted[below];
    let upper = sorted[(below + 1).min(sorted.len() - 1)];
    Ok(if fraction > 0.0 { lower + fraction * (upper - lower) } else { lower })
}

/// Interval that holds the true quantile with at least `confidence`, whatever the distribution.
///
/// Between the order statistics of [`interval_ranks`], in the unit of `sorted` (ascending, finite). A side that the
/// sample is too small to bound is infinite: the upper end of a 99th percentile at 95 % needs 368 values.
pub fn quantile_interval(sorted: &[f64], probability: f64, confidence: f64) -> Result<Interval, Error> {
    check_sorted(sorted)?;
    let ranks = interval_ranks(sorted.len() as u64, probability, confidence)?;
    let at = |rank: u64| sorted[(rank - 1) as usize];
    Ok(Interval {
        lower: ranks.lower.map_or(f64::NEG_INFINITY, at),
        upper: ranks.upper.map_or(f64::INFINITY, at),
    })
}

/// The ranks between which the quantile of a sample of `n` lies with at least `confidence`, for histograms.
///
/// The number of values below the quantile is binomial(n, `probability`); each tail gets at most
/// (1 − confidence)/2. For distributions with ties the interval is conservative. Source: David and Nagaraja,
/// Order Statistics, 7.1.
pub fn interval_ranks(n: u64, probability: f64, confidence: f64) -> Result<Ranks, Error> {
    open_unit("probability", probability)?;
    open_unit("confidence", confidence)?;
    if n == 0 {
        return Err(Error::Empty { name: "values" });
    }
    let tail = (1.0 - confidence) / 2.0;
    // Wrong below when fewer than `lower` values lie below the quantile, above when `upper` or more do.
    let below = first_count(n, |count| Ok(binomial_cdf(count, n, probability)? > tail))?;
    let above = first_count(n, |count| Ok(binomial_cdf(n - count, n, 1.0 - probability)? <= tail))?;
    Ok(Ranks { lower: (below > 0).then_some(below), upper: (above <= n).then_some(above) })
}

/// The smallest count in 0 to n at which `reached` holds, or n + 1; `reached` must stay true once it is.
fn first_count(n: u64, reached: impl Fn(u64) -> Result<bool, Error>) -> Result<u64, Error> {
    let (mut lower, mut upper) = (0, n + 1);
    while lower < upper {
        let middle = lower + (upper - lower) / 2;
        if reached(middle)? {
            upper = middle;
        } else {
            lower = middle + 1;
        }
    }
    Ok(lower)
}

fn check_sorted(sorted: &[f64]) -> Result<(), Error> {
    if sorted.is_empty() {
        return Err(Error::Empty { name: "values" });
    }
    if let Some(&value) = sorted.iter().find(|value| !value.is_finite()) {
        return Err(Error::OutOfRange { name: "values", value, expected: "finite throughout" });
    }
    match sorted.windows(2).find(|pair| pair[0] > pair[1]) {
        Some(pair) => Err(Error::OutOfRange { name: "values", value: pair[1], expected: "ascending" }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::Random;

    #[test]
    #[expect(clippy::float_cmp, reason = "these results are exact")]
    fn quantiles_of_a_short_sample() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (probability, expected) in [(0.0, 1.0), (0.5, 3.0), (1.0, 8.0), (0.25, 1.75)] {
            assert_eq!(quantile(&sorted, probability).unwrap(), expected);
        }
        assert_eq!(quantile(&[7.0], 0.99).unwrap(), 7.0);
    }

    #[test]
    fn a_small_sample_bounds_no_extreme_quantile_from_above() {
        assert_eq!(interval_ranks(367, 0.99, 0.95).unwrap().upper, None);
        assert_eq!(interval_ranks(368, 0.99, 0.95).unwrap().upper, Some(368));
        let interval = quantile_interval(&[1.0, 2.0, 3.0], 0.99, 0.95).unwrap();
        assert!(interval.upper.is_infinite() && interval.lower.is_finite());
        assert_eq!(interval_ranks(1, 0.5, 0.95).unwrap(), Ranks { lower: None, upper: None });
    }

    #[test]
    fn median_of_ten_lies_between_second_and_ninth() {
        let ranks = interval_ranks(10, 0.5, 0.95).unwrap();
        assert_eq!(ranks, Ranks { lower: Some(2), upper: Some(9) });
    }

    #[test]
    fn interval_covers_the_truth_at_least_as_often_as_said() {
        let mut random = Random::seeded(13);
        let covered = (0..400).filter(|_| {
            let mut values: Vec<f64> = (0..1_000).map(|_| random.uniform()).collect();
            values.sort_by(f64::total_cmp);
            quantile_interval(&values, 0.99, 0.95).unwrap().contains(0.99)
        });
        let covered = covered.count();
        assert!((375..=398).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert!(quantile(&[], 0.5).is_err());
        assert!(quantile(&[2.0, 1.0], 0.5).is_err());
        assert!(quantile(&[1.0, f64::NAN], 0.5).is_err());
        assert!(quantile(&[1.0], 1.1).is_err());
        assert!(interval_ranks(0, 0.5, 0.95).is_err());
        assert!(interval_ranks(5, 1.0, 0.95).is_err());
        assert!(interval_ranks(5, 0.5, f64::NAN).is_err());
    }
}
