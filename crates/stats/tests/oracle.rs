//! Compares the crate with other libraries' numbers: `vectors/*.csv`, written by `vectors/make_vectors.py`.
//!
//! Each test states its tolerance; `close` takes it relative to the expected number, and absolute below 1.

use stats::{
    Interval, auc, classify, math, multiplicity, power, proportion, psi, quantile, ratio, sequential,
};

/// One row of a vector file; cells are taken from left to right.
struct Row<'a> {
    line: &'a str,
    cells: std::str::Split<'a, char>,
}

impl<'a> Row<'a> {
    fn cell(&mut self) -> &'a str {
        self.cells.next().unwrap_or_else(|| panic!("a cell is missing in {}", self.line))
    }

    fn number(&mut self) -> f64 {
        self.cell().parse().expect("a cell holds a number")
    }

    fn count(&mut self) -> u64 {
        self.cell().parse().expect("a cell holds a number")
    }

    fn numbers(&mut self) -> Vec<f64> {
        self.cell().split_whitespace().map(|number| number.parse().expect("a cell holds a number")).collect()
    }

    fn counts(&mut self) -> Vec<u64> {
        self.cell().split_whitespace().map(|number| number.parse().expect("a cell holds a number")).collect()
    }

    fn flags(&mut self) -> Vec<bool> {
        self.counts().into_iter().map(|flag| flag == 1).collect()
    }

    fn interval(&mut self) -> Interval {
        Interval { lower: self.number(), upper: self.number() }
    }

    fn sample(&mut self) -> proportion::Counts {
        proportion::Counts::new(self.count(), self.count()).expect("the vectors hold possible counts")
    }

    fn mean_sample(&mut self) -> sequential::MeanSample {
        sequential::MeanSample { mean: self.number(), variance: self.number(), n: self.count() }
    }

    fn tuning(&mut self) -> sequential::Tuning {
        sequential::Tuning::new(self.number(), self.number()).expect("the vectors hold possible tunings")
    }
}

/// Runs `check` on every row of a vector file and on at least `rows_min` of them.
fn each_row(name: &str, rows_min: usize, check: impl Fn(&mut Row<'_>)) {
    let path = format!("{}/vectors/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the vectors stand beside the crate");
    let mut rows = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut row = Row { line, cells: line.split(',') };
        check(&mut row);
        assert_eq!(row.cells.next(), None, "a cell was not compared in {line}");
        rows += 1;
    }
    assert!(rows >= rows_min, "{name} has {rows} rows");
}

#[track_caller]
fn close(actual: f64, expected: f64, tolerance: f64) {
    let allowed = tolerance * expected.abs().max(1.0);
    assert!((actual - expected).abs() <= allowed, "expected {expected:?}, got {actual:?}");
}

#[track_caller]
fn close_relative(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance * expected.abs(), "expected {expected:?}, got {actual:?}");
}

#[track_caller]
fn close_interval(actual: Interval, expected: Interval, tolerance: f64) {
    close(actual.lower, expected.lower, tolerance);
    close(actual.upper, expected.upper, tolerance);
}

#[test]
fn normal_distribution_matches_mpmath() {
    each_row("normal_cdf", 100, |row| {
        let x = row.number();
        close_relative(math::normal_cdf(x), row.number(), 1e-13);
    });
    each_row("normal_quantile", 100, |row| {
        let probability = row.number();
        close(math::normal_quantile(probability).unwrap(), row.number(), 1e-13);
    });
}

#[test]
fn gamma_and_beta_distributions_match_scipy() {
    each_row("gamma", 200, |row| {
        let (shape, x) = (row.number(), row.number());
        close_relative(math::gamma_lower(shape, x).unwrap(), row.number(), 1e-11);
        close_relative(math::gamma_upper(shape, x).unwrap(), row.number(), 1e-11);
    });
    each_row("beta_cdf", 200, |row| {
        let (x, a, b) = (row.number(), row.number(), row.number());
        close_relative(math::beta_cdf(x, a, b).unwrap(), row.number(), 1e-10);
    });
    each_row("beta_quantile", 60, |row| {
        let (probability, a, b) = (row.number(), row.number(), row.number());
        close_relative(math::beta_quantile(probability, a, b).unwrap(), row.number(), 1e-11);
    });
    each_row("chi_square_quantile", 60, |row| {
        let (probability, degrees) = (row.number(), row.number());
        close_relative(math::chi_square_quantile(probability, degrees).unwrap(), row.number(), 1e-11);
    });
    each_row("binomial_cdf", 100, |row| {
        let (events, trials, probability) = (row.count(), row.count(), row.number());
        close_relative(math::binomial_cdf(events, trials, probability).unwrap(), row.number(), 1e-9);
    });
}

