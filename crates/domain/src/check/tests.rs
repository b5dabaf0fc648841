//! What is concluded from which evidence, as a product owner would read it.

use super::drift::Drift;
use super::error_rate::ErrorRate;
use super::latency::{LOAD_NOT_KEPT, Latency};
use super::outcome::Outcome;
use super::quality::{Metric, Quality};
use super::{Check, Judgement, Kind, Level, Setting, explain, sample_ratio};
use crate::evidence::{Arm, Evidence, Finding, Measurement};
use crate::name::{CheckName, Digest};
use crate::verdict::{On, Verdict};

use Verdict::{Fail, Inconclusive, NoData, Pass};

const SETTING: Setting = Setting { alpha: 0.025, samples: 500, no_counterpart: None };

fn check(kind: Kind) -> Check {
    Check { name: CheckName::parse("it").unwrap(), level: Level::Veto, on: On::LIVE, kind }
}

fn evidence(measurements: Vec<Measurement>, findings: Vec<Finding>) -> Evidence {
    Evidence { digest: Digest::of(b"evidence"), measurements, findings, blobs: vec![] }
}

fn finding(code: &str) -> Finding {
    Finding { check: CheckName::parse("it").unwrap(), code: code.into(), text: "so it is".into() }
}

fn measured(arm: Arm, n: u64) -> Measurement {
    Measurement { n, ..Measurement::new(CheckName::parse("it").unwrap(), "test/1", arm) }
}

/// `hits` of `n` of an arm.
fn counted(arm: Arm, hits: u64, n: u64) -> Measurement {
    Measurement { sum: hits as f64, ..measured(arm, n) }
}

fn with_values(mut measurement: Measurement, values: &[(&str, f64)]) -> Measurement {
    measurement.values = values.iter().map(|(name, value)| ((*name).into(), *value)).collect();
    measurement
}

fn arms(candidate: (u64, u64), live: (u64, u64)) -> Evidence {
    let arms = vec![counted(Arm::Candidate, candidate.0, candidate.1), counted(Arm::Live, live.0, live.1)];
    evidence(arms, vec![])
}

fn error_margin() -> Check {
    check(Kind::ErrorRate(ErrorRate { max: None, margin: Some(0.005) }))
}

fn error_max() -> Check {
    check(Kind::ErrorRate(ErrorRate { max: Some(0.01), margin: None }))
}

fn match_margin() -> Check {
    check(Kind::Outcome(Outcome { field: "label-match".into(), min: None, margin: Some(0.01) }))
}

fn match_min() -> Check {
    check(Kind::Outcome(Outcome { field: "label-match".into(), min: Some(0.8), margin: None }))
}

#[test]
fn errors_against_the_live_release() {
    // candidate: errors of requests; live: errors of requests; what follows.
    for (candidate, live, expected) in [
        ((0, 0), (9, 900), NoData),
        ((3, 400), (0, 0), NoData),
        // Too few of either to tell anything at all.
        ((10, 10), (0, 900), NoData),
        // Harm is told before the least samples are there.
        ((60, 100), (9, 900), Fail),
        ((20, 20), (9, 900), Fail),
        // No harm is not.
        ((0, 499), (9, 9_900), NoData),
        ((5, 500), (100, 10_000), Inconclusive),
        ((50, 500), (100, 10_000), Fail),
        ((0, 20_000), (100, 100_000), Pass),
        ((40, 40_000), (100, 100_000), Pass),
        ((80_000, 4_000_000), (40_000, 4_000_000), Fail),
        ((60_000, 4_000_000), (40_000, 4_000_000), Inconclusive),
    ] {
        let judgement = error_margin().judge(&arms(candidate, live), SETTING);
        assert_eq!(judgement.verdict, expected, "{candidate:?} {live:?} {judgement:?}");
    }
}

