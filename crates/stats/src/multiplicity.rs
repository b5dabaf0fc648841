//! Many tests at once: p-values adjusted so that they may be compared with one level.
//!
//! Drift over many features is a search: bound the share of false discoveries ([`benjamini_hochberg`]). A gate over
//! several checks must not err at all: bound the chance of any error ([`holm`]).

use crate::error::{Error, unit};

/// Method id of [`benjamini_hochberg`].
pub const BENJAMINI_HOCHBERG: &str = "benjamini-hochberg/1";
/// Method id of [`holm`].
pub const HOLM: &str = "holm/1";

/// Adjusted p-values in the order given: those at or below q are discoveries of which a share q is false.
///
/// Each p-value 0 to 1; independent or positively dependent tests. Source: Benjamini and Hochberg 1995.
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>, Error> {
    let order = ascending(p_values)?;
    let total = p_values.len() as f64;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (rank, &index) in order.iter().enumerate().rev() {
        least = least.min(p_values[index] * total / (rank + 1) as f64);
        adjusted[index] = least;
    }
    Ok(adjusted)
}

/// Adjusted p-values in the order given: rejecting those at or below alpha errs anywhere at most alpha.
///
/// Each p-value 0 to 1; any dependence. Source: Holm 1979.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, Error> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Indices by ascending p-value; equal ones keep their order.
fn ascending(p_values: &[f64]) -> Result<Vec<usize>, Error> {
    for &p_value in p_values {
        unit("p_value", p_value)?;
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tests_need_no_adjustment() {
        assert_eq!(benjamini_hochberg(&[]), Ok(vec![]));
        assert_eq!(holm(&[]), Ok(vec![]));
    }

    #[test]
    fn a_single_test_stays_as_it_is() {
        assert_eq!(benjamini_hochberg(&[0.03]), Ok(vec![0.03]));
        assert_eq!(holm(&[0.03]), Ok(vec![0.03]));
    }

    #[test]
    fn holm_is_never_laxer_than_benjamini_hochberg() {
        let p_values = [0.001, 0.2, 0.012, 0.04, 0.04, 0.9];
        let (strict, lax) = (holm(&p_values).unwrap(), benjamini_hochberg(&p_values).unwrap());
        assert!(strict.iter().zip(&lax).all(|(strict, lax)| strict >= lax));
    }

    #[test]
    fn what_is_no_probability_is_an_error() {
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(benjamini_hochberg(&[0.5, bad]).is_err() && holm(&[0.5, bad]).is_err());
        }
    }
}
