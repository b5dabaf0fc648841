//! Experiment health: do the arms see the traffic they are meant to see? Not declared by users: judged beside every
//! comparison, which cannot be trusted when this fails.
//!
//! Measured under the check name `sample-ratio`: for each arm `n`, the distinct units (sticky keys, or requests
//! without one) that it answered since the last change of traffic.

use stats::ratio::{P_ALARM_DEFAULT, SEQUENTIAL, sequential_mismatch};

use super::{Judgement, senseless, words};
use crate::evidence::{Arm, Evidence};
use crate::verdict::Verdict;

pub const NAME: &str = "sample-ratio";
/// Valid at every tick at which one looks.
pub const METHOD: &str = SEQUENTIAL;
/// A p-value below it is an alarm; low, since a split is exact when it works.
pub const P_ALARM: f64 = P_ALARM_DEFAULT;
/// The fewest units that the smaller arm should have by now, for anything but an alarm.
const EXPECTED_MIN: f64 = 5.0;

/// Judges whether the candidate sees `share` (0 to 1) of the units. Value: the share it saw; bound: `share`.
pub fn judge(evidence: &Evidence, share: f64) -> Judgement {
    if !(share > 0.0 && share < 1.0) {
        return Judgement::skipped(METHOD, "one arm has all the traffic");
    }
    let units = |arm| {
        let mut measured = evidence.measurements.iter();
        measured.find(|m| m.check.as_str() == NAME && m.arm == arm).map(|m| m.n)
    };
    let (candidate, live) = match (units(Arm::Candidate), units(Arm::Live)) {
        (None, None) => return Judgement::no_data(METHOD, "no units were counted"),
        (candidate, live) => (candidate.unwrap_or(0), live.unwrap_or(0)),
    };
    let total = candidate as f64 + live as f64;
    if candidate == 0 && live == 0 {
        return Judgement::no_data(METHOD, "no units were seen");
    }
    let p = match sequential_mismatch(&[candidate, live], &[share, 1.0 - share]) {
        Ok(p) => p,
        Err(why) => return senseless(METHOD, &why),
    };
    let verdict = if p < P_ALARM {
        Verdict::Fail
    } else if total * share.min(1.0 - share) < EXPECTED_MIN {
        Verdict::NoData
    } else {
        Verdict::Pass
    };
    Judgement {
        value: Some(candidate as f64 / total),
        bound: Some(share),
        n: candidate,
        terms: vec![("live.n".into(), live as f64), ("p".into(), p), ("p.alarm".into(), P_ALARM)],
        ..Judgement::new(verdict, METHOD)
    }
}

/// What was concluded, with its numbers.
pub fn explain(judgement: &Judgement) -> String {
    let verdict = words::verdict(judgement.verdict);
    let (Some(value), Some(share)) = (judgement.value, judgement.bound) else {
        return format!("{verdict}: {}", judgement.note.as_deref().unwrap_or("nothing was counted"));
    };
    let live = judgement.term("live.n").unwrap_or_default() as u64;
    let concluded = match judgement.verdict {
        Verdict::Fail => "chance does not explain it, so the arms cannot be compared",
        Verdict::NoData => "too few to tell",
        Verdict::Pass | Verdict::Inconclusive => "as chance may have it",
    };
    format!(
        "{verdict}: the candidate saw {} of the units where {} were meant (n = {} and {}), {concluded}",
        words::percent(value),
        words::percent(share),
        words::count(judgement.n),
        words::count(live)
    )
}
