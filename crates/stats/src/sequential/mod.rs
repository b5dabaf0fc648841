//! Comparisons that stay valid when one looks at every tick and stops when one likes.
//!
//! A fixed-size test looked at again and again cries wolf almost surely in the end. The bounds here are
//! *confidence sequences*: over the whole life of a comparison, however often it is looked at, each bound is
//! wrong at any tick at all with probability at most alpha. So a rollout may act on the first tick that
//! shows harm, and may go on at the first tick that shows its absence.
//!
//! ```text
//!            lower                 upper
//!   ──────────┤──────────●──────────├──────────▶ p_candidate − p_live
//!                        estimate
//!   lower > margin: harm is shown      upper < margin: no harm beyond the margin is shown
//! ```
//!
//! **Invariant:** each call is a pure function of the counts at one tick; nothing is remembered between ticks.
//!
//! The sequences are asymptotic: they rest on sums being nearly normal, so they need a least sample that the
//! caller enforces (100 per arm was simulated, see the tests). Both arms must have been counted over the same
//! time and kind of traffic, since a change of share while the base rate drifts biases any pooled difference.
//!
//! A latency quantile is compared through [`difference`] too: fix a threshold beforehand (an objective, or the live
//! release's p99 of the last step) and compare the shares of requests that were slower.

mod boundary;
#[cfg(test)]
mod tests;

use crate::Bounds;
use crate::error::{Error, finite, open_unit, positive};
use crate::math::sqrt;
use crate::proportion::{Counts, hybrid_score_difference, score_interval};
pub use boundary::{one_sided_half_width, two_sided_half_width};

/// Method id of [`difference`].
pub const TWO_PROPORTION: &str = "two-proportion-sequential/1";
/// Method id of [`proportion`].
pub const PROPORTION: &str = "proportion-sequential/1";
/// Method id of [`mean`] and [`mean_difference`].
pub const MEAN: &str = "mean-sequential/1";
/// GrowthBook's n_star, for callers without an opinion.
pub const N_STAR_DEFAULT: f64 = 5_000.0;

/// What is fixed before the first tick.
///
/// **Invariant:** alpha lies strictly between 0 and 1 (for [`difference`] below one half); n_star is above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    alpha: f64,
    n_star: f64,
}

impl Tuning {
    /// Takes the error budget and the sample size at which the bounds shall be tightest.
    ///
    /// `alpha` bounds the chance that a bound is ever wrong: per side in [`difference`], for both sides
    /// together in [`mean`] and [`mean_difference`]. `n_star` counts observations as the method counts them
    /// (see there) and must not be chosen by looking at the outcomes; it changes the width, never the validity.
    pub fn new(alpha: f64, n_star: f64) -> Result<Self, Error> {
        Ok(Self { alpha: open_unit("alpha", alpha)?, n_star: positive("n_star", n_star)? })
    }

    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    pub fn n_star(&self) -> f64 {
        self.n_star
    }
}

/// A sample of a measured quantity: mean, unbiased variance (unit squared), and how many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanSample {
    pub mean: f64,
    pub variance: f64,
    pub n: u64,
}

/// Always-valid bounds of p_candidate − p_live, each one-sided at alpha, within −1 to 1.
///
/// With m = n_c·n_l/(n_c+n_l), the effective sample size (near n_c while the candidate's share is small), each
/// bound lies k = √m·h(m) standard errors from the raw difference, where h is [`one_sided_half_width`] for
/// `tuning.n_star` effective observations. Arms of any, and even changing, share are allowed, since what counts
/// is the information in the difference.
///
/// The distance of each bound is the larger of two, neither of which is ever 0:
///
/// - k·√(p̃_c(1−p̃_c)/n_c + p̃_l(1−p̃_l)/n_l) with p̃ = (x+1)/(n+2). Errors are rare, so a candidate with some too
///   many has a large variance of its own: this guards the claim of harm.
/// - Newcombe's hybrid of the score limits of each arm, with k for z. The variance is taken at the limit, which is
///   larger than a candidate with some too few says: this guards the claim of no harm.
///
/// Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
/// confidence sequences", one-sided sequence; Agresti and Caffo 2000 for p̃; Newcombe 1998.
pub fn difference(candidate: Counts, live: Counts, tuning: Tuning) -> Result<Bounds, Error> {
    let (n_c, n_l) = (candidate.total() as f64, live.total() as f64);
    let effective = 1.0 / (1.0 / n_c + 1.0 / n_l);
    let errors = sqrt(effective) * one_sided_half_width(effective, tuning)?;
    let own = errors * sqrt(smoothed_variance(candidate) + smoothed_variance(live));
    let score = hybrid_score_difference(candidate, live, errors);
    let estimate = score.estimate;
    let lower = score.lower.min(estimate - own).max(-1.0);
    let upper = score.upper.max(estimate + own).min(1.0);
    Ok(Bounds { estimate, lower, upper })
}