#[test]
fn errors_by_themselves() {
    for (errors, n, expected) in [
        (0, 0, NoData),
        (1, 1, NoData),
        (1, 30, NoData),
        (0, 499, NoData),
        (15, 100, Fail),
        (0, 500, Pass),
        (5, 500, Pass),
        (6, 500, Inconclusive),
        (25, 500, Fail),
    ] {
        let seen = evidence(vec![counted(Arm::Candidate, errors, n)], vec![]);
        let judgement = error_max().judge(&seen, SETTING);
        assert_eq!(judgement.verdict, expected, "{errors} of {n}: {judgement:?}");
    }
}

#[test]
fn label_matches_against_the_live_release_and_by_themselves() {
    for (candidate, live, against, alone) in [
        ((0, 0), (0, 0), NoData, NoData),
        ((281, 412), (6_201, 7_830), Fail, Fail),
        ((400, 412), (6_201, 7_830), NoData, NoData),
        ((400, 500), (6_201, 7_830), Inconclusive, Pass),
        ((399, 500), (6_201, 7_830), Inconclusive, Inconclusive),
        ((430, 500), (6_201, 7_830), Pass, Pass),
    ] {
        let seen = arms(candidate, live);
        assert_eq!(match_margin().judge(&seen, SETTING).verdict, against, "{candidate:?}");
        assert_eq!(match_min().judge(&seen, SETTING).verdict, alone, "{candidate:?}");
    }
}

#[test]
fn harm_of_outcomes_is_up_and_shares_are_as_written() {
    let seen = arms((281, 412), (6_201, 7_830));
    let worse = match_margin().judge(&seen, SETTING);
    assert!(worse.value.unwrap() > 0.1 && worse.lower.unwrap() > 0.01, "{worse:?}");
    assert!((worse.term("candidate.rate").unwrap() - 281.0 / 412.0).abs() < 1e-12);
    let alone = match_min().judge(&seen, SETTING);
    let (lower, value, upper) = (alone.lower.unwrap(), alone.value.unwrap(), alone.upper.unwrap());
    assert!(0.0 < lower && lower < value && value < upper && upper < 0.8, "{alone:?}");
}

#[test]
fn without_a_counterpart_comparisons_are_skipped_and_bounds_are_not() {
    let setting = Setting { no_counterpart: Some("no live release"), ..SETTING };
    let seen = evidence(vec![counted(Arm::Candidate, 400, 500)], vec![]);
    for check in [error_margin(), match_margin()] {
        let judgement = check.judge(&seen, setting);
        assert_eq!(judgement.verdict, Pass);
        assert_eq!(explain(&check, &judgement), "passes: skipped: no live release");
    }
    assert_eq!(error_max().judge(&seen, setting).verdict, Fail);
}

#[test]
fn measurements_that_contradict_themselves_decide_nothing() {
    for sum in [-1.0, 0.5, 501.0, f64::NAN, f64::INFINITY] {
        let bad = Measurement { sum, ..measured(Arm::Candidate, 500) };
        let seen = evidence(vec![bad, counted(Arm::Live, 1, 500)], vec![]);
        for check in [error_margin(), error_max(), match_margin(), match_min()] {
            assert_eq!(check.judge(&seen, SETTING).verdict, NoData, "{sum}");
        }
    }
    let senseless = Setting { alpha: 0.0, ..SETTING };
    assert_eq!(error_margin().judge(&arms((400, 500), (1, 500)), senseless).verdict, NoData);
}

#[test]
fn quality_from_a_confusion_table() {
    // true positives, false positives, false negatives, true negatives
    for (metric, counts, expected) in [
        (Metric::Accuracy, [450, 50, 50, 450], Pass),
        (Metric::Accuracy, [445, 55, 50, 450], Inconclusive),
        (Metric::Accuracy, [300, 200, 200, 300], Fail),
        (Metric::Precision, [90, 10, 500, 400], Pass),
        (Metric::Precision, [0, 0, 500, 400], NoData),
        (Metric::Recall, [90, 500, 10, 400], Pass),
        (Metric::Recall, [50, 0, 50, 900], Fail),
        (Metric::F1, [450, 50, 50, 450], Pass),
        (Metric::F1, [0, 0, 0, 1_000], NoData),
        (Metric::Auc, [450, 50, 50, 450], NoData),
    ] {
        let mut confusion = measured(Arm::Candidate, counts.iter().sum());
        confusion.counts = counts.to_vec();
        let check = check(Kind::Quality(Quality { metric, min: 0.9 }));
        let judgement = check.judge(&evidence(vec![confusion], vec![]), Setting { samples: 0, ..SETTING });
        assert_eq!(judgement.verdict, expected, "{metric:?} {counts:?} {judgement:?}");
    }
}

