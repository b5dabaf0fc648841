//! The regularized incomplete gamma function and with it the chi-square distribution.
//!
//! Series below the mean, continued fraction above (Abramowitz and Stegun 6.5.29 and 6.5.31). The common
//! factor xᵃe⁻ˣ/Γ(a) is formed from the deviance and Stirling's error (Loader 2000), so that large counts do
//! not cancel.

use super::fraction::{TERMS_MAX, continued_fraction};
use super::{bisect, exp, ln, ln_1p, ln_gamma, sqrt};
use crate::error::{Error, open_unit, positive};
use std::f64::consts::PI;

/// Doublings while looking for an upper end of the chi-square distribution.
const DOUBLINGS_MAX: usize = 64;

/// P(a, x) = γ(a, x)/Γ(a) for a > 0, x ≥ 0; about 1e-13 relative for a up to 1e6.
pub fn gamma_lower(shape: f64, x: f64) -> Result<f64, Error> {
    if check(shape, x)? {
        return Ok(if x > 0.0 { 1.0 } else { 0.0 });
    }
    if x < shape + 1.0 { series(shape, x) } else { Ok(1.0 - fraction(shape, x)?) }
}

/// Q(a, x) = 1 − P(a, x), relatively precise in the upper tail.
pub fn gamma_upper(shape: f64, x: f64) -> Result<f64, Error> {
    if check(shape, x)? {
        return Ok(if x > 0.0 { 0.0 } else { 1.0 });
    }
    if x < shape + 1.0 { Ok(1.0 - series(shape, x)?) } else { fraction(shape, x) }
}

/// P(X ≤ x) for chi-square with `degrees` > 0 of freedom.
pub fn chi_square_cdf(x: f64, degrees: f64) -> Result<f64, Error> {
    gamma_lower(degrees / 2.0, x / 2.0)
}

/// P(X > x) for chi-square with `degrees` > 0 of freedom: the p-value of a chi-square test.
pub fn chi_square_upper_tail(x: f64, degrees: f64) -> Result<f64, Error> {
    gamma_upper(degrees / 2.0, x / 2.0)
}

/// The x with P(X ≤ x) = `probability` (strictly between 0 and 1), chi-square with `degrees` > 0.
pub fn chi_square_quantile(probability: f64, degrees: f64) -> Result<f64, Error> {
    open_unit("probability", probability)?;
    positive("degrees", degrees)?;
    let below = |x: f64| -> Result<bool, Error> {
        if probability < 0.5 {
            Ok(chi_square_cdf(x, degrees)? < probability)
        } else {
            Ok(chi_square_upper_tail(x, degrees)? > 1.0 - probability)
        }
    };
    let mut upper = degrees + 1.0;
    for _ in 0..DOUBLINGS_MAX {
        if !below(upper)? {
            return bisect(0.0, upper, below);
        }
        upper *= 2.0;
    }
    Err(Error::NotConverged { function: "chi_square_quantile" })
}

/// Checks the arguments; true when x stands at an end where the answer is exact.
fn check(shape: f64, x: f64) -> Result<bool, Error> {
    positive("shape", shape)?;
    if x.is_nan() || x < 0.0 {
        return Err(Error::OutOfRange { name: "x", value: x, expected: "at least 0" });
    }
    Ok(x == 0.0 || x.is_infinite())
}

/// xᵃe⁻ˣ/Γ(a).
fn factor(shape: f64, x: f64) -> f64 {
    let relative = (x - shape) / shape;
    let exponent = shape * ln_1p_less(relative, x / shape) - stirling_error(shape);
    sqrt(shape / (2.0 * PI)) * exp(exponent)
}

fn series(shape: f64, x: f64) -> Result<f64, Error> {
    let mut term = 1.0 / shape;
    let mut total = term;
    for index in 1..=TERMS_MAX {
        term *= x / (shape + index as f64);
        total += term;
        if term < total * (f64::EPSILON / 4.0) {
            return Ok((total * factor(shape, x)).min(1.0));
        }
    }
    Err(Error::NotConverged { function: "gamma_lower" })
}

fn fraction(shape: f64, x: f64) -> Result<f64, Error> {
    let start = x + 1.0 - shape;
    let value = continued_fraction("gamma_upper", start, |index| {
        let index = index as f64;
        (-index * (index - shape), start + 2.0 * index)
    })?;
    Ok((value * factor(shape, x)).min(1.0))
}

/// ln Γ(a) − [(a − ½) ln a − a + ½ ln 2π], for a > 0.
pub(super) fn stirling_error(a: f64) -> f64 {
    if a < 16.0 {
        return ln_gamma(a) - ((a - 0.5) * ln(a) - a + ln(2.0 * PI) / 2.0);
    }
    let s = 1.0 / (a * a);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / a
}

/// ln(1 + t) − t, precise near 0; `one_plus` is 1 + t as the caller can form it best.
pub(super) fn ln_1p_less(t: f64, one_plus: f64) -> f64 {
    if t.abs() > 0.4 {
        return if t < 0.0 { ln(one_plus) - t } else { ln_1p(t) - t };
    }
    // ln(1+t) = 2 artanh(r) with r = t/(2+t), whose first term less t is −t·r.
    let r = t / (2.0 + t);
    let square = r * r;
    let mut power = square * r;
    let mut total = 0.0;
    let mut odd = 3.0;
    while power.abs() > f64::EPSILON * f64::EPSILON && odd < 41.0 {
        total += power / odd;
        power *= square;
        odd += 2.0;
    }
    2.0 * total - t * r
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_upper_tails() {
        let tail = chi_square_upper_tail(3.841_458_820_694_124, 1.0).unwrap();
        assert!((tail - 0.05).abs() < 1e-15, "{tail}");
    }

    #[test]
    fn both_tails_add_up_to_one_across_the_switch() {
        for shape in [0.5, 1.0, 7.5, 1e3, 1e6] {
            for ratio in [0.9, 0.999, 1.0, 1.001, 1.1] {
                let x = shape * ratio;
                let both = gamma_lower(shape, x).unwrap() + gamma_upper(shape, x).unwrap();
                assert!((both - 1.0).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn senseless_arguments_are_errors() {
        assert!(gamma_lower(0.0, 1.0).is_err());
        assert!(gamma_lower(1.0, -1.0).is_err());
        assert!(chi_square_quantile(1.0, 3.0).is_err());
        assert!(chi_square_upper_tail(f64::NAN, 1.0).is_err());
    }
}
