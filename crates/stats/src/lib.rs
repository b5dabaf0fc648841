//! Statistics that judge models: intervals, always-valid comparisons, drift scores, quality measures.
//!
//! **Invariant:** every function is pure and its result is the same bit pattern on every platform and in
//! every build: IEEE binary64, a fixed order of evaluation, elementary functions only from [`math`] (which
//! wraps the pinned `libm`), sums compensated. A changed formula gets a new method id; the old one stays.
//!
//! Inputs that make no sense (NaN, a share outside 0 to 1, more events than trials, nothing observed) are an
//! [`Error`], never a number that looks like an answer.
//!
//! It does not decide: thresholds, margins, least samples and what follows from them belong to the callers.
//! It reads no clock and draws no random numbers.

pub mod auc;
pub mod classify;
mod error;
mod interval;
pub mod math;
pub mod multiplicity;
pub mod power;
pub mod proportion;
pub mod psi;
pub mod quantile;
pub mod ratio;
pub mod sequential;
#[cfg(test)]
mod test_random;

pub use error::Error;
pub use interval::{Bounds, Interval};
