//! The shapes of the confidence sequences for observations of variance 1.
//!
//! Both come from mixing over the unknown drift of a Brownian motion with a normal density of variance ρ²
//! (two-sided) or with its upper half (one-sided); Ville's inequality bounds the chance of ever crossing.

use super::Tuning;
use crate::error::{Error, positive};
use crate::math::{ln, sqrt};

/// Half-width after n > 0 observations of variance 1 so that either side errs, ever, at most alpha.
///
/// √[2(nρ²+1)/(n²ρ²)·ln(√(nρ²+1)/α)], ρ² = (−2 ln α + ln(1 − 2 ln α))/n_star.
pub fn two_sided_half_width(n: f64, tuning: Tuning) -> Result<f64, Error> {
    let t = positive("n", n)? * rho_squared(tuning.alpha, tuning.n_star);
    Ok(sqrt(2.0 * (t + 1.0) / (n * t) * ln(sqrt(t + 1.0) / tuning.alpha)))
}

/// Half-width after n > 0 observations of variance 1 so that this one side errs, ever, at most alpha < ½.
///
/// √[2(nρ²+1)/(n²ρ²)·ln(1 + √(nρ²+1)/(2α))], with ρ² as in the two-sided form at 2α.
pub fn one_sided_half_width(n: f64, tuning: Tuning) -> Result<f64, Error> {
    if tuning.alpha >= 0.5 {
        let expected = "below one half for a one-sided bound";
        return Err(Error::OutOfRange { name: "alpha", value: tuning.alpha, expected });
    }
    let both = 2.0 * tuning.alpha;
    let t = positive("n", n)? * rho_squared(both, tuning.n_star);
    Ok(sqrt(2.0 * (t + 1.0) / (n * t) * ln(1.0 + sqrt(t + 1.0) / both)))
}

fn rho_squared(alpha: f64, n_star: f64) -> f64 {
    let log = -2.0 * ln(alpha);
    (log + ln(1.0 + log)) / n_star
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{exp, normal_cdf};

    #[test]
    fn growthbook_numbers_of_the_reference() {
        let tuning = Tuning::new(0.05, 5_000.0).unwrap();
        assert!((sqrt(rho_squared(0.05, 5_000.0)) - 0.039_840_066_8).abs() < 1e-10);
        let half = two_sided_half_width(1_000.0, tuning).unwrap();
        assert!((half - 0.106_375_470_1).abs() < 1e-10, "{half}");
    }

    #[test]
    fn the_mixture_has_reached_one_over_alpha_at_the_bound() {
        for alpha in [0.2, 0.05, 0.001] {
            for n in [1.0, 30.0, 1_000.0, 1e7] {
                let tuning = Tuning::new(alpha, 500.0).unwrap();
                // Score of the drift at the bound, in units of its spread under the mixture.
                let at = |half: f64, t: f64| half * sqrt(n * t / (t + 1.0));
                let t = n * rho_squared(alpha, 500.0);
                let x = at(two_sided_half_width(n, tuning).unwrap(), t);
                let two_sided = exp(x * x / 2.0) / sqrt(t + 1.0);
                assert!((two_sided * alpha - 1.0).abs() < 1e-9, "{two_sided}");
                let t = n * rho_squared(2.0 * alpha, 500.0);
                let x = at(one_sided_half_width(n, tuning).unwrap(), t);
                let one_sided = 2.0 * exp(x * x / 2.0) * normal_cdf(x) / sqrt(t + 1.0);
                assert!(one_sided * alpha >= 1.0 && one_sided * alpha < 1.5, "{one_sided}");
            }
        }
    }

    #[test]
    fn bounds_are_tightest_relative_to_a_fixed_look_near_n_star() {
        let tuning = Tuning::new(0.05, 1_000.0).unwrap();
        let relative = |n: f64| one_sided_half_width(n, tuning).unwrap() * sqrt(n);
        let best = relative(1_000.0);
        for n in [10.0, 100.0, 300.0, 4_000.0, 100_000.0] {
            assert!(relative(n) > best, "{n}");
        }
    }

    #[test]
    fn senseless_tunings_are_errors() {
        for (alpha, n_star) in [(0.0, 1.0), (1.0, 1.0), (f64::NAN, 1.0), (0.05, 0.0), (0.05, f64::INFINITY)] {
            assert!(Tuning::new(alpha, n_star).is_err());
        }
        let loose = Tuning::new(0.5, 100.0).unwrap();
        assert!(one_sided_half_width(10.0, loose).is_err());
        assert!(two_sided_half_width(0.0, loose).is_err());
    }
}
