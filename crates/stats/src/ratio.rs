//! Sample-ratio mismatch: do the arms get the traffic they were meant to get?
//!
//! Checked before any outcome: when traffic is not split as planned, no comparison of the arms can be trusted.
//! [`mismatch`] holds for one look; [`sequential_mismatch`] for a look at every tick.

use crate::error::{Error, positive};
use crate::math::{chi_square_upper_tail, exp, ln, ln_gamma, sum};

/// Method id of [`mismatch`].
pub const CHI_SQUARE: &str = "sample-ratio-chi-square/1";
/// Method id of [`sequential_mismatch`].
pub const SEQUENTIAL: &str = "sample-ratio-sequential/1";
/// Usual alarm level of the p-value; low, since a split is exact when it works.
pub const P_ALARM_DEFAULT: f64 = 0.001;

/// Prior observations per arm of the sequential test, in units of the arm's share times the number of arms.
const PRIOR_PER_ARM: f64 = 1.0;

/// A chi-square test of counts against expected shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// Σ(observed − expected)²/expected.
    pub statistic: f64,
    /// Arms less one.
    pub degrees: u64,
    /// Chance of a statistic as large or larger under the expected shares.
    pub p_value: f64,
}

/// Tests observed counts against shares, for one look.
///
/// `shares`: one weight per arm, each above 0, in any unit (they are divided by their sum). An arm that should
/// get nothing is not an arm. At least two arms and one observation. The p-value wants five expected per arm.
pub fn mismatch(observed: &[u64], shares: &[f64]) -> Result<ChiSquare, Error> {
    let shares = normalized(observed, shares)?;
    let total = sum(observed.iter().map(|&count| count as f64));
    let statistic = sum(observed.iter().zip(&shares).map(|(&count, share)| {
        let expected = total * share;
        let excess = count as f64 - expected;
        excess * excess / expected
    }));
    let degrees = shares.len() as u64 - 1;
    Ok(ChiSquare { statistic, degrees, p_value: chi_square_upper_tail(statistic, degrees as f64)? })
}

/// An always-valid p-value of counts against shares: alarm at p < alpha, at any tick, errs at most alpha, ever.
///
/// It is 1 over the Bayes factor of a Dirichlet mixture (centred on the shares) against the shares, at most 1;
/// not the running minimum, which is the caller's to keep if wanted. Source: Lindon and Malek 2020, "Anytime-valid
/// inference for multinomial count data". Arguments as [`mismatch`].
pub fn sequential_mismatch(observed: &[u64], shares: &[f64]) -> Result<f64, Error> {
    let shares = normalized(observed, shares)?;
    let total = sum(observed.iter().map(|&count| count as f64));
    let concentration = PRIOR_PER_ARM * shares.len() as f64;
    let arms = sum(observed.iter().zip(&shares).map(|(&count, share)| {
        let prior = concentration * share;
        ln_gamma(prior + count as f64) - ln_gamma(prior) - count as f64 * ln(*share)
    }));
    let log_factor = ln_gamma(concentration) - ln_gamma(concentration + total) + arms;
    Ok(exp(-log_factor).min(1.0))
}

/// Checks the arguments and divides the shares by their sum.
fn normalized(observed: &[u64], shares: &[f64]) -> Result<Vec<f64>, Error> {
    if observed.len() != shares.len() {
        return Err(Error::LengthMismatch { left: observed.len(), right: shares.len() });
    }
    if shares.len() < 2 {
        return Err(Error::Empty { name: "pairs of arms" });
    }
    if observed.iter().all(|&count| count == 0) {
        return Err(Error::Empty { name: "observations" });
    }
    for &share in shares {
        positive("share", share)?;
    }
    let total = positive("sum of shares", sum(shares.iter().copied()))?;
    Ok(shares.iter().map(|share| share / total).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_random::{Random, number_from_environment};

    #[test]
    fn known_answers_of_the_reference() {
        let near = mismatch(&[5_050, 4_950], &[0.5, 0.5]).unwrap();
        assert!((near.statistic - 1.0).abs() < 1e-12 && (near.p_value - 0.317_310_507_862_914).abs() < 1e-12);
        let far = mismatch(&[5_200, 4_800], &[50.0, 50.0]).unwrap();
        assert!((far.p_value - 6.334_248_366_624e-5).abs() < 1e-15, "{far:?}");
    }

    #[test]
    fn a_sequential_look_needs_more_than_a_single_one() {
        let single = mismatch(&[5_200, 4_800], &[1.0, 1.0]).unwrap().p_value;
        let sequential = sequential_mismatch(&[5_200, 4_800], &[1.0, 1.0]).unwrap();
        assert!(single < sequential && sequential < 0.05, "{single} {sequential}");
        assert!(sequential_mismatch(&[5_400, 4_600], &[1.0, 1.0]).unwrap() < 1e-9);
    }

    #[test]
    fn sequential_false_alarms_stay_below_alpha_at_every_tick() {
        let mut random = Random::seeded(7);
        let paths = number_from_environment("STATS_PATHS", 200);
        let mut alarmed = 0;
        for _ in 0..paths {
            let mut observed = [0, 0];
            alarmed += u64::from((0..200).any(|_| {
                let candidate = random.binomial(20, 0.05);
                observed[0] += candidate;
                observed[1] += 20 - candidate;
                sequential_mismatch(&observed, &[5.0, 95.0]).unwrap() < 0.05
            }));
        }
        let share = alarmed as f64 / paths as f64;
        println!("sequential sample ratio, alpha 0.05: {share}");
        assert!(share <= 0.05, "{share}");
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert!(mismatch(&[1, 2], &[1.0]).is_err());
        assert!(mismatch(&[1], &[1.0]).is_err());
        assert!(mismatch(&[0, 0], &[0.5, 0.5]).is_err());
        for share in [0.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(mismatch(&[1, 2], &[share, 0.5]).is_err());
            assert!(sequential_mismatch(&[1, 2], &[share, 0.5]).is_err());
        }
    }
}
