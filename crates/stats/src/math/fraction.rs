//! Continued fractions, evaluated from the front.

use crate::error::Error;

/// Terms of a series or fraction. About √a of them are needed near the mean, so this covers a up to 1e9.
pub(super) const TERMS_MAX: usize = 200_000;
/// Stands for 0 in denominators.
const TINY: f64 = 1e-300;

/// Evaluates first/(1st denominator + numerator₁/(denominator₁ + numerator₂/(…))) until a term changes nothing.
///
/// `term(k)` gives (numeratorₖ, denominatorₖ) for k from 1. Lentz's method as modified by Thompson and Barnett 1986.
pub(super) fn continued_fraction(
    function: &'static str,
    first_denominator: f64,
    term: impl Fn(usize) -> (f64, f64),
) -> Result<f64, Error> {
    let mut value = 1.0 / away_from_zero(first_denominator);
    let mut ahead = 1.0 / TINY;
    let mut behind = value;
    for index in 1..=TERMS_MAX {
        let (numerator, denominator) = term(index);
        behind = 1.0 / away_from_zero(denominator + numerator * behind);
        ahead = away_from_zero(denominator + numerator / ahead);
        let change = ahead * behind;
        value *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            return Ok(value);
        }
    }
    Err(Error::NotConverged { function })
}

fn away_from_zero(value: f64) -> f64 {
    if value.abs() < TINY { TINY } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_make_the_golden_ratio() {
        let value = continued_fraction("golden", 1.0, |_| (1.0, 1.0)).unwrap();
        assert!((value - 0.618_033_988_749_894_8).abs() < 1e-15, "{value}");
    }

    #[test]
    fn what_does_not_settle_is_an_error() {
        let turning = continued_fraction("turning", 1.0, |_| (-1.0, 1.0));
        assert_eq!(turning, Err(Error::NotConverged { function: "turning" }));
    }
}
