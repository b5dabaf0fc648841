//! The one error of this crate: an input that cannot be computed with.
//!
//! Written by hand rather than derived, since this crate depends on nothing but `libm`.

use std::fmt;

/// Says which input cannot be computed with. All kinds ask for the same: mend the input.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// A number is NaN or outside the range in which the function is defined.
    OutOfRange { name: &'static str, value: f64, expected: &'static str },
    /// More events than trials.
    CountAboveTotal { events: u64, total: u64 },
    /// Nothing was observed, so there is nothing to estimate from.
    Empty { name: &'static str },
    /// Two inputs that belong together differ in length.
    LengthMismatch { left: usize, right: usize },
    /// An iteration did not settle within its bound; seen only far outside realistic counts.
    NotConverged { function: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { name, value, expected } => {
                write!(formatter, "expected `{name}` to be {expected}, but it is {value}")
            }
            Self::CountAboveTotal { events, total } => {
                write!(formatter, "expected at most {total} events, but there are {events}")
            }
            Self::Empty { name } => write!(formatter, "expected at least one of `{name}`, but there is none"),
            Self::LengthMismatch { left, right } => {
                write!(formatter, "expected inputs of one length, but they have {left} and {right} values")
            }
            Self::NotConverged { function } => {
                write!(formatter, "failed to compute `{function}` within its bound")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Checks that `value` lies strictly between 0 and 1: confidence levels, alphas, powers.
pub(crate) fn open_unit(name: &'static str, value: f64) -> Result<f64, Error> {
    if value > 0.0 && value < 1.0 {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, value, expected: "between 0 and 1, both excluded" })
    }
}

/// Checks that `value` lies in 0 to 1: rates and probabilities.
pub(crate) fn unit(name: &'static str, value: f64) -> Result<f64, Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, value, expected: "between 0 and 1" })
    }
}

/// Checks that `value` is finite and above 0: variances, sample sizes, weights.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, value, expected: "a finite number above 0" })
    }
}

/// Checks that `value` is neither NaN nor infinite.
pub(crate) fn finite(name: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Error::OutOfRange { name, value, expected: "a finite number" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_out_of_every_range() {
        for check in [open_unit, unit, positive, finite] {
            assert!(matches!(check("share", f64::NAN), Err(Error::OutOfRange { name: "share", .. })));
        }
    }

    #[test]
    fn texts_are_lowercase_fragments_that_name_the_input() {
        let text = unit("live_rate", 1.5).unwrap_err().to_string();
        assert_eq!(text, "expected `live_rate` to be between 0 and 1, but it is 1.5");
    }
}