#[test]
fn proportions_match_statsmodels() {
    each_row("wilson", 200, |row| {
        let (successes, n, confidence) = (row.count(), row.count(), row.number());
        close_interval(proportion::wilson(successes, n, confidence).unwrap(), row.interval(), 1e-12);
    });
    each_row("newcombe", 150, |row| {
        let (first, second, confidence) = (row.sample(), row.sample(), row.number());
        let bounds = proportion::newcombe_difference(first, second, confidence).unwrap();
        close_interval(bounds.interval(), row.interval(), 1e-12);
    });
    each_row("z_test", 150, |row| {
        let test = proportion::z_test(row.sample(), row.sample());
        close(test.z, row.number(), 1e-11);
        close(test.p_two_sided, row.number(), 1e-12);
        close(test.p_larger, row.number(), 1e-12);
        close(test.p_larger + test.p_smaller, 1.0, 1e-12);
    });
}

#[test]
fn sample_ratio_matches_scipy_and_the_bayes_factor() {
    each_row("sample_ratio", 100, |row| {
        let (observed, shares) = (row.counts(), row.numbers());
        let test = ratio::mismatch(&observed, &shares).unwrap();
        close_relative(test.statistic, row.number(), 1e-9);
        close(test.p_value, row.number(), 1e-11);
        close(ratio::sequential_mismatch(&observed, &shares).unwrap(), row.number(), 1e-8);
    });
}

#[test]
fn sequential_bounds_match_their_formulas_and_gbstats() {
    each_row("sequential_boundary", 100, |row| {
        let (n, tuning) = (row.number(), row.tuning());
        close_relative(sequential::one_sided_half_width(n, tuning).unwrap(), row.number(), 1e-13);
        close_relative(sequential::two_sided_half_width(n, tuning).unwrap(), row.number(), 1e-13);
    });
    each_row("sequential_difference", 100, |row| {
        let bounds = sequential::difference(row.sample(), row.sample(), row.tuning()).unwrap();
        close_interval(bounds.interval(), row.interval(), 1e-12);
    });
    each_row("sequential_mean", 100, |row| {
        let bounds = sequential::mean_difference(row.mean_sample(), row.mean_sample(), row.tuning()).unwrap();
        close_interval(bounds.interval(), row.interval(), 1e-10);
    });
}

#[test]
fn stability_index_matches_numpy_and_scipy() {
    each_row("psi", 60, |row| {
        let (reference, current) = (row.numbers(), row.numbers());
        let edges = psi::reference_edges(&reference, psi::BINS_DEFAULT).unwrap();
        assert_eq!(edges, row.numbers());
        let reference_counts = psi::counts(&edges, &reference).unwrap();
        let current_counts = psi::counts(&edges, &current).unwrap();
        assert_eq!((&reference_counts, &current_counts), (&row.counts(), &row.counts()));
        let (n, m, bins) = (reference.len() as u64, current.len() as u64, edges.len() + 1);
        let value = psi::index(&reference_counts, &current_counts).unwrap();
        close(value, row.number(), 1e-13);
        close(psi::sampling_bound(bins, n, m, 0.95).unwrap(), row.number(), 1e-12);
        close(psi::p_value(value, bins, n, m).unwrap(), row.number(), 1e-11);
    });
}

#[test]
fn classification_measures_match_scikit_learn() {
    each_row("confusion", 100, |row| {
        let counts = classify::Confusion::count(&row.flags(), &row.flags()).unwrap();
        let expected = classify::Confusion {
            true_positive: row.count(),
            false_positive: row.count(),
            false_negative: row.count(),
            true_negative: row.count(),
        };
        assert_eq!(counts, expected);
        close(counts.accuracy(0.95).unwrap().estimate, row.number(), 1e-14);
        close(counts.precision(0.95).unwrap().estimate, row.number(), 1e-14);
        close(counts.recall(0.95).unwrap().estimate, row.number(), 1e-14);
        let f1 = counts.f1(0.95).unwrap();
        close(f1.estimate, row.number(), 1e-14);
        close_interval(f1.interval(), row.interval(), 1e-12);
    });
    each_row("scores", 80, |row| {
        let (scores, labels) = (row.numbers(), row.flags());
        let area = auc::auc(&scores, &labels).unwrap();
        close(area.value, row.number(), 1e-13);
        close(area.variance.unwrap(), row.number(), 1e-13);
        close_interval(area.bounds(0.95).unwrap().interval(), row.interval(), 1e-9);
        close(classify::log_loss(&scores, &labels).unwrap(), row.number(), 1e-12);
        close(classify::brier(&scores, &labels).unwrap(), row.number(), 1e-13);
    });
}

