//! Seeded random numbers for simulations in tests; the product itself draws none.

/// The SplitMix64 generator (Steele, Lea, Flood 2014): small, seedable, good enough for simulations.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A generator seeded from `STATS_SEED`, or from `seed`; the seed is printed so that a failure repeats.
    pub(crate) fn seeded(seed: u64) -> Self {
        let seed = number_from_environment("STATS_SEED", seed);
        println!("STATS_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `trials` independent trials succeed.
    pub(crate) fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        let limit = (probability * u64::MAX as f64) as u64;
        (0..trials).filter(|_| self.next() < limit).count() as u64
    }
}

/// Reads a number from the environment, to rerun a simulation with another seed or more paths.
pub(crate) fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("the variable holds a whole number"))
}
