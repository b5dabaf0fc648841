//! What `error-rate` and `outcome` share: judging a share of bad answers by itself or against the live release.
//!
//! Everything is counted in *bad* answers (errors, mismatches), so that harm is always up. All bounds are
//! always-valid: they hold at every tick at which one may look, together at the check's share of alpha.
//!
//! ```text
//!   lower > bound: fail, whatever the sample       n < samples: no data
//!   upper < bound: pass (against the live release)
//!   rate <= bound: pass (by itself: not proven, but enough was seen without harm)
//!   otherwise: inconclusive
//! ```

use stats::Bounds;
use stats::proportion::Counts;
use stats::sequential::{N_STAR_DEFAULT, TWO_PROPORTION, Tuning, difference};

use super::{Judgement, Seen, Setting, judge_found, senseless, words};
use crate::evidence::{Arm, Measurement};
use crate::verdict::Verdict;

/// Method id of a share judged by itself: its difference from an arm that never errs, seen without end.
pub(super) const ONE_PROPORTION: &str = "proportion-sequential/1";
/// The fewest observations of each arm for which the bounds were shown to hold (by simulation, in the tests).
pub(super) const OBSERVATIONS_MIN: u64 = 20;
/// Observations of the arm that never errs; its own width is beyond what is shown or compared.
const WITHOUT_END: u64 = 1 << 52;

/// Which answers of a measurement count as bad: `sum` holds the hits of `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hits {
    AreBad,
    AreGood,
}

impl Hits {
    fn bad(self, measured: &Measurement) -> Result<Counts, String> {
        let (hits, n) = (measured.sum, measured.n);
        if !(hits >= 0.0 && hits <= n as f64) || hits.fract() > 0.0 {
            return Err(format!("{hits} hits among {n} observations"));
        }
        let hits = hits as u64;
        let bad = match self {
            Self::AreBad => hits,
            Self::AreGood => n - hits,
        };
        Counts::new(bad, n).map_err(|error| error.to_string())
    }

    /// The share of hits, as people see it.
    fn share(self, counts: Counts) -> f64 {
        match self {
            Self::AreBad => counts.rate(),
            Self::AreGood => (counts.total() - counts.events()) as f64 / counts.total() as f64,
        }
    }

    /// The bounds of the share of hits, for those of the share of bad answers.
    fn bounds(self, bad: Bounds) -> (f64, f64) {
        let lower = bad.lower.max(0.0);
        match self {
            Self::AreBad => (lower, bad.upper),
            Self::AreGood => (1.0 - bad.upper, 1.0 - lower),
        }
    }

    /// Whether a share of hits is worse than the limit that the workflow gives for it.
    fn worse(self, share: f64, limit: f64) -> bool {
        match self {
            Self::AreBad => share > limit,
            Self::AreGood => share < limit,
        }
    }
}

/// Judges how much worse than the live release the candidate is. Value and bounds: bad share of the candidate less
/// that of the live release; the bound is the margin.
pub(super) fn against_live(seen: Seen<'_>, setting: Setting, hits: Hits, margin: f64) -> Judgement {
    let method = TWO_PROPORTION;
    if let Some(why) = setting.no_counterpart {
        return Judgement::skipped(method, why);
    }
    if let Some(found) = judge_found(seen, method, &[]) {
        return found;
    }
    let Some(candidate) = seen.arm(Arm::Candidate).filter(|arm| arm.n > 0) else {
        return Judgement::no_data(method, "nothing was observed of the candidate");
    };
    let Some(live) = seen.arm(Arm::Live).filter(|arm| arm.n > 0) else {
        return Judgement {
            n: candidate.n,
            ..Judgement::no_data(method, "nothing was observed of the live release")
        };
    };
    let counts = hits.bad(candidate).and_then(|candidate| Ok((candidate, hits.bad(live)?)));
    match counts {
        Ok((candidate, live)) => compared(candidate, live, setting, hits, margin),
        Err(why) => senseless(method, &why),
    }
}

