//! `error-rate`: the share of requests that the candidate answers with an error.
//!
//! Measured: `n` requests of an arm, `sum` of them answered with an error.

use super::proportion::{Hits, against_live, alone, explain_against_live, explain_alone};
use super::{Judgement, Seen, Setting, words};

pub const NAME: &str = "error-rate";
/// Method id with `max`.
pub const METHOD_ALONE: &str = super::proportion::ONE_PROPORTION;
/// Method id with `margin`.
pub const METHOD_AGAINST_LIVE: &str = stats::sequential::TWO_PROPORTION;

/// The share of errors: absolute (`max`) or against the live release (`margin`); exactly one is set.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorRate {
    /// The most allowed, 0 to 1.
    pub max: Option<f64>,
    /// How much worse than the live release it may be, 0 to 1, one-sided for harm.
    pub margin: Option<f64>,
}

impl ErrorRate {
    /// With `margin`: value and bounds are the candidate's rate less the live release's. With `max`: the rate.
    ///
    /// Fails as soon as the lower bound is above; passes, from the least samples on, when the upper bound is below
    /// the margin, or when the rate itself is not above `max`.
    pub fn judge(&self, seen: Seen<'_>, setting: Setting) -> Judgement {
        match (self.margin, self.max) {
            (Some(margin), _) => against_live(seen, setting, Hits::AreBad, margin),
            (None, Some(max)) => alone(seen, setting, Hits::AreBad, max),
            (None, None) => Judgement::no_data(METHOD_ALONE, "neither `max` nor `margin` is set"),
        }
    }

    pub fn words(&self) -> String {
        match (self.margin, self.max) {
            (Some(margin), _) => {
                let points = words::number(margin * 100.0, 4);
                format!("the error rate is at most {points} percentage points above the live release's")
            }
            (None, Some(max)) => format!("the error rate is at most {}", words::percent(max)),
            (None, None) => "the error rate is shown".to_owned(),
        }
    }

    pub fn explain(&self, judgement: &Judgement) -> String {
        match self.margin {
            Some(_) => explain_against_live(judgement, Hits::AreBad, "error rate", "errors"),
            None => explain_alone(judgement, Hits::AreBad, "error rate", "errors"),
        }
    }
}