/// Always-valid bounds of one proportion, each one-sided at alpha, within 0 to 1: for a limit of its own.
///
/// As [`difference`] with one arm: the wider of p̂ ± k·√(p̃(1−p̃)/n) and Wilson's limits with k for z, where
/// k = √n·h(n). `tuning.n_star` counts observations.
pub fn proportion(counts: Counts, tuning: Tuning) -> Result<Bounds, Error> {
    let n = counts.total() as f64;
    let errors = sqrt(n) * one_sided_half_width(n, tuning)?;
    let own = errors * sqrt(smoothed_variance(counts));
    let score = score_interval(counts, errors);
    let estimate = counts.rate();
    let lower = score.lower.min(estimate - own).max(0.0);
    let upper = score.upper.max(estimate + own).min(1.0);
    Ok(Bounds { estimate, lower, upper })
}

/// Always-valid two-sided bounds of a mean: x̄ ± s·h(n), with alpha over both sides together.
///
/// In the unit of the mean; h is [`two_sided_half_width`]. Source: as [`difference`], two-sided sequence, in
/// GrowthBook's form. `tuning.n_star` counts observations.
pub fn mean(sample: MeanSample, tuning: Tuning) -> Result<Bounds, Error> {
    let n = checked(sample)?;
    around(sample.mean, sqrt(sample.variance), n, tuning)
}

/// Always-valid two-sided bounds of mean(treatment) − mean(control), alpha over both sides together.
///
/// With N = n_t + n_c and s² = N·(s_t²/n_t + s_c²/n_c), half-width s·h(N). Source: GrowthBook's sequential test
/// (`gbstats` 0.8.0 agrees). `tuning.n_star` counts the observations of both arms.
pub fn mean_difference(treatment: MeanSample, control: MeanSample, tuning: Tuning) -> Result<Bounds, Error> {
    let (n_t, n_c) = (checked(treatment)?, checked(control)?);
    let total = n_t + n_c;
    let deviation = sqrt(total * (treatment.variance / n_t + control.variance / n_c));
    around(treatment.mean - control.mean, deviation, total, tuning)
}

fn around(estimate: f64, deviation: f64, n: f64, tuning: Tuning) -> Result<Bounds, Error> {
    let half = deviation * two_sided_half_width(n, tuning)?;
    Ok(Bounds { estimate, lower: estimate - half, upper: estimate + half })
}

/// p̃(1−p̃)/n with p̃ = (x+1)/(n+2), above 0 for any counts.
fn smoothed_variance(counts: Counts) -> f64 {
    let n = counts.total() as f64;
    let rate = (counts.events() as f64 + 1.0) / (n + 2.0);
    rate * (1.0 - rate) / n
}

fn checked(sample: MeanSample) -> Result<f64, Error> {
    finite("mean", sample.mean)?;
    if !(sample.variance >= 0.0 && sample.variance.is_finite()) {
        let expected = "a finite number, at least 0";
        return Err(Error::OutOfRange { name: "variance", value: sample.variance, expected });
    }
    if sample.n < 2 {
        return Err(Error::Empty { name: "pairs of observations" });
    }
    Ok(sample.n as f64)
}
