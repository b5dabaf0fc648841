//! `outcome`: what became of the answers, as labels say it later.
//!
//! Measured: `n` answers of an arm whose label has come, `sum` of them right.

use super::proportion::{Hits, against_live, alone, explain_against_live, explain_alone};
use super::{Judgement, Seen, Setting, words};
use crate::evidence::Text;

pub const NAME: &str = "outcome";
/// Method id with `min`.
pub const METHOD_ALONE: &str = super::proportion::ONE_PROPORTION;
/// Method id with `margin`.
pub const METHOD_AGAINST_LIVE: &str = stats::sequential::TWO_PROPORTION;
/// The field that there is: the share of answers that agree with the label.
pub const LABEL_MATCH: &str = "label-match";

/// The share of good outcomes: absolute (`min`) or against the live release (`margin`); exactly one is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What is compared: `label-match`, the share of answers that agree with the label.
    pub field: Text,
    /// The least allowed, 0 to 1.
    pub min: Option<f64>,
    /// How much worse than the live release it may be, 0 to 1, one-sided for harm.
    pub margin: Option<f64>,
}

impl Outcome {
    /// With `margin`: value and bounds are how much *worse* the candidate is, the live release's share less its own.
    /// With `min`: the candidate's share.
    ///
    /// Fails as soon as the lower bound of the harm is above the margin (the upper bound of the share below `min`);
    /// passes, from the least samples on, when the harm's upper bound is below the margin, or when the share itself
    /// reaches `min`.
    pub fn judge(&self, seen: Seen<'_>, setting: Setting) -> Judgement {
        match (self.margin, self.min) {
            (Some(margin), _) => against_live(seen, setting, Hits::AreGood, margin),
            (None, Some(min)) => alone(seen, setting, Hits::AreGood, min),
            (None, None) => Judgement::no_data(METHOD_ALONE, "neither `min` nor `margin` is set"),
        }
    }

    pub fn words(&self) -> String {
        let field = &self.field;
        match (self.margin, self.min) {
            (Some(margin), _) => {
                let points = words::number(margin * 100.0, 4);
                format!("{field} is at most {points} percentage points below the live release's")
            }
            (None, Some(min)) => format!("{field} is at least {}", words::percent(min)),
            (None, None) => format!("{field} is shown"),
        }
    }

    pub fn explain(&self, judgement: &Judgement) -> String {
        match self.margin {
            Some(_) => explain_against_live(judgement, Hits::AreGood, &self.field, "misses"),
            None => explain_alone(judgement, Hits::AreGood, &self.field, "misses"),
        }
    }
}
