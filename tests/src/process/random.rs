//! Chance that can be repeated: one seed, printed, and taken back from `MODELRAIL_SEED`.

/// SplitMix64: enough for moments and places.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// The seed of this test, given or drawn.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("MODELRAIL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    println!("MODELRAIL_SEED={seed}");
    seed
}

/// How much a suite does: as much as its flag says, else as much as fits the test command.
pub(crate) fn asked_for(flag: &str, otherwise: usize) -> usize {
    std::env::var(flag).map_or(otherwise, |text| {
        text.replace('_', "").parse().unwrap_or_else(|error| panic!("{flag}={text}: {error}"))
    })
}
