//! Latencies as counts by value, in bounded memory, with exact ranks.
//!
//! **Invariant:** a value is kept with four significant digits, rounded up: quantiles are never told too low, and at
//! most 0.1 % too high. The number of cells is bounded by the number of such values.

use std::collections::BTreeMap;

use domain::evidence::Measurement;
use stats::quantile::interval_ranks;

use crate::evidence::set;

/// Confidence of the intervals that go with a quantile, two-sided.
pub(crate) const CONFIDENCE: f64 = 0.95;

#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    /// Counts by microseconds.
    cells: BTreeMap<u64, u64>,
    n: u64,
    sum_ms: f64,
    sum_sq: f64,
}

impl Latencies {
    pub(crate) fn add(&mut self, micros: u64) {
        *self.cells.entry(four_digits(micros)).or_default() += 1;
        let ms = micros as f64 / 1_000.0;
        self.n += 1;
        self.sum_ms += ms;
        self.sum_sq += ms * ms;
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (micros, count) in &other.cells {
            *self.cells.entry(*micros).or_default() += count;
        }
        self.n += other.n;
        self.sum_ms += other.sum_ms;
        self.sum_sq += other.sum_sq;
    }

    /// The value of that rank, from 1, in milliseconds.
    fn at(&self, rank: u64) -> f64 {
        let mut seen = 0;
        for (micros, count) in &self.cells {
            seen += count;
            if seen >= rank {
                return *micros as f64 / 1_000.0;
            }
        }
        f64::NAN
    }

    /// The inverse of the distribution function, in milliseconds.
    fn quantile(&self, probability: f64) -> f64 {
        self.at(((self.n as f64 * probability).ceil() as u64).max(1))
    }

    /// Writes `n`, the sums and the quantiles, each with its distribution-free interval.
    ///
    /// A bound that so few values cannot give is left out: the upper one of `p99` needs 368 values.
    pub(crate) fn write(&self, measurement: &mut Measurement) {
        measurement.n = self.n;
        measurement.sum = self.sum_ms;
        measurement.sum_sq = self.sum_sq;
        measurement.unit = "ms".into();
        for (name, probability) in [("p50", 0.5), ("p99", 0.99)] {
            let Ok(ranks) = interval_ranks(self.n, probability, CONFIDENCE) else { continue };
            set(measurement, &format!("{name}_ms"), self.quantile(probability));
            if let Some(rank) = ranks.lower {
                set(measurement, &format!("{name}_lower_ms"), self.at(rank));
            }
            if let Some(rank) = ranks.upper {
                set(measurement, &format!("{name}_upper_ms"), self.at(rank));
            }
        }
    }
}

fn four_digits(micros: u64) -> u64 {
    let mut step = 1;
    while micros / step >= 10_000 {
        step *= 10;
    }
    micros.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use domain::evidence::Arm;

    use super::*;
    use crate::evidence::check_name;

    #[test]
    fn quantiles_are_those_of_the_values_within_a_thousandth() {
        let mut latencies = Latencies::default();
        for micros in (1..=1_000_u64).rev() {
            latencies.add(micros * 1_234);
        }
        let mut measurement = Measurement::new(check_name("latency"), "x/1", Arm::Candidate);
        latencies.write(&mut measurement);
        assert_eq!(measurement.n, 1_000);
        for (name, exact) in [("p50_ms", 500.0 * 1.234), ("p99_ms", 990.0 * 1.234)] {
            let found = measurement.value(name).unwrap();
            assert!(found >= exact && found <= exact * 1.001, "{name} {found}");
        }
        let (lower, upper) =
            (measurement.value("p99_lower_ms").unwrap(), measurement.value("p99_upper_ms").unwrap());
        assert!(lower < 990.0 * 1.234 && upper > 990.0 * 1.234);
    }

    #[test]
    fn few_values_have_no_upper_bound() {
        let mut latencies = Latencies::default();
        (1..=100).for_each(|micros| latencies.add(micros));
        let mut measurement = Measurement::new(check_name("latency"), "x/1", Arm::Candidate);
        latencies.write(&mut measurement);
        assert!(measurement.value("p99_upper_ms").is_none() && measurement.value("p99_ms").is_some());
        assert_eq!(four_digits(12_345_678), 12_350_000);
    }
}
