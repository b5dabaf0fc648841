//! Planning: how many requests a comparison needs, and which effect it can see at all.
//!
//! Rates are shares of requests, 0 to 1; alphas one-sided; normal approximation throughout. Shown before a run
//! starts, so that too little traffic is said before and not after.

use crate::error::{Error, open_unit, unit};
use crate::math::{bisect, normal_quantile, sqrt};
use crate::sequential::{Tuning, one_sided_half_width};

/// Largest sample a plan speaks of; beyond it the effect cannot be shown in practice.
pub const SAMPLES_MAX: u64 = 1_000_000_000_000;

/// Requests per arm for a fixed-size test of two equal arms.
///
/// (z_{1−α}+z_{power})²·(p₁(1−p₁)+p₂(1−p₂))/(p₁−p₂)², rounded up.
pub fn samples_per_arm(first_rate: f64, second_rate: f64, alpha: f64, power: f64) -> Result<u64, Error> {
    unit("first_rate", first_rate)?;
    candidate_samples(first_rate, second_rate - first_rate, 0.5, alpha, power)
}

/// Candidate requests for a fixed-size test when the candidate gets `candidate_share` of all requests.
///
/// `difference` = p_candidate − p_live, not 0. Formula: (z_{1−α}+z_{power})²·[v_c + v_l·s/(1−s)]/difference², rounded
/// up, with v = p(1−p) and s the share.
pub fn candidate_samples(
    live_rate: f64,
    difference: f64,
    candidate_share: f64,
    alpha: f64,
    power: f64,
) -> Result<u64, Error> {
    let variance = variance_per_candidate(live_rate, difference, candidate_share)?;
    let z = normal_sum(alpha, power)?;
    samples((z * z * variance / (difference * difference)).ceil(), difference)
}

/// Candidate requests until [`crate::sequential::difference`] shows `difference` with probability `power`.
///
/// The count at which the bound's distance plus z_{power} standard errors first falls to |difference|. It serves
/// either question: with the harm to be noticed it says when harm is shown, with the margin (true difference 0)
/// about when its absence is. Stopping at the first crossing is usually earlier.
pub fn candidate_samples_sequential(
    live_rate: f64,
    difference: f64,
    candidate_share: f64,
    tuning: Tuning,
    power: f64,
) -> Result<u64, Error> {
    let variance = variance_per_candidate(live_rate, difference, candidate_share)?;
    let z = normal_quantile(open_unit("power", power)?)?;
    let shown = |n: f64| -> Result<bool, Error> {
        let effective = n * (1.0 - candidate_share);
        let in_errors = sqrt(effective) * one_sided_half_width(effective, tuning)? + z;
        Ok(sqrt(variance / n) * in_errors <= difference.abs())
    };
    if !shown(SAMPLES_MAX as f64)? {
        return samples(f64::INFINITY, difference);
    }
    samples(bisect(0.5, SAMPLES_MAX as f64, |n| Ok::<_, Error>(!shown(n)?))?.ceil(), difference)
}

/// The smallest harm p_candidate − p_live > 0 that a fixed-size test of these sizes shows with `power`.
///
/// `None` when even a candidate that always fails would not be told apart so surely.
pub fn detectable_difference(
    live_rate: f64,
    candidate_n: u64,
    live_n: u64,
    alpha: f64,
    power: f64,
) -> Result<Option<f64>, Error> {
    unit("live_rate", live_rate)?;
    if candidate_n == 0 || live_n == 0 {
        return Err(Error::Empty { name: "observations" });
    }
    let z = normal_sum(alpha, power)?;
    let missed = |difference: f64| {
        let rate = (live_rate + difference).min(1.0);
        let variance =
            rate * (1.0 - rate) / candidate_n as f64 + live_rate * (1.0 - live_rate) / live_n as f64;
        difference <= z * sqrt(variance)
    };
    let largest = 1.0 - live_rate;
    if missed(largest) {
        return Ok(None);
    }
    bisect(0.0, largest, |difference| Ok(missed(difference))).map(Some)
}

/// n_c times the variance of the difference: v_c + v_l·s/(1−s).
fn variance_per_candidate(live_rate: f64, difference: f64, candidate_share: f64) -> Result<f64, Error> {
    unit("live_rate", live_rate)?;
    let candidate_rate = unit("candidate_rate", live_rate + difference)?;
    open_unit("candidate_share", candidate_share)?;
    let odds = candidate_share / (1.0 - candidate_share);
    Ok(candidate_rate * (1.0 - candidate_rate) + live_rate * (1.0 - live_rate) * odds)
}

fn normal_sum(alpha: f64, power: f64) -> Result<f64, Error> {
    let sum = normal_quantile(open_unit("power", power)?)? - normal_quantile(open_unit("alpha", alpha)?)?;
    if sum > 0.0 {
        Ok(sum)
    } else {
        Err(Error::OutOfRange { name: "power", value: power, expected: "above alpha" })
    }
}

fn samples(count: f64, difference: f64) -> Result<u64, Error> {
    if count <= SAMPLES_MAX as f64 {
        Ok((count as u64).max(1))
    } else {
        let expected = "large enough to be shown by at most 1e12 requests";
        Err(Error::OutOfRange { name: "difference", value: difference, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_sample_size() {
        // (1.644854 + 0.841621)² · (0.16 + 0.1875) / 0.05² = 859.4
        assert_eq!(samples_per_arm(0.2, 0.25, 0.05, 0.8), Ok(860));
    }

    #[test]
    fn detectable_difference_inverts_the_sample_size() {
        let n = candidate_samples(0.02, 0.01, 0.05, 0.05, 0.9).unwrap();
        let difference = detectable_difference(0.02, n, n * 19, 0.05, 0.9).unwrap().unwrap();
        assert!((difference - 0.01).abs() < 1e-4, "{difference}");
        assert_eq!(detectable_difference(0.5, 1, 1, 0.05, 0.9), Ok(None));
    }

    #[test]
    fn looking_at_every_tick_costs_a_bounded_surplus() {
        let tuning = Tuning::new(0.05, 1_000.0).unwrap();
        let fixed = candidate_samples(0.2, 0.05, 0.05, 0.05, 0.8).unwrap();
        let sequential = candidate_samples_sequential(0.2, 0.05, 0.05, tuning, 0.8).unwrap();
        assert!(sequential > fixed && sequential < 4 * fixed, "{fixed} {sequential}");
    }

    #[test]
    fn no_difference_can_never_be_shown() {
        let tuning = Tuning::new(0.05, 1_000.0).unwrap();
        assert!(samples_per_arm(0.2, 0.2, 0.05, 0.8).is_err());
        assert!(candidate_samples_sequential(0.2, 0.0, 0.05, tuning, 0.8).is_err());
    }

    #[test]
    fn senseless_inputs_are_errors() {
        assert!(samples_per_arm(0.2, 1.2, 0.05, 0.8).is_err());
        assert!(samples_per_arm(0.2, 0.3, 0.05, 0.01).is_err());
        assert!(candidate_samples(0.9, 0.2, 0.05, 0.05, 0.8).is_err());
        assert!(candidate_samples(0.1, 0.2, 1.0, 0.05, 0.8).is_err());
        assert!(detectable_difference(0.1, 0, 5, 0.05, 0.8).is_err());
    }
}
