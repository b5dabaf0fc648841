//! Elementary and special functions with the same last bit everywhere.
//!
//! **Invariant:** nothing here or above calls the platform's mathematics library; the elementary functions are
//! `libm`'s, pinned by version, and the special ones are built from them in a fixed order of operations.
//!
//! It covers what the statistics of this crate need, in the ranges stated at each function; it is no general
//! library of special functions.

mod beta;
mod fraction;
mod gamma;
mod normal;
mod root;
mod sum;

pub use beta::{beta_cdf, beta_quantile, binomial_cdf};
pub use gamma::{chi_square_cdf, chi_square_quantile, chi_square_upper_tail, gamma_lower, gamma_upper};
pub use normal::{normal_cdf, normal_density, normal_quantile, normal_upper_tail};
pub(crate) use root::bisect;
pub use sum::{Sum, mean, sample_variance, sum};

/// Natural logarithm; negative infinity at 0, NaN below.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// ln(1 + x), precise near 0.
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

/// Logarithm to base 2.
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}

/// Logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    libm::log10(x)
}

/// e to the power of x.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// e to the power of x, less 1, precise near 0.
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

/// x to the power of y.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Square root, correctly rounded.
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}

/// Hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}

/// Sine of x in radians.
pub fn sin(x: f64) -> f64 {
    libm::sin(x)
}

/// Cosine of x in radians.
pub fn cos(x: f64) -> f64 {
    libm::cos(x)
}

/// Error function 2/√π ∫₀ˣ exp(−t²) dt.
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// Complement 1 − erf(x), precise in the upper tail.
pub fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}

/// ln Γ(x) for x > 0.
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}
