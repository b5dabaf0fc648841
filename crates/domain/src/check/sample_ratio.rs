//! `sample-ratio`: whether the split that was asked for is the split that was seen. Experiment health outranks
//! every metric: when callers are not split as intended, nothing else can be trusted.

use super::Judgement;
use crate::evidence::{Arm, Evidence};
use crate::verdict::Verdict;

pub const NAME: &str = "sample-ratio";
pub const METHOD: &str = stats::ratio::SEQUENTIAL;
/// Below this always-valid p-value the split is not the intended one.
pub const P_ALARM: f64 = 0.001;
/// Fewer distinct callers than this say nothing.
const UNITS_MIN: u64 = 100;

/// Judges distinct callers per arm (`n`) against the candidate's intended `share`, 0 to 1 exclusive.
pub fn judge(evidence: &Evidence, share: f64) -> Judgement {
    let units = |arm: Arm| {
        let of_arm = evidence.measurements.iter().find(|m| m.check.as_str() == NAME && m.arm == arm);
        of_arm.map_or(0, |measurement| measurement.n)
    };
    let (candidate, live) = (units(Arm::Candidate), units(Arm::Live));
    let total = candidate + live;
    if total < UNITS_MIN {
        return Judgement { n: total, ..Judgement::no_data(METHOD, "too few callers to tell") };
    }
    let Ok(p_value) = stats::ratio::sequential_mismatch(&[candidate, live], &[share, 1.0 - share]) else {
        return Judgement { n: total, ..Judgement::no_data(METHOD, "a share of nothing or all cannot be tested") };
    };
    let verdict = if p_value < P_ALARM { Verdict::Fail } else { Verdict::Pass };
    Judgement {
        value: Some(candidate as f64 / total as f64),
        bound: Some(share),
        n: total,
        terms: vec![("p_value".into(), p_value), ("p_alarm".into(), P_ALARM)],
        ..Judgement::new(verdict, METHOD)
    }
}
