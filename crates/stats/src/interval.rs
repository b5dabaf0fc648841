//! The two result shapes of this crate: an interval, and an estimate with its bounds.

/// A closed interval. `lower <= upper`; a side that the sample cannot bound is infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub lower: f64,
    pub upper: f64,
}

impl Interval {
    /// Says whether `value` lies inside, edges included.
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    /// Upper minus lower, in the unit of the values.
    pub fn width(&self) -> f64 {
        self.upper - self.lower
    }
}

/// An estimate and the bounds around it, all in one unit. `lower <= estimate <= upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub estimate: f64,
    pub lower: f64,
    pub upper: f64,
}

impl Bounds {
    /// The bounds without the estimate.
    pub fn interval(&self) -> Interval {
        Interval { lower: self.lower, upper: self.upper }
    }

    /// Puts an estimate and its interval together; rounding may not push a bound past the estimate.
    pub(crate) fn around(estimate: f64, interval: Interval) -> Self {
        Self { estimate, lower: interval.lower.min(estimate), upper: interval.upper.max(estimate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_contains_its_edges() {
        let interval = Interval { lower: -1.0, upper: 2.0 };
        assert!(interval.contains(-1.0) && interval.contains(2.0) && !interval.contains(2.1));
        assert!((interval.width() - 3.0).abs() < f64::EPSILON);
    }
}