/// Judges the candidate's share of hits by itself: at most `limit` of bad ones, at least `limit` of good ones.
pub(super) fn alone(seen: Seen<'_>, setting: Setting, hits: Hits, limit: f64) -> Judgement {
    let method = ONE_PROPORTION;
    if let Some(found) = judge_found(seen, method, &[]) {
        return found;
    }
    let Some(candidate) = seen.arm(Arm::Candidate).filter(|arm| arm.n > 0) else {
        return Judgement::no_data(method, "nothing was observed");
    };
    match hits.bad(candidate) {
        Ok(candidate) => by_itself(candidate, setting, hits, limit),
        Err(why) => senseless(method, &why),
    }
}

fn compared(candidate: Counts, live: Counts, setting: Setting, hits: Hits, margin: f64) -> Judgement {
    let tuning = tuning(setting);
    let bounds = match tuning.and_then(|tuning| difference(candidate, live, tuning)) {
        Ok(bounds) => bounds,
        Err(why) => return senseless(TWO_PROPORTION, &why),
    };
    let fewest = candidate.total().min(live.total());
    let verdict = if fewest < OBSERVATIONS_MIN {
        Verdict::NoData
    } else if bounds.lower > margin {
        Verdict::Fail
    } else if candidate.total() < setting.samples {
        Verdict::NoData
    } else if bounds.upper < margin {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let mut judgement = filled(verdict, TWO_PROPORTION, candidate, setting);
    (judgement.value, judgement.lower, judgement.upper) =
        (Some(bounds.estimate), Some(bounds.lower), Some(bounds.upper));
    judgement.bound = Some(margin);
    judgement.terms.extend([
        ("candidate.rate".into(), hits.share(candidate)),
        ("live.rate".into(), hits.share(live)),
        ("live.n".into(), live.total() as f64),
        ("live.bad".into(), live.events() as f64),
        ("margin".into(), margin),
    ]);
    judgement
}

fn by_itself(candidate: Counts, setting: Setting, hits: Hits, limit: f64) -> Judgement {
    let without_error = Counts::new(0, WITHOUT_END);
    let bounds = tuning(setting).and_then(|tuning| difference(candidate, without_error?, tuning));
    let bounds = match bounds {
        Ok(bounds) => bounds,
        Err(why) => return senseless(ONE_PROPORTION, &why),
    };
    let n = candidate.total();
    let share = hits.share(candidate);
    let (lower, upper) = hits.bounds(bounds);
    let best = if hits == Hits::AreBad { lower } else { upper };
    let verdict = if hits.worse(best, limit) && n >= OBSERVATIONS_MIN {
        Verdict::Fail
    } else if n < setting.samples {
        Verdict::NoData
    } else if hits.worse(share, limit) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let mut judgement = filled(verdict, ONE_PROPORTION, candidate, setting);
    (judgement.value, judgement.lower, judgement.upper) = (Some(share), Some(lower), Some(upper));
    judgement.bound = Some(limit);
    judgement
}

fn filled(verdict: Verdict, method: &str, candidate: Counts, setting: Setting) -> Judgement {
    let mut judgement = Judgement::new(verdict, method);
    judgement.n = candidate.total();
    judgement.terms = vec![
        ("candidate.bad".into(), candidate.events() as f64),
        ("alpha".into(), setting.alpha),
        ("samples".into(), setting.samples as f64),
    ];
    judgement
}

/// Bounds are tightest at the least sample, which the workflow fixed before anything was seen.
fn tuning(setting: Setting) -> Result<Tuning, stats::Error> {
    let n_star = if setting.samples > 0 { setting.samples as f64 } else { N_STAR_DEFAULT };
    Tuning::new(setting.alpha, n_star)
}

/// Says how a comparison with the live release came out. `what` is the share that is shown, `bad` its bad answers.
pub(super) fn explain_against_live(judgement: &Judgement, hits: Hits, what: &str, bad: &str) -> String {
    let term = |name| judgement.term(name).unwrap_or_default();
    let (margin, lower, upper) =
        (term("margin"), judgement.lower.unwrap_or_default(), judgement.upper.unwrap_or_default());
    let numbers = format!(
        "{what} {} against {} of live (n = {} and {})",
        words::rate(term("candidate.rate")),
        words::rate(term("live.rate")),
        words::count(judgement.n),
        words::count(term("live.n") as u64),
    );
    let allowed = format!("the margin of {}", words::points(margin));
    let concluded = match judgement.verdict {
        Verdict::Fail => format!("at least {} worse, more than {allowed}", words::points(lower)),
        Verdict::Pass if upper <= 0.0 => format!("better by at least {}", words::points(-upper)),
        Verdict::Pass => format!("at most {} worse, less than {allowed}", words::points(upper)),
        Verdict::NoData if judgement.n < setting_of(judgement).samples => {
            format!(
                "no harm is shown, and {} observations are asked for",
                words::count(setting_of(judgement).samples)
            )
        }
        Verdict::NoData => format!("fewer than the {OBSERVATIONS_MIN} of each that can tell anything"),
        Verdict::Inconclusive => format!(
            "between {} worse and {} better: neither more nor less than {allowed} is shown",
            words::points(upper),
            words::points(-lower)
        ),
    };
    format!("{numbers}, {concluded}{}", counterfactual(judgement, hits, bad))
}

/// Says how a share judged by itself came out.
pub(super) fn explain_alone(judgement: &Judgement, hits: Hits, what: &str, bad: &str) -> String {
    let limit = match hits {
        Hits::AreBad => "at most",
        Hits::AreGood => "at least",
    };
    let numbers = format!(
        "{what} {} (n = {}, bounds {}), asked for: {limit} {}",
        words::rate(judgement.value.unwrap_or_default()),
        words::count(judgement.n),
        words::range(judgement, words::rate),
        words::number(judgement.bound.unwrap_or_default(), 6),
    );
    let lacking = match judgement.verdict {
        Verdict::NoData => {
            format!("; {} observations are asked for", words::count(setting_of(judgement).samples))
        }
        Verdict::Pass | Verdict::Fail | Verdict::Inconclusive => String::new(),
    };
    format!("{numbers}{lacking}{}", counterfactual(judgement, hits, bad))
}

/// With how many bad answers among as many it would have passed, or before the least samples not failed.
fn counterfactual(judgement: &Judgement, hits: Hits, bad: &str) -> String {
    let (Verdict::Fail | Verdict::Inconclusive, Some(found)) =
        (judgement.verdict, judgement.term("candidate.bad"))
    else {
        return String::new();
    };
    let (n, found) = (judgement.n, found as u64);
    let early = n < setting_of(judgement).samples;
    let (wanted, done) =
        if early { (Verdict::NoData, "not have failed") } else { (Verdict::Pass, "have passed") };
    let good = |bad: u64| {
        let candidate = Counts::new(bad, n).ok();
        candidate.and_then(|candidate| judged_again(judgement, hits, candidate)) == Some(wanted)
    };
    if !good(0) {
        return format!("; {} observations without any {bad} would not have passed either", words::count(n));
    }
    // The most bad answers that are good enough: fewer are never worse.
    let (mut enough, mut too_many) = (0, found);
    while too_many - enough > 1 {
        let middle = u64::midpoint(enough, too_many);
        if good(middle) { enough = middle } else { too_many = middle }
    }
    format!(
        "; it would {done} with at most {} {bad} instead of {}",
        words::count(enough),
        words::count(found)
    )
}

fn judged_again(judgement: &Judgement, hits: Hits, candidate: Counts) -> Option<Verdict> {
    let setting = setting_of(judgement);
    let Some(margin) = judgement.term("margin") else {
        return Some(by_itself(candidate, setting, hits, judgement.bound?).verdict);
    };
    let live = Counts::new(judgement.term("live.bad")? as u64, judgement.term("live.n")? as u64).ok()?;
    Some(compared(candidate, live, setting, hits, margin).verdict)
}

/// The setting that a judgement was made under, as it stands in its terms.
fn setting_of(judgement: &Judgement) -> Setting {
    Setting {
        alpha: judgement.term("alpha").unwrap_or_default(),
        samples: judgement.term("samples").unwrap_or_default() as u64,
        no_counterpart: None,
    }
}