#[test]
fn quantiles_match_numpy_and_their_ranks_scipy() {
    each_row("quantile", 80, |row| {
        let (sorted, probability) = (row.numbers(), row.number());
        close_relative(quantile::quantile(&sorted, probability).unwrap(), row.number(), 1e-13);
    });
    each_row("quantile_ranks", 150, |row| {
        let ranks = quantile::interval_ranks(row.count(), row.number(), row.number()).unwrap();
        assert_eq!((ranks.lower.unwrap_or(0), ranks.upper.unwrap_or(0)), (row.count(), row.count()));
    });
}

#[test]
fn adjusted_p_values_match_statsmodels() {
    each_row("multiplicity", 60, |row| {
        let p_values = row.numbers();
        for (adjusted, expected) in [
            (multiplicity::benjamini_hochberg(&p_values).unwrap(), row.numbers()),
            (multiplicity::holm(&p_values).unwrap(), row.numbers()),
        ] {
            assert_eq!(adjusted.len(), expected.len());
            adjusted.iter().zip(&expected).for_each(|(&actual, &expected)| close(actual, expected, 1e-13));
        }
    });
}

#[test]
fn plans_match_their_formulas_by_scipy() {
    each_row("power", 100, |row| {
        let (live, difference, share) = (row.number(), row.number(), row.number());
        let (alpha, wanted) = (row.number(), row.number());
        let (n_c, n_l) = (row.count(), row.count());
        assert_eq!(power::candidate_samples(live, difference, share, alpha, wanted), Ok(n_c));
        let detectable = power::detectable_difference(live, n_c, n_l, alpha, wanted).unwrap().unwrap();
        close_relative(detectable, row.number(), 1e-11);
        let tuning = sequential::Tuning::new(alpha, row.number()).unwrap();
        let sequential_n = power::candidate_samples_sequential(live, difference, share, tuning, wanted);
        assert_eq!(sequential_n, Ok(row.count()));
    });
}

/// The last bits of every method, folded into one number: `verify` decides old records again and compares bytes.
///
/// When this fails, a formula changed: keep the old one, and give the new one a new method id.
#[test]
fn results_keep_their_last_bit() {
    let bits = std::cell::Cell::new(0xcbf2_9ce4_8422_2325_u64);
    let fold = |value: f64| bits.set((bits.get() ^ value.to_bits()).wrapping_mul(0x0100_0000_01b3));
    let fold_interval = |interval: Interval| [interval.lower, interval.upper].into_iter().for_each(fold);
    for step in 1..200_u64 {
        let candidate = proportion::Counts::new(step / 3, step * 7).unwrap();
        let live = proportion::Counts::new(step * 5, step * 131 + 3).unwrap();
        let tuning = sequential::Tuning::new(0.5 / (step + 3) as f64, (step * 50) as f64).unwrap();
        fold_interval(sequential::difference(candidate, live, tuning).unwrap().interval());
        fold_interval(sequential::proportion(candidate, tuning).unwrap().interval());
        fold_interval(proportion::newcombe_difference(candidate, live, 0.95).unwrap().interval());
        fold(proportion::z_test(candidate, live).p_larger);
        let observed = [candidate.total(), live.total()];
        fold(ratio::mismatch(&observed, &[5.0, 95.0]).unwrap().p_value);
        fold(ratio::sequential_mismatch(&observed, &[5.0, 95.0]).unwrap());
        fold(psi::sampling_bound(step as usize + 1, step * 10, 500, 0.95).unwrap());
        fold(math::beta_quantile(0.05, step as f64, 3.5).unwrap());
        let negatives = step * 2;
        let counts = classify::Confusion {
            true_positive: step,
            false_positive: step / 2,
            false_negative: step / 4,
            true_negative: negatives,
        };
        fold_interval(counts.f1(0.95).unwrap().interval());
        let scores: Vec<f64> = (0..step + 3).map(|index| (index * 37 % 11) as f64 / 11.0).collect();
        let labels: Vec<bool> = (0..step + 3).map(|index| index % 3 == 0).collect();
        fold_interval(auc::auc(&scores, &labels).unwrap().bounds(0.95).unwrap().interval());
        fold(classify::log_loss(&scores, &labels).unwrap());
        fold(power::candidate_samples_sequential(0.1, 0.001 * step as f64, 0.05, tuning, 0.8).unwrap() as f64);
    }
    assert_eq!(format!("{:016x}", bits.get()), "c462acc24b34878a");
}
