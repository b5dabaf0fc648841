//! Shares of traffic in basis points: 10,000 is all of it.

use std::fmt;

/// A share of traffic, 0 to 10,000 basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weight(u16);

impl Weight {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(10_000);

    /// A share of so many basis points; nothing above 10,000.
    pub fn basis_points(points: u16) -> Option<Self> {
        (points <= 10_000).then_some(Self(points))
    }

    pub fn points(self) -> u16 {
        self.0
    }

    /// As a share between 0 and 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// What is left for the others.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(10_000 - self.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        if part == 0 { write!(f, "{whole}%") } else { write!(f, "{whole}.{part:02}%") }
    }
}