#[test]
fn auc_comes_with_its_interval() {
    for (auc, lower, upper, expected) in [
        (0.91, 0.88, 0.94, Pass),
        (0.89, 0.86, 0.92, Inconclusive),
        (0.80, 0.76, 0.84, Fail),
        (0.80, 0.84, 0.76, NoData),
        (f64::NAN, 0.1, 0.2, NoData),
    ] {
        let values = [("auc", auc), ("auc_lower", lower), ("auc_upper", upper)];
        let seen = evidence(vec![with_values(measured(Arm::Candidate, 600), &values)], vec![]);
        let check = check(Kind::Quality(Quality { metric: Metric::Auc, min: 0.9 }));
        assert_eq!(check.judge(&seen, SETTING).verdict, expected, "{auc}");
    }
}

#[test]
fn latency_against_its_limit() {
    let kept: &[&str] = &[];
    for (n, values, codes, expected) in [
        (0, vec![], kept, NoData),
        (2_000, vec![("p99_ms", 30.0), ("p99_lower_ms", 28.0), ("p99_upper_ms", 35.0)], kept, Pass),
        (2_000, vec![("p99_ms", 49.0), ("p99_lower_ms", 45.0), ("p99_upper_ms", 60.0)], kept, Pass),
        (2_000, vec![("p99_ms", 55.0), ("p99_lower_ms", 45.0), ("p99_upper_ms", 60.0)], kept, Inconclusive),
        (2_000, vec![("p99_ms", 80.0), ("p99_lower_ms", 70.0), ("p99_upper_ms", 90.0)], kept, Fail),
        (300, vec![("p99_ms", 30.0), ("p99_lower_ms", 28.0)], kept, NoData),
        (300, vec![("p99_ms", 80.0), ("p99_lower_ms", 70.0)], kept, Fail),
        (499, vec![("p99_ms", 30.0), ("p99_lower_ms", 28.0), ("p99_upper_ms", 35.0)], kept, NoData),
        (2_000, vec![("p99_ms", 30.0), ("p99_lower_ms", 35.0), ("p99_upper_ms", 40.0)], kept, NoData),
        (
            2_000,
            vec![("p99_ms", 30.0), ("p99_lower_ms", 28.0), ("p99_upper_ms", 35.0)],
            &[LOAD_NOT_KEPT],
            Inconclusive,
        ),
        (
            2_000,
            vec![("p99_ms", 30.0), ("p99_lower_ms", 28.0), ("p99_upper_ms", 35.0)],
            &[LOAD_NOT_KEPT, "ANSWERS_FAILED"],
            Fail,
        ),
    ] {
        let findings = codes.iter().map(|code| finding(code)).collect();
        let seen = evidence(vec![with_values(measured(Arm::Candidate, n), &values)], findings);
        let check =
            check(Kind::Latency(Latency { rate_per_second: 200.0, for_ms: 10_000, p99_max_ms: 50.0 }));
        assert_eq!(check.judge(&seen, SETTING).verdict, expected, "{n} {values:?} {codes:?}");
    }
}

fn moved(name: &str, psi: f64, rows: u64) -> Measurement {
    let values = [("psi", psi), ("n", 10_000.0), ("m", rows as f64), ("bins", 10.0)];
    Measurement { unit: name.into(), ..with_values(measured(Arm::Candidate, rows), &values) }
}

