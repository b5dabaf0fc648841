//! The population stability index over bins that the reference sample defines.
//!
//! **Invariant:** bins come from the reference alone and are kept with the profile; the current window never
//! moves them. Method id: [`REFERENCE_QUANTILE_10`].
//!
//! Missing values are not binned: count them apart, they are a check of their own.

use crate::error::{Error, open_unit, unit};
use crate::math::{chi_square_quantile, chi_square_upper_tail, ln, sum};

/// Method id: ten bins between the reference's deciles, empty bins counted as half an observation.
pub const REFERENCE_QUANTILE_10: &str = "psi/ref-quantile-10";
/// Bins of [`REFERENCE_QUANTILE_10`] before equal edges are merged.
pub const BINS_DEFAULT: usize = 10;
/// What an empty bin is counted as, so that its logarithm exists.
const EMPTY_BIN_COUNT: f64 = 0.5;

/// Inner bin edges, ascending and distinct: bin i holds edge i−1 < value ≤ edge i, the last one the rest.
///
/// Edges are the quantiles k/`bins` of `sample` by the inverse of its distribution function, so each is a value
/// that occurred; equal ones are merged and the largest value is no edge. Hence each of the
/// `edges.len() + 1` bins holds at least one reference value, however discrete the sample. One exception: a
/// constant reference gets the bins below, at, and above its value, so that leaving it is seen.
///
/// `sample`: finite values in any order, at least one. `bins`: at least 2.
pub fn reference_edges(sample: &[f64], bins: usize) -> Result<Vec<f64>, Error> {
    if bins < 2 {
        return Err(Error::OutOfRange { name: "bins", value: bins as f64, expected: "at least 2" });
    }
    if let Some(&value) = sample.iter().find(|value| !value.is_finite()) {
        return Err(Error::OutOfRange { name: "sample", value, expected: "finite throughout" });
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&smallest), Some(&largest)) = (sorted.first(), sorted.last()) else {
        return Err(Error::Empty { name: "sample" });
    };
    if smallest >= largest {
        return Ok(vec![largest.next_down(), largest]);
    }
    let mut edges: Vec<f64> = (1..bins)
        .map(|step| sorted[(sorted.len() * step).div_ceil(bins) - 1])
        .filter(|&edge| edge < largest)
        .collect();
    edges.dedup();
    if edges.is_empty() {
        // More than (bins − 1)/bins of the reference sits on its largest value; the rest is the other bin.
        edges.extend(sorted.iter().rev().find(|&&value| value < largest));
    }
    Ok(edges)
}

/// The bin of `value` among `edges` (see [`reference_edges`]); `None` for NaN. Infinities fall in the end bins.
pub fn bin(edges: &[f64], value: f64) -> Option<usize> {
    (!value.is_nan()).then(|| edges.partition_point(|&edge| edge < value))
}

/// How many of `values` fall in each of the `edges.len() + 1` bins; NaN is an error.
pub fn counts(edges: &[f64], values: &[f64]) -> Result<Vec<u64>, Error> {
    let mut counts = vec![0; edges.len() + 1];
    for &value in values {
        let Some(bin) = bin(edges, value) else {
            return Err(Error::OutOfRange { name: "values", value, expected: "a number" });
        };
        counts[bin] += 1;
    }
    Ok(counts)
}

/// Σ(cᵢ−rᵢ)ln(cᵢ/rᵢ) over the shares of both samples; at least 0, unitless.
///
/// An empty bin of one sample counts as half an observation there (share 0.5/n, the other shares unchanged); a bin
/// that is empty in both adds nothing. Both samples must hold something and have the same bins.
pub fn index(reference: &[u64], current: &[u64]) -> Result<f64, Error> {
    if reference.len() != current.len() {
        return Err(Error::LengthMismatch { left: reference.len(), right: current.len() });
    }
    let n = total("reference", reference)?;
    let m = total("current", current)?;
    let share = |count: u64, total: f64| if count == 0 { EMPTY_BIN_COUNT } else { count as f64 } / total;
    let occupied = reference.iter().zip(current).filter(|(r, c)| **r > 0 || **c > 0);
    Ok(sum(occupied.map(|(&r, &c)| {
        let (r, c) = (share(r, n), share(c, m));
        (c - r) * ln(c / r)
    })))
}

/// What [`index`] stays below with probability `confidence` when nothing drifted.
///
/// χ²_{confidence, bins−1}·(1/n + 1/m), for `bins` ≥ 2, and sample sizes n of the reference and m of the window.
/// An index above it is drift that the samples can show; below it, noise. Source: Yurdakul 2018.
pub fn sampling_bound(bins: usize, n: u64, m: u64, confidence: f64) -> Result<f64, Error> {
    open_unit("confidence", confidence)?;
    Ok(chi_square_quantile(confidence, degrees(bins)?)? * scale(n, m)?)
}

