//! `quality`: a metric of a binary classifier over labelled answers.
//!
//! Measured: `counts` = true positives, false positives, false negatives, true negatives, and `n`, their sum. For
//! `auc`, which counts cannot give, the worker sends `values` `auc`, `auc_lower`, `auc_upper` and the method id.
//!
//! Fails when even the upper bound is below `min`; passes when the estimate reaches it; inconclusive between, when
//! the estimate is below and the sample does not show that the truth is. Who wants the lower bound proven writes a
//! rule: `checks.staging.quality.lower >= 0.9`. The interval holds at 95 % for one look.

use stats::Bounds;
use stats::classify::{Confusion, F1_INTERVAL, PROPORTION_INTERVAL};

use super::{CONFIDENCE, Judgement, Seen, Setting, judge_found, senseless, words};
use crate::evidence::{Arm, Measurement, Text};
use crate::verdict::Verdict;

pub const NAME: &str = "quality";
/// Method id of accuracy, precision and recall.
pub const METHOD_PROPORTION: &str = PROPORTION_INTERVAL;
/// Method id of F1.
pub const METHOD_F1: &str = F1_INTERVAL;
/// Method id that a worker names for the AUC.
pub const METHOD_AUC: &str = stats::auc::INTERVAL;

/// A metric over labelled answers, at least `min`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    pub metric: Metric,
    /// 0 to 1.
    pub min: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Accuracy,
    Precision,
    Recall,
    F1,
    Auc,
}

impl Metric {
    pub const ALL: [Self; 5] = [Self::Accuracy, Self::Precision, Self::Recall, Self::F1, Self::Auc];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::Auc => "auc",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Accuracy | Self::Precision | Self::Recall => METHOD_PROPORTION,
            Self::F1 => METHOD_F1,
            Self::Auc => METHOD_AUC,
        }
    }

    fn bounds(self, measured: &Measurement) -> Result<Bounds, String> {
        let counts = confusion(measured);
        let bounds = match self {
            Self::Accuracy => counts?.accuracy(CONFIDENCE),
            Self::Precision => counts?.precision(CONFIDENCE),
            Self::Recall => counts?.recall(CONFIDENCE),
            Self::F1 => counts?.f1(CONFIDENCE),
            Self::Auc => return auc(measured),
        };
        bounds.map_err(|error| error.to_string())
    }
}

fn confusion(measured: &Measurement) -> Result<Confusion, String> {
    let &[true_positive, false_positive, false_negative, true_negative] = measured.counts.as_slice() else {
        return Err(format!("{} counts where 4 are expected", measured.counts.len()));
    };
    let sum = measured.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    if sum != Some(measured.n) {
        return Err(format!("counts that do not sum to {}", measured.n));
    }
    Ok(Confusion { true_positive, false_positive, false_negative, true_negative })
}

fn auc(measured: &Measurement) -> Result<Bounds, String> {
    let value = |name| measured.value(name).ok_or_else(|| format!("the value `{name}` is missing"));
    let bounds = Bounds { estimate: value("auc")?, lower: value("auc_lower")?, upper: value("auc_upper")? };
    let ordered = 0.0 <= bounds.lower
        && bounds.lower <= bounds.estimate
        && bounds.estimate <= bounds.upper
        && bounds.upper <= 1.0;
    if ordered { Ok(bounds) } else { Err(format!("the bounds {} to {}", bounds.lower, bounds.upper)) }
}

impl Quality {
    pub fn judge(&self, seen: Seen<'_>, setting: Setting) -> Judgement {
        let method = self.metric.method();
        if let Some(found) = judge_found(seen, method, &[]) {
            return found;
        }
        let Some(measured) = seen.arm(Arm::Candidate).filter(|arm| arm.n > 0) else {
            return Judgement::no_data(method, "no labelled answers");
        };
        let bounds = match self.metric.bounds(measured) {
            Ok(bounds) => bounds,
            Err(why) => return Judgement { n: measured.n, ..senseless(method, &why) },
        };
        let verdict = if bounds.upper < self.min {
            Verdict::Fail
        } else if measured.n < setting.samples {
            Verdict::NoData
        } else if bounds.estimate >= self.min {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let cells = ["true_positive", "false_positive", "false_negative", "true_negative"];
        let counted = cells.into_iter().zip(&measured.counts);
        let mut terms: Vec<(Text, f64)> = counted.map(|(name, count)| (name.into(), *count as f64)).collect();
        terms.push(("confidence".into(), CONFIDENCE));
        terms.push(("samples".into(), setting.samples as f64));
        Judgement {
            value: Some(bounds.estimate),
            lower: Some(bounds.lower),
            upper: Some(bounds.upper),
            bound: Some(self.min),
            n: measured.n,
            terms,
            method: if self.metric == Metric::Auc { measured.method.clone() } else { method.into() },
            ..Judgement::new(verdict, method)
        }
    }

    pub fn words(&self) -> String {
        format!(
            "{} over the labelled answers is at least {}",
            self.metric.as_str(),
            words::number(self.min, 6)
        )
    }

    pub fn explain(&self, judgement: &Judgement) -> String {
        let min = words::number(judgement.bound.unwrap_or(self.min), 6);
        let numbers = format!(
            "{} {} (95 % interval {}, n = {})",
            self.metric.as_str(),
            words::rate(judgement.value.unwrap_or_default()),
            words::range(judgement, words::rate),
            words::count(judgement.n),
        );
        let concluded = match judgement.verdict {
            Verdict::Pass => format!("reaches {min}"),
            Verdict::Fail => format!("is below {min} beyond doubt; it would have passed from {min} on"),
            Verdict::Inconclusive => format!(
                "is below {min}, and the sample is too small to say that the truth is; it would have passed from {min} on"
            ),
            Verdict::NoData => {
                let samples = judgement.term("samples").unwrap_or_default() as u64;
                format!("is no proof of harm, and {} labelled answers are asked for", words::count(samples))
            }
        };
        format!("{numbers} {concluded}")
    }
}
