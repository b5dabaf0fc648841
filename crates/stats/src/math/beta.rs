//! The regularized incomplete beta function and with it the beta and binomial distributions.
//!
//! Continued fraction (Abramowitz and Stegun 26.5.8), taken on the side of the mean where it converges fast.

use super::fraction::continued_fraction;
use super::gamma::{ln_1p_less, stirling_error};
use super::{bisect, exp, sqrt};
use crate::error::{Error, open_unit, positive, unit};
use std::f64::consts::PI;

/// I_x(a, b), the distribution function of Beta(a, b) at x in 0 to 1, for a, b > 0; about 1e-12 relative.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> Result<f64, Error> {
    unit("x", x)?;
    positive("a", a)?;
    positive("b", b)?;
    if x == 0.0 || x >= 1.0 {
        return Ok(x);
    }
    if x < (a + 1.0) / (a + b + 2.0) {
        Ok((factor(x, a, b) * fraction(x, a, b)? / a).min(1.0))
    } else {
        Ok(1.0 - (factor(x, a, b) * fraction(1.0 - x, b, a)? / b).min(1.0))
    }
}

/// The x with I_x(a, b) = `probability`, which must lie strictly between 0 and 1.
pub fn beta_quantile(probability: f64, a: f64, b: f64) -> Result<f64, Error> {
    open_unit("probability", probability)?;
    bisect(0.0, 1.0, |x| Ok(beta_cdf(x, a, b)? < probability))
}

/// P(B ≤ `events`) for B binomial with `trials` trials of the given `probability`.
pub fn binomial_cdf(events: u64, trials: u64, probability: f64) -> Result<f64, Error> {
    unit("probability", probability)?;
    if events >= trials {
        return Ok(1.0);
    }
    beta_cdf(1.0 - probability, (trials - events) as f64, events as f64 + 1.0)
}

/// xᵃ(1−x)ᵇ/B(a, b), from the deviances of a and b, which do not cancel for large counts.
fn factor(x: f64, a: f64, b: f64) -> f64 {
    let y = 1.0 - x;
    let total = a + b;
    let excess = x * b - a * y;
    let deviance = a * ln_1p_less(excess / a, x * total / a) + b * ln_1p_less(-excess / b, y * total / b);
    let stirling = stirling_error(total) - stirling_error(a) - stirling_error(b);
    sqrt(a / (2.0 * PI) * (b / total)) * exp(deviance + stirling)
}

fn fraction(x: f64, a: f64, b: f64) -> Result<f64, Error> {
    continued_fraction("beta_cdf", 1.0, |index| {
        let m = (index / 2) as f64;
        let numerator = if index % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        (numerator, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_is_its_own_distribution() {
        for x in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert!((beta_cdf(x, 1.0, 1.0).unwrap() - x).abs() < 1e-15);
        }
    }

    #[test]
    fn binomial_of_a_fair_coin() {
        assert!((binomial_cdf(1, 3, 0.5).unwrap() - 0.5).abs() < 1e-15);
        assert!((binomial_cdf(3, 3, 0.5).unwrap() - 1.0).abs() < 1e-15);
        assert!((binomial_cdf(0, 4, 0.0).unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn senseless_arguments_are_errors() {
        assert!(beta_cdf(1.5, 1.0, 1.0).is_err());
        assert!(beta_cdf(0.5, 0.0, 1.0).is_err());
        assert!(beta_quantile(0.0, 1.0, 1.0).is_err());
        assert!(binomial_cdf(1, 2, f64::NAN).is_err());
    }
}