/// The chance of an [`index`] of `value` or more when nothing drifted, by the law of [`sampling_bound`].
///
/// Meant for [`crate::multiplicity`] over features.
pub fn p_value(value: f64, bins: usize, n: u64, m: u64) -> Result<f64, Error> {
    unit("p_value", chi_square_upper_tail(value / scale(n, m)?, degrees(bins)?)?)
}

fn total(name: &'static str, counts: &[u64]) -> Result<f64, Error> {
    let total = sum(counts.iter().map(|&count| count as f64));
    if total > 0.0 { Ok(total) } else { Err(Error::Empty { name }) }
}

fn degrees(bins: usize) -> Result<f64, Error> {
    if bins < 2 {
        return Err(Error::OutOfRange { name: "bins", value: bins as f64, expected: "at least 2" });
    }
    Ok((bins - 1) as f64)
}

fn scale(n: u64, m: u64) -> Result<f64, Error> {
    if n == 0 || m == 0 {
        return Err(Error::Empty { name: "observations" });
    }
    Ok(1.0 / n as f64 + 1.0 / m as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::Random;

    #[test]
    fn sampling_bounds_of_the_reference() {
        for (bins, n, expected) in [(10, 1_000, 0.0338), (20, 1_000, 0.0603), (10, 100, 0.338)] {
            let bound = sampling_bound(bins, n, n, 0.95).unwrap();
            assert!((bound - expected).abs() < 2e-3 * expected, "{bound}");
        }
    }

    #[test]
    fn deciles_of_distinct_values_make_ten_equal_bins() {
        let sample: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        let edges = reference_edges(&sample, 10).unwrap();
        assert_eq!(edges, [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0]);
        assert_eq!(counts(&edges, &sample).unwrap(), [100; 10]);
    }

    #[test]
    fn ties_merge_edges_and_leave_no_reference_bin_empty() {
        for sample in [
            vec![0.0, 0.0, 0.0, 1.0],
            vec![0.0, 1.0],
            [vec![0.0], vec![1.0; 99]].concat(),
            (0..100).map(|index| f64::from(index % 3)).collect(),
            (0..100).map(|index| f64::from(index / 30)).collect(),
        ] {
            let edges = reference_edges(&sample, 10).unwrap();
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(counts(&edges, &sample).unwrap().iter().all(|&count| count > 0), "{sample:?}");
        }
    }

    #[test]
    fn leaving_a_constant_is_drift_in_either_direction() {
        let edges = reference_edges(&[5.0; 100], 10).unwrap();
        let reference = counts(&edges, &[5.0; 100]).unwrap();
        assert_eq!(reference, [0, 100, 0]);
        assert!(index(&reference, &reference).unwrap().abs() < f64::EPSILON);
        for moved in [4.9, 5.1] {
            let current = counts(&edges, &[moved; 100]).unwrap();
            assert!(index(&reference, &current).unwrap() > 1.0);
        }
    }

    #[test]
    fn noise_stays_below_the_bound_about_as_often_as_said() {
        let mut random = Random::seeded(3);
        let mut draw = |n: usize, shift: f64| (0..n).map(|_| random.uniform() + shift).collect::<Vec<_>>();
        let bound = sampling_bound(10, 1_000, 500, 0.95).unwrap();
        let mut value = |shift| {
            let (reference, current) = (draw(1_000, 0.0), draw(500, shift));
            let edges = reference_edges(&reference, 10).unwrap();
            index(&counts(&edges, &reference).unwrap(), &counts(&edges, &current).unwrap()).unwrap()
        };
        let above = (0..300).filter(|_| value(0.0) > bound).count();
        assert!((3..=32).contains(&above), "{above} of 300");
        assert!((0..20).all(|_| value(0.15) > bound));
    }

    #[test]
    fn p_values_agree_with_the_bound() {
        let bound = sampling_bound(10, 900, 300, 0.95).unwrap();
        assert!((p_value(bound, 10, 900, 300).unwrap() - 0.05).abs() < 1e-12);
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert!(reference_edges(&[], 10).is_err());
        assert!(reference_edges(&[1.0, f64::NAN], 10).is_err());
        assert!(reference_edges(&[1.0, 2.0], 1).is_err());
        assert!(counts(&[0.0], &[f64::NAN]).is_err());
        assert!(index(&[1, 2], &[1]).is_err());
        assert!(index(&[0, 0], &[1, 1]).is_err());
        assert!(sampling_bound(1, 10, 10, 0.95).is_err());
        assert!(p_value(f64::NAN, 10, 10, 10).is_err());
    }
}
