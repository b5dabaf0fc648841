//! `latency`: the 99th percentile of the time to an answer.
//!
//! Measured: `n` answers and the values `p99_ms`, `p99_lower_ms`, `p99_upper_ms`, the distribution-free 95 % interval
//! of order statistics. A side that the sample is too small to bound is left out.
//!
//! Fails when even the lower bound is above the limit. Passes when the percentile is not above it, the upper bound
//! is known and the least samples were seen; otherwise inconclusive, or without data.

use super::{Judgement, Seen, Setting, judge_found, senseless, words};
use crate::evidence::Arm;
use crate::verdict::Verdict;

pub const NAME: &str = "latency";
pub const METHOD: &str = stats::quantile::ORDER_STATISTICS;
/// The code of a finding: the worker could not send as fast as asked, so the load was not the one asked for.
pub const LOAD_NOT_KEPT: &str = "LOAD_NOT_KEPT";
/// The fewest answers that bound a 99th percentile from above at 95 %.
pub const ANSWERS_MIN: u64 = 368;

/// Open-loop load of `rate_per_second` for `for_ms`; the 99th percentile must not exceed `p99_max_ms`.
/// In a monitor or rollout: of production traffic, without load.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    pub rate_per_second: f64,
    pub for_ms: u64,
    pub p99_max_ms: f64,
}

impl Latency {
    pub fn judge(&self, seen: Seen<'_>, setting: Setting) -> Judgement {
        if let Some(found) = judge_found(seen, METHOD, &[LOAD_NOT_KEPT]) {
            return found;
        }
        let Some(measured) = seen.arm(Arm::Candidate).filter(|arm| arm.n > 0) else {
            return Judgement::no_data(METHOD, "no answers were timed");
        };
        let Some(value) = measured.value("p99_ms") else {
            return senseless(METHOD, &"the value `p99_ms` is missing");
        };
        let (lower, upper) = (measured.value("p99_lower_ms"), measured.value("p99_upper_ms"));
        if lower.is_some_and(|lower| lower > value) || upper.is_some_and(|upper| upper < value) {
            return senseless(METHOD, &"the percentile lies outside its interval");
        }
        let weak_load = seen.findings().find(|finding| &*finding.code == LOAD_NOT_KEPT);
        let verdict = if lower.is_some_and(|lower| lower > self.p99_max_ms) {
            Verdict::Fail
        } else if measured.n < setting.samples || upper.is_none() {
            Verdict::NoData
        } else if weak_load.is_some() || value > self.p99_max_ms {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        Judgement {
            value: Some(value),
            lower,
            upper,
            bound: Some(self.p99_max_ms),
            n: measured.n,
            terms: vec![("samples".into(), setting.samples as f64)],
            note: weak_load.map(|finding| format!("{}: {}", finding.code, finding.text).into()),
            ..Judgement::new(verdict, METHOD)
        }
    }

    pub fn words(&self) -> String {
        format!("99 of 100 answers come within {} ms", words::number(self.p99_max_ms, 3))
    }

    pub fn explain(&self, judgement: &Judgement) -> String {
        let max = words::number(judgement.bound.unwrap_or(self.p99_max_ms), 3);
        let numbers = format!(
            "the 99th percentile is {} ms (95 % interval in ms {}, n = {})",
            words::number(judgement.value.unwrap_or_default(), 2),
            words::range(judgement, |bound| words::number(bound, 2)),
            words::count(judgement.n),
        );
        let samples = judgement.term("samples").unwrap_or_default() as u64;
        match (judgement.verdict, &judgement.note) {
            (Verdict::Fail, _) => {
                format!("{numbers}, above {max} ms beyond doubt; up to {max} ms would have passed")
            }
            (Verdict::Pass, _) => format!("{numbers}, within {max} ms"),
            (Verdict::Inconclusive, Some(note)) => {
                format!("{numbers}, but not under the load asked for: {note}")
            }
            (Verdict::Inconclusive, None) => {
                format!(
                    "{numbers}, above {max} ms, but the interval reaches below it; up to {max} ms would have passed"
                )
            }
            (Verdict::NoData, _) if judgement.n < samples => {
                format!("{numbers}; {} answers are asked for", words::count(samples))
            }
            (Verdict::NoData, _) => {
                format!(
                    "{numbers}; it takes {ANSWERS_MIN} answers to bound it, so measure longer or more often"
                )
            }
        }
    }
}
