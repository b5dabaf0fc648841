//! Known answers and simulations: what matters is how often a comparison looked at every tick is wrong.
//!
//! `STATS_PATHS` sets the paths per case and `STATS_SEED` the seed, for longer runs in a release build.

use super::*;
use crate::proportion::z_test;
use crate::test_random::{Random, number_from_environment};

#[derive(Debug, Clone, Copy)]
struct Traffic {
    live_rate: f64,
    candidate_rate: f64,
    /// Candidate requests in a tick; the live release gets `live_factor` times as many (0: there is none).
    per_tick: u64,
    live_factor: u64,
    candidate_min: u64,
    candidate_max: u64,
}

const FIVE_TO_NINETY_FIVE: Traffic = Traffic {
    live_rate: 0.2,
    candidate_rate: 0.2,
    per_tick: 5,
    live_factor: 19,
    candidate_min: 100,
    candidate_max: 1_000,
};

/// The share of paths on which `alarm` holds at some tick from the least sample on.
fn share_alarmed(traffic: Traffic, paths: u64, alarm: impl Fn(Counts, Counts) -> bool) -> f64 {
    let mut random = Random::seeded(20_261_121);
    let alarmed = (0..paths).filter(|_| path_alarms(&mut random, traffic, &alarm)).count();
    alarmed as f64 / paths as f64
}

fn path_alarms(random: &mut Random, traffic: Traffic, alarm: impl Fn(Counts, Counts) -> bool) -> bool {
    let (mut candidate, mut live) = ((0, 0), (0, 0));
    while candidate.1 < traffic.candidate_max {
        candidate.0 += random.binomial(traffic.per_tick, traffic.candidate_rate);
        candidate.1 += traffic.per_tick;
        live.0 += random.binomial(traffic.per_tick * traffic.live_factor, traffic.live_rate);
        live.1 += traffic.per_tick * traffic.live_factor;
        let looked = candidate.1 >= traffic.candidate_min;
        if looked
            && alarm(
                Counts::new(candidate.0, candidate.1).unwrap(),
                Counts::new(live.0, live.1.max(1)).unwrap(),
            )
        {
            return true;
        }
    }
    false
}

fn paths(default: u64) -> u64 {
    number_from_environment("STATS_PATHS", default)
}

fn harm_shown(margin: f64, tuning: Tuning) -> impl Fn(Counts, Counts) -> bool {
    move |candidate, live| difference(candidate, live, tuning).unwrap().lower > margin
}

fn no_harm_shown(margin: f64, tuning: Tuning) -> impl Fn(Counts, Counts) -> bool {
    move |candidate, live| difference(candidate, live, tuning).unwrap().upper < margin
}

#[test]
fn gbstats_interval_of_two_means() {
    let tuning = Tuning::new(0.05, 5_000.0).unwrap();
    // Variance 1 about the mean, hence 2500/2499 unbiased.
    let sample = |mean| MeanSample { mean, variance: 2_500.0 / 2_499.0, n: 2_500 };
    let bounds = mean_difference(sample(1.1), sample(1.0), tuning).unwrap();
    assert!((bounds.lower - 0.014_134_150_7).abs() < 1e-10, "{bounds:?}");
    assert!((bounds.upper - 0.185_865_849_3).abs() < 1e-10, "{bounds:?}");
}

#[test]
fn false_alarms_of_harm_stay_below_alpha_at_every_tick() {
    for alpha in [0.05, 0.01] {
        for n_star in [200.0, 1_000.0, 5_000.0] {
            for rate in [0.2, 0.02] {
                let traffic = Traffic { live_rate: rate, candidate_rate: rate, ..FIVE_TO_NINETY_FIVE };
                let tuning = Tuning::new(alpha, n_star).unwrap();
                let share = share_alarmed(traffic, paths(100), harm_shown(0.0, tuning));
                println!("harm alpha {alpha} n_star {n_star} rate {rate}: {share}");
                assert!(share <= alpha, "alpha {alpha}, n_star {n_star}, rate {rate}: {share}");
            }
        }
    }
}

