//! Production traffic as measurements: what a rollout and a monitor both look at.
//!
//! To add a check of production traffic: one file here with its measurement, one row in [`measure`].
//!
//! **Invariant:** an arm is told by the bundle that answered, never by what was asked for. What is not known (no
//! label yet, no output) is left out, never counted as good.

mod error_rate;
mod latency;
mod outcome;
pub(crate) mod quality;
mod tally;

use domain::check::{Check, Kind};
use domain::evidence::{Arm, Finding, Measurement};

use crate::evidence::{check_name, finding};

pub(crate) use tally::{Tally, Units};

/// Whose findings those are that say nothing about the model: a check that cannot be measured has no data, and must
/// not look as if it had found harm.
pub(crate) const ASIDE: &str = "measuring";

type Measure = fn(&Check, Arm, &Tally) -> Measurement;

/// What measures a check on the traffic of one arm; none for those that need a request of their own.
fn measure(kind: &Kind) -> Option<Measure> {
    match kind {
        Kind::ErrorRate(_) => Some(error_rate::measure),
        Kind::Latency(_) => Some(latency::measure),
        Kind::Outcome(_) => Some(outcome::measure),
        Kind::Quality(_) => Some(quality::measure),
        // Drift compares with a profile and not with an arm: see `monitor::drift`.
        Kind::Drift(_) | Kind::Smoke(_) | Kind::Contract(_) => None,
    }
}

/// Measures one check on each arm. An arm without observations has no measurement.
pub(crate) fn measure_arms(check: &Check, arms: &[(Arm, &Tally)]) -> Result<Vec<Measurement>, Finding> {
    if let Kind::Outcome(asked) = &check.kind
        && &*asked.field != outcome::LABEL_MATCH
    {
        let text = format!("expected `{}` as the field, but it is `{}`", outcome::LABEL_MATCH, asked.field);
        return Err(finding(&check_name(ASIDE), "FIELD_UNKNOWN", text));
    }
    let Some(measure) = measure(&check.kind) else {
        let text = format!("`{}` cannot be measured on production traffic here", check.kind_name());
        return Err(finding(&check_name(ASIDE), "CHECK_NOT_HERE", text));
    };
    let of_arm = arms.iter().map(|(arm, tally)| measure(check, *arm, tally));
    Ok(of_arm.filter(|measurement| measurement.n > 0).collect())
}
