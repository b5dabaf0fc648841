//! The profile of the training data, as published with the model: bins per feature and how many rows fell in each.

use serde::Deserialize;

const METHOD: &str = stats::psi::REFERENCE_QUANTILE_10;
/// More bins than any method makes.
const BINS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub method: String,
    /// Rows that were profiled.
    pub n: u64,
    /// In the order of the model's input.
    pub features: Vec<Feature>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feature {
    pub name: String,
    /// Ascending: bin i holds edge i-1 < value <= edge i, the last one the rest.
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

impl Profile {
    /// Reads a profile, or says why it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let profile: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("the baseline is no profile: {error}"))?;
        if profile.method != METHOD {
            return Err(format!("expected a profile of `{METHOD}`, but it is of `{}`", profile.method));
        }
        for feature in &profile.features {
            let ascending = feature.edges.windows(2).all(|pair| pair[0] < pair[1]);
            let finite = feature.edges.iter().all(|edge| edge.is_finite());
            let bins = feature.counts.len();
            if !ascending || !finite || bins != feature.edges.len() + 1 || !(2..=BINS_MAX).contains(&bins) {
                return Err(format!(
                    "expected ascending edges and a count a bin in feature `{}`",
                    feature.name
                ));
            }
            if feature.counts.iter().all(|count| *count == 0) {
                return Err(format!("expected rows in feature `{}`, but it has none", feature.name));
            }
        }
        Ok(profile)
    }
}
