//! Sums whose rounding error does not grow with the number of terms.

/// A running compensated sum (Neumaier 1974), added in the order in which the terms arrive.
///
/// The error is about one rounding of the result as long as the terms do not cancel beyond 1e16.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    total: f64,
    compensation: f64,
}

impl Sum {
    /// Adds one term.
    pub fn add(&mut self, term: f64) {
        let next = self.total + term;
        self.compensation += if self.total.abs() >= term.abs() {
            (self.total - next) + term
        } else {
            (term - next) + self.total
        };
        self.total = next;
    }

    /// The sum so far; infinite or NaN as the plain sum would be.
    pub fn value(&self) -> f64 {
        if self.total.is_finite() { self.total + self.compensation } else { self.total }
    }
}

/// Adds `terms` in their order, compensated; 0 for none.
pub fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    for term in terms {
        sum.add(term);
    }
    sum.value()
}

/// Arithmetic mean, or `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| sum(values.iter().copied()) / values.len() as f64)
}

/// Unbiased sample variance Σ(x−x̄)²/(n−1), in squared units; `None` for fewer than two values.
pub fn sample_variance(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let center = mean(values)?;
    let squares = values.iter().map(|value| (value - center) * (value - center));
    Some(sum(squares) / (values.len() - 1) as f64)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_between_large_ones() {
        let terms = [1.0, 1e100, 1.0, -1e100];
        assert_eq!(terms.iter().sum::<f64>(), 0.0, "the plain sum loses them");
        assert_eq!(sum(terms), 2.0);
    }

    #[test]
    fn a_million_tenths_are_exact() {
        assert_eq!(sum(std::iter::repeat_n(0.1, 1_000_000)), 100_000.0);
    }

    #[test]
    fn infinity_stays_infinite() {
        assert_eq!(sum([1.0, f64::INFINITY, 2.0]), f64::INFINITY);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn mean_and_variance_of_few_values() {
        assert_eq!(mean(&[]), None);
        assert_eq!(sample_variance(&[1.0]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(sample_variance(&[1.0, 2.0, 6.0]), Some(7.0));
    }
}