#[test]
fn drift_is_great_and_more_than_chance() {
    let drift = |features: &[&str]| {
        let features = features.iter().map(|name| (*name).into()).collect();
        check(Kind::Drift(Drift { features, max: 0.2, fdr: 0.05 }))
    };
    for (features, measurements, expected) in [
        (&[][..], vec![], NoData),
        (&[], vec![moved("a", 0.01, 5_000), moved("b", 0.02, 5_000)], Pass),
        // Far beyond chance, and too small to matter.
        (&[], vec![moved("a", 0.15, 50_000)], Pass),
        (&[], vec![moved("a", 0.25, 5_000), moved("b", 0.02, 5_000)], Fail),
        // Great, and what 60 rows show by chance.
        (&[], vec![moved("a", 0.25, 60)], Inconclusive),
        // Fewer rows than the law of the index needs.
        (&[], vec![moved("a", 0.9, 49)], NoData),
        (&[], vec![moved("a", 0.9, 49), moved("b", 0.01, 5_000)], NoData),
        (&[], vec![moved("a", 0.01, 49), moved("b", 0.5, 5_000)], Fail),
        // A feature that was asked for and not measured; one that was measured and not asked for.
        (&["a", "c"], vec![moved("a", 0.01, 5_000)], NoData),
        (&["a"], vec![moved("a", 0.01, 5_000), moved("b", 0.9, 5_000)], Pass),
        (&[], vec![moved("a", f64::NAN, 5_000)], NoData),
    ] {
        let described = format!("{features:?} {measurements:?}");
        let judgement = drift(features).judge(&evidence(measurements, vec![]), SETTING);
        assert_eq!(judgement.verdict, expected, "{described} {judgement:?}");
    }
}

#[test]
fn drift_of_one_feature_among_many_must_stand_out_more() {
    let check = check(Kind::Drift(Drift { features: vec![], max: 0.2, fdr: 0.05 }));
    let alone = vec![moved("it", 0.21, 90)];
    let mut among: Vec<Measurement> = (0..40).map(|i| moved(&format!("f{i}"), 0.09, 90)).collect();
    among.extend(alone.clone());
    assert_eq!(check.judge(&evidence(alone, vec![]), SETTING).verdict, Fail);
    let judgement = check.judge(&evidence(among, vec![]), SETTING);
    assert_eq!(judgement.verdict, Inconclusive);
    assert_eq!(judgement.terms.iter().filter(|(name, _)| name.starts_with("psi.")).count(), 5);
}

#[test]
fn arms_get_the_traffic_they_are_meant_to_get() {
    let units = |candidate: Option<u64>, live: Option<u64>| {
        let name = CheckName::parse(sample_ratio::NAME).unwrap();
        let arms = [(Arm::Candidate, candidate), (Arm::Live, live)];
        let seen = arms.into_iter().filter_map(|(arm, n)| {
            Some(Measurement { n: n?, ..Measurement::new(name.clone(), "distinct-units/1", arm) })
        });
        evidence(seen.collect(), vec![])
    };
    for (candidate, live, share, expected) in [
        (None, None, 0.05, NoData),
        (Some(0), Some(0), 0.05, NoData),
        (Some(3), Some(60), 0.05, NoData),
        (Some(50), Some(950), 0.05, Pass),
        (Some(60), Some(940), 0.05, Pass),
        (Some(120), Some(880), 0.05, Fail),
        (None, Some(1_000), 0.05, Fail),
        (Some(1_000), None, 1.0, Pass),
    ] {
        let judgement = sample_ratio::judge(&units(candidate, live), share);
        assert_eq!(judgement.verdict, expected, "{candidate:?} {live:?} {judgement:?}");
    }
}

