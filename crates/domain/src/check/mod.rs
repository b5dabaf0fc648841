//! Checks: what is looked at, and what the core concludes from the evidence.
//!
//! Each check is one file: its parameters, its judgement, its words for people. What measures it stands in
//! `stages`, under the same name. A check never sees anything but its parameters and the recorded evidence.

pub mod contract;
pub mod drift;
pub mod error_rate;
pub mod latency;
pub mod outcome;
mod proportion;
pub mod quality;
pub mod sample_ratio;
pub mod smoke;
#[cfg(test)]
mod tests;
mod words;

use crate::evidence::{Arm, Evidence, Finding, Measurement, Text};
use crate::name::CheckName;
use crate::verdict::{On, Verdict};

/// A check as a workflow asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub name: CheckName,
    pub level: Level,
    pub on: On,
    pub kind: Kind,
}

/// How much a check counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Must pass.
    #[default]
    Veto,
    /// Shown only.
    Observe,
}

/// Every check there is, with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Smoke(smoke::Smoke),
    Contract(contract::Contract),
    Quality(quality::Quality),
    Latency(latency::Latency),
    ErrorRate(error_rate::ErrorRate),
    Outcome(outcome::Outcome),
    Drift(drift::Drift),
}

/// What surrounds a judgement: what the check itself does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// The share of false alarms this one judgement may use, 0 to 1.
    pub alpha: f64,
    /// The least observations of the candidate before anything but harm is concluded.
    pub samples: u64,
    /// Why there is nothing to compare with, if so.
    pub no_counterpart: Option<&'static str>,
}

/// What was concluded, with all that it was concluded from. Kept in the log, so that it can be explained.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The formula, with its version, such as `two-proportion-sequential/1`.
    pub method: Text,
    /// What was estimated.
    pub value: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// What it was held against.
    pub bound: Option<f64>,
    /// Observations of the candidate.
    pub n: u64,
    /// Further computed values by name, such as `live.rate`.
    pub terms: Vec<(Text, f64)>,
    /// Why, where the numbers do not say it: `no counterpart`, a finding's code and text.
    pub note: Option<Text>,
}

impl Judgement {
    pub fn new(verdict: Verdict, method: &str) -> Self {
        let method = method.into();
        Self {
            verdict,
            method,
            value: None,
            lower: None,
            upper: None,
            bound: None,
            n: 0,
            terms: vec![],
            note: None,
        }
    }

    /// A computed value that was kept, by its name.
    pub fn term(&self, name: &str) -> Option<f64> {
        self.terms.iter().find(|(key, _)| &**key == name).map(|(_, value)| *value)
    }

    /// A judgement that there is nothing to judge.
    pub fn no_data(method: &str, note: &str) -> Self {
        Self { note: Some(note.into()), ..Self::new(Verdict::NoData, method) }
    }

    /// A comparison that has nobody to compare with. It passes: absolute checks and the bake decide.
    pub fn skipped(method: &str, why: &str) -> Self {
        Self { note: Some(format!("skipped: {why}").into()), ..Self::new(Verdict::Pass, method) }
    }
}

impl Check {
    /// Concludes from the evidence of one attempt.
    pub fn judge(&self, evidence: &Evidence, setting: Setting) -> Judgement {
        let seen = Seen { check: &self.name, evidence };
        match &self.kind {
            Kind::Smoke(check) => check.judge(seen),
            Kind::Contract(check) => check.judge(seen),
            Kind::Quality(check) => check.judge(seen, setting),
            Kind::Latency(check) => check.judge(seen, setting),
            Kind::ErrorRate(check) => check.judge(seen, setting),
            Kind::Outcome(check) => check.judge(seen, setting),
            Kind::Drift(check) => check.judge(seen),
        }
    }

    /// What the check asks for, in words.
    pub fn words(&self) -> String {
        match &self.kind {
            Kind::Smoke(check) => check.words(),
            Kind::Contract(check) => check.words(),
            Kind::Quality(check) => check.words(),
            Kind::Latency(check) => check.words(),
            Kind::ErrorRate(check) => check.words(),
            Kind::Outcome(check) => check.words(),
            Kind::Drift(check) => check.words(),
        }
    }

