//! The standard normal distribution.

use super::{erfc, exp, ln, sqrt};
use crate::error::{Error, open_unit};
use std::f64::consts::SQRT_2;

/// 1/√(2π), the density's height at 0.
const PEAK: f64 = 0.398_942_280_401_432_7;
/// Halley steps after a start that is good to 4.5e-4; the third already changes nothing.
const REFINEMENTS: usize = 4;

/// Density exp(−x²/2)/√(2π).
pub fn normal_density(x: f64) -> f64 {
    PEAK * exp(-x * x / 2.0)
}

/// P(Z ≤ x), relatively precise in the lower tail. Formula: erfc(−x/√2)/2.
pub fn normal_cdf(x: f64) -> f64 {
    erfc(-x / SQRT_2) / 2.0
}

/// P(Z > x), relatively precise in the upper tail.
pub fn normal_upper_tail(x: f64) -> f64 {
    normal_cdf(-x)
}

/// The x with P(Z ≤ x) = `probability`, which must lie strictly between 0 and 1.
///
/// Good to 1e-13 relative for probabilities from 1e-300. A rational start (Abramowitz and Stegun 26.2.23) is
/// refined by Halley's method against [`normal_cdf`].
pub fn normal_quantile(probability: f64) -> Result<f64, Error> {
    open_unit("probability", probability)?;
    if probability > 0.5 {
        return Ok(-lower_quantile(1.0 - probability));
    }
    Ok(lower_quantile(probability))
}

/// The quantile for probabilities up to one half.
fn lower_quantile(probability: f64) -> f64 {
    let t = sqrt(-2.0 * ln(probability));
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut x = numerator / denominator - t;
    for _ in 0..REFINEMENTS {
        let step = (normal_cdf(x) - probability) / normal_density(x);
        x -= step / (1.0 + x * step / 2.0);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_inverts_the_distribution() {
        for probability in [1e-300, 1e-100, 1e-9, 0.001, 0.025, 0.3, 0.5, 0.7, 0.999] {
            let back = normal_cdf(normal_quantile(probability).unwrap());
            let tolerance = 1e-12 * probability * (1.0 - 2.0 * ln(probability));
            assert!((back - probability).abs() < tolerance, "{probability}: {back}");
        }
    }

    #[test]
    fn probabilities_outside_the_open_unit_interval_are_errors() {
        for probability in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(normal_quantile(probability).is_err());
        }
    }
}