#[test]
fn false_claims_of_no_harm_stay_below_alpha_at_every_tick() {
    for (rate, margin) in [(0.2, 0.05), (0.02, 0.02), (0.02, 0.01)] {
        for n_star in [200.0, 1_000.0] {
            let traffic = Traffic { live_rate: rate, candidate_rate: rate + margin, ..FIVE_TO_NINETY_FIVE };
            let tuning = Tuning::new(0.05, n_star).unwrap();
            let share = share_alarmed(traffic, paths(100), no_harm_shown(margin, tuning));
            println!("no harm rate {rate} margin {margin} n_star {n_star}: {share}");
            assert!(share <= 0.05, "rate {rate}, margin {margin}, n_star {n_star}: {share}");
        }
    }
}

#[test]
fn false_claims_about_one_proportion_stay_below_alpha_at_every_tick() {
    for rate in [0.2, 0.02] {
        let traffic = Traffic { candidate_rate: rate, live_factor: 0, ..FIVE_TO_NINETY_FIVE };
        let tuning = Tuning::new(0.05, 500.0).unwrap();
        for above in [true, false] {
            let share = share_alarmed(traffic, paths(400), |candidate, _| {
                let bounds = proportion(candidate, tuning).unwrap();
                if above { bounds.lower > rate } else { bounds.upper < rate }
            });
            println!("one proportion rate {rate} above {above}: {share}");
            assert!(share <= 0.05, "rate {rate}, above {above}: {share}");
        }
    }
}

#[test]
fn a_fixed_size_test_looked_at_every_tick_cries_wolf() {
    let alarm = |candidate, live| z_test(candidate, live).p_larger < 0.05;
    let share = share_alarmed(FIVE_TO_NINETY_FIVE, paths(100), alarm);
    assert!(share > 0.1, "the simulation would not notice peeking: {share}");
}

#[test]
fn real_harm_and_its_absence_are_shown_in_time() {
    let tuning = Tuning::new(0.05, 500.0).unwrap();
    let harmed = Traffic { candidate_rate: 0.35, ..FIVE_TO_NINETY_FIVE };
    assert!(share_alarmed(harmed, paths(50), harm_shown(0.0, tuning)) > 0.95);
    let better = Traffic { candidate_rate: 0.15, ..FIVE_TO_NINETY_FIVE };
    assert!(share_alarmed(better, paths(50), no_harm_shown(0.05, tuning)) > 0.95);
}

#[test]
fn zero_events_leave_room_on_both_sides() {
    let tuning = Tuning::new(0.05, 1_000.0).unwrap();
    let bounds = difference(Counts::new(0, 100).unwrap(), Counts::new(0, 1_900).unwrap(), tuning).unwrap();
    assert!(bounds.estimate.abs() < f64::EPSILON);
    assert!(bounds.lower < -0.01 && bounds.upper > 0.01, "{bounds:?}");
}

#[test]
fn tiny_samples_are_bounded_by_the_possible_differences() {
    let tuning = Tuning::new(0.05, 1_000.0).unwrap();
    let bounds = difference(Counts::new(1, 1).unwrap(), Counts::new(0, 1).unwrap(), tuning).unwrap();
    assert!(bounds.lower >= -1.0 && bounds.upper <= 1.0 && bounds.lower < 0.0);
}

#[test]
fn bounds_shrink_as_both_arms_grow() {
    let tuning = Tuning::new(0.05, 1_000.0).unwrap();
    let width = |scale: u64| {
        let candidate = Counts::new(20 * scale, 100 * scale).unwrap();
        let live = Counts::new(380 * scale, 1_900 * scale).unwrap();
        difference(candidate, live, tuning).unwrap().interval().width()
    };
    assert!(width(1) > width(4) && width(4) > width(16) && width(16) > width(1_000_000));
}

#[test]
fn senseless_mean_samples_are_errors() {
    let tuning = Tuning::new(0.05, 1_000.0).unwrap();
    for (mean_value, variance, n) in
        [(f64::NAN, 1.0, 5), (1.0, -1.0, 5), (1.0, f64::INFINITY, 5), (1.0, 1.0, 1)]
    {
        assert!(mean(MeanSample { mean: mean_value, variance, n }, tuning).is_err());
    }
}
