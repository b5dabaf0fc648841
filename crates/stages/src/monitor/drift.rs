//! `drift`: the population stability index of each feature against the training data.
//!
//! One measurement a feature: `unit` is its name, `counts` the window's bins, `values` are `psi`, `n` (rows of the
//! baseline), `m` (rows of the window), `bins` and `missing`.

use domain::check::Check;
use domain::check::drift::Drift;
use domain::evidence::{Arm, Finding, Measurement};
use domain::name::Digest;
use stats::psi;

use super::profile::{Feature, Profile};
use crate::evidence::{check_name, finding, set};
use crate::traffic::ASIDE;

/// A window's values, as counts in the bins of the baseline.
#[derive(Debug)]
pub(super) struct Window {
    profile: Profile,
    digest: Digest,
    /// Edges as the model takes its inputs: compared as FP32, so that a value on an edge stays on it.
    edges: Vec<Vec<f64>>,
    counts: Vec<Vec<u64>>,
    missing: Vec<u64>,
    /// Predictions with another number of features than the baseline has.
    misfits: u64,
}

impl Window {
    pub(super) fn new(profile: Profile, digest: Digest) -> Self {
        let single = |edge: &f64| f64::from(*edge as f32);
        let edges = profile.features.iter().map(|it| it.edges.iter().map(single).collect()).collect();
        let counts = profile.features.iter().map(|it| vec![0; it.counts.len()]).collect();
        let missing = vec![0; profile.features.len()];
        Self { profile, digest, edges, counts, missing, misfits: 0 }
    }

    /// Counts one prediction; one whose features were not kept counts for nothing.
    pub(super) fn add(&mut self, features: &[f32]) {
        if features.is_empty() {
            return;
        }
        if features.len() != self.profile.features.len() {
            self.misfits += 1;
            return;
        }
        for (place, value) in features.iter().enumerate() {
            match psi::bin(&self.edges[place], f64::from(*value)) {
                Some(bin) => self.counts[place][bin] += 1,
                None => self.missing[place] += 1,
            }
        }
    }

    pub(super) fn measure(&self, check: &Check, asked: &Drift) -> Result<Vec<Measurement>, Finding> {
        if self.misfits > 0 {
            let (misfits, known) = (self.misfits, self.profile.features.len());
            let text =
                format!("{misfits} predictions have another number of features than the baseline's {known}");
            return Err(finding(&check_name(ASIDE), "FEATURES_MISMATCH", text));
        }
        let known = |name: &str| self.profile.features.iter().any(|feature| feature.name == name);
        if let Some(unknown) = asked.features.iter().find(|name| !known(name)) {
            let text = format!("the baseline has no feature `{unknown}`");
            return Err(finding(&check_name(ASIDE), "FEATURE_UNKNOWN", text));
        }
        let wanted = |name: &str| asked.features.is_empty() || asked.features.iter().any(|it| **it == *name);
        let features = self.profile.features.iter().enumerate().filter(|(_, feature)| wanted(&feature.name));
        Ok(features.filter_map(|(place, feature)| self.feature(check, place, feature)).collect())
    }

    /// None when the window has no value of it.
    fn feature(&self, check: &Check, place: usize, feature: &Feature) -> Option<Measurement> {
        let counts = &self.counts[place];
        let (rows, reference): (u64, u64) = (counts.iter().sum(), feature.counts.iter().sum());
        let index = psi::index(&feature.counts, counts).ok()?;
        let mut measurement =
            Measurement::new(check.name.clone(), psi::REFERENCE_QUANTILE_10, Arm::Candidate);
        measurement.n = rows;
        measurement.sum = index;
        measurement.counts.clone_from(counts);
        measurement.unit = feature.name.as_str().into();
        measurement.inputs = Some(self.digest);
        set(&mut measurement, "psi", index);
        set(&mut measurement, "n", reference as f64);
        set(&mut measurement, "m", rows as f64);
        set(&mut measurement, "bins", counts.len() as f64);
        set(&mut measurement, "missing", self.missing[place] as f64);
        Some(measurement)
    }
}