#[test]
fn judgements_are_explained_with_their_numbers() {
    let told = |check: Check, seen: &Evidence| explain(&check, &check.judge(seen, SETTING));
    let unlike = arms((281, 412), (6_201, 7_830));
    let cases = [
        (
            told(match_margin(), &unlike),
            "fails: label-match 0.682 against 0.792 of live (n = 412 and 7,830), at least 3.85 points worse, more \
             than the margin of 1 point; it would not have failed with at most 118 misses instead of 131",
        ),
        (
            told(error_margin(), &arms((50, 500), (100, 10_000))),
            "fails: error rate 0.100 against 0.010 of live (n = 500 and 10,000), at least 4.88 points worse, more \
             than the margin of 0.5 points; 500 observations without any errors would not have passed either",
        ),
        (
            told(error_margin(), &arms((5, 500), (100, 10_000))),
            "inconclusive: error rate 0.010 against 0.010 of live (n = 500 and 10,000), between 2.51 points worse \
             and 1.51 points better: neither more nor less than the margin of 0.5 points is shown; 500 \
             observations without any errors would not have passed either",
        ),
        (
            told(error_margin(), &arms((0, 20_000), (100, 100_000))),
            "passes: error rate 0.000 against 0.001 of live (n = 20,000 and 100,000), better by at least 0.04 points",
        ),
        (
            told(error_margin(), &arms((0, 400), (9, 9_900))),
            "no data: error rate 0.000 against 0.00091 of live (n = 400 and 9,900), no harm is shown, and 500 \
             observations are asked for",
        ),
        (
            told(error_max(), &arms((25, 500), (0, 0))),
            "fails: error rate 0.050 (n = 500, bounds 0.020 to 0.089), asked for: at most 0.01; it would have passed \
             with at most 5 errors instead of 25",
        ),
        (
            told(match_min(), &arms((399, 500), (0, 0))),
            "inconclusive: label-match 0.798 (n = 500, bounds 0.738 to 0.853), asked for: at least 0.8; it would \
             have passed with at most 100 misses instead of 101",
        ),
    ];
    for (told, expected) in cases {
        assert_eq!(told, expected);
    }
}

#[test]
fn words_say_what_is_asked() {
    for (check, words) in [
        (error_margin(), "the error rate is at most 0.5 percentage points above the live release's"),
        (error_max(), "the error rate is at most 1 %"),
        (match_margin(), "label-match is at most 1 percentage points below the live release's"),
        (match_min(), "label-match is at least 80 %"),
    ] {
        assert_eq!(check.words(), words);
    }
}

/// SplitMix64.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The share of paths on which a candidate exactly at its bound ever fails, looked at from the first answers on.
fn false_alarms(rate: f64, live_per_candidate: u64, judge: impl Fn(&Evidence) -> Judgement) -> f64 {
    const PATHS: u32 = 300;
    let mut state = 20_261_121;
    let mut alarms = 0;
    for _ in 0..PATHS {
        let (mut bad, mut live_bad) = (0, 0);
        let alarmed = (1..=120_u64).any(|tick| {
            let n = tick * 5;
            bad += (0..5).filter(|_| random(&mut state) < rate).count() as u64;
            let more = 5 * live_per_candidate;
            live_bad += (0..more).filter(|_| random(&mut state) < rate).count() as u64;
            judge(&arms((bad, n), (live_bad, n * live_per_candidate))).verdict == Fail
        });
        alarms += u32::from(alarmed);
    }
    f64::from(alarms) / f64::from(PATHS)
}

#[test]
fn looking_at_every_tick_keeps_false_alarms_within_alpha() {
    let by_itself = |max| check(Kind::ErrorRate(ErrorRate { max: Some(max), margin: None }));
    let against = check(Kind::ErrorRate(ErrorRate { max: None, margin: Some(0.0) }));
    for rate in [0.01, 0.2] {
        let alone = false_alarms(rate, 0, |seen| by_itself(rate).judge(seen, SETTING));
        let compared = false_alarms(rate, 9, |seen| against.judge(seen, SETTING));
        assert!(alone <= SETTING.alpha && compared <= SETTING.alpha, "{rate}: {alone} {compared}");
    }
}