    /// What was concluded, in one or two sentences with the recorded numbers: the estimate, what it was held
    /// against, and what would have had to differ.
    pub fn explain(&self, judgement: &Judgement) -> String {
        let reason = match &self.kind {
            _ if judgement.value.is_none() => words::without_numbers(judgement, &self.words()),
            Kind::Smoke(_) | Kind::Contract(_) => words::without_numbers(judgement, &self.words()),
            Kind::Quality(check) => check.explain(judgement),
            Kind::Latency(check) => check.explain(judgement),
            Kind::ErrorRate(check) => check.explain(judgement),
            Kind::Outcome(check) => check.explain(judgement),
            Kind::Drift(check) => check.explain(judgement),
        };
        format!("{}: {reason}", words::verdict(judgement.verdict))
    }

    /// The kind's name in workflows.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Smoke(_) => smoke::NAME,
            Kind::Contract(_) => contract::NAME,
            Kind::Quality(_) => quality::NAME,
            Kind::Latency(_) => latency::NAME,
            Kind::ErrorRate(_) => error_rate::NAME,
            Kind::Outcome(_) => outcome::NAME,
            Kind::Drift(_) => drift::NAME,
        }
    }

    /// Whether it compares with the live release.
    pub fn is_relative(&self) -> bool {
        match &self.kind {
            Kind::ErrorRate(check) => check.margin.is_some(),
            Kind::Outcome(check) => check.margin.is_some(),
            Kind::Smoke(_) | Kind::Contract(_) | Kind::Quality(_) | Kind::Latency(_) | Kind::Drift(_) => {
                false
            }
        }
    }
}

/// What [`Check::explain`] says.
pub fn explain(check: &Check, judgement: &Judgement) -> String {
    check.explain(judgement)
}

/// The part of some evidence that belongs to one check.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    check: &'a CheckName,
    evidence: &'a Evidence,
}

impl<'a> Seen<'a> {
    pub fn arm(self, arm: Arm) -> Option<&'a Measurement> {
        self.evidence.measurements.iter().find(|m| m.check == *self.check && m.arm == arm)
    }

    /// All measurements of an arm, where a check has one for each feature.
    pub fn all(self, arm: Arm) -> impl Iterator<Item = &'a Measurement> {
        self.evidence.measurements.iter().filter(move |m| m.check == *self.check && m.arm == arm)
    }

    pub fn findings(self) -> impl Iterator<Item = &'a Finding> {
        self.evidence.findings.iter().filter(move |finding| finding.check == *self.check)
    }
}

/// The confidence of intervals that are looked at once, two-sided.
pub const CONFIDENCE: f64 = 0.95;

/// A failure when something was found wrong with what was looked at; `passed_over` are codes that are not.
fn judge_found(seen: Seen<'_>, method: &str, passed_over: &[&str]) -> Option<Judgement> {
    let mut findings = seen.findings().filter(|finding| !passed_over.contains(&&*finding.code));
    let first = findings.next()?;
    let more = findings.count();
    let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    let note = format!("{}: {}{rest}", first.code, first.text);
    Some(Judgement { note: Some(note.into()), ..Judgement::new(Verdict::Fail, method) })
}

/// Judges a check that passes when nothing was found wrong and something was looked at.
fn judge_findings(seen: Seen<'_>, method: &str) -> Judgement {
    if let Some(found) = judge_found(seen, method, &[]) {
        return found;
    }
    match seen.arm(Arm::Candidate) {
        Some(looked) if looked.n > 0 => Judgement { n: looked.n, ..Judgement::new(Verdict::Pass, method) },
        _ => Judgement::no_data(method, "nothing was looked at"),
    }
}

/// A measurement that contradicts itself decides nothing.
fn senseless(method: &str, why: &dyn std::fmt::Display) -> Judgement {
    Judgement::no_data(method, &format!("the measurement makes no sense: {why}"))
}
