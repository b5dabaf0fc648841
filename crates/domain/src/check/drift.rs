//! `drift`: how far the features in production moved from those in training.
//!
//! Measured: for each feature one measurement of the candidate, its `unit` the feature's name, with the values `psi`
//! (population stability index over the reference's deciles), `n` (rows of the baseline), `m` (rows of the window)
//! and `bins`.
//!
//! A feature has drifted when its index is above `max` *and* is more than chance gives samples of these sizes, at a
//! false discovery rate of `fdr` over all features. An index above `max` that chance explains is inconclusive.

use stats::multiplicity::benjamini_hochberg;
use stats::psi::{REFERENCE_QUANTILE_10, p_value};

use super::{Judgement, Seen, judge_found, senseless, words};
use crate::evidence::{Arm, Measurement, Text};
use crate::verdict::Verdict;

pub const NAME: &str = "drift";
pub const METHOD: &str = REFERENCE_QUANTILE_10;
/// The features of greatest index whose figures a judgement keeps.
const FEATURES_SHOWN: usize = 5;
/// The fewest rows for each bin for which the law of the index holds.
const ROWS_PER_BIN_MIN: u64 = 5;

/// PSI of each feature against the training baseline, with a bound that knows the sample sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// All when empty.
    pub features: Vec<Text>,
    /// The index that counts as drift, when it is more than chance.
    pub max: f64,
    /// The false discovery rate over features, 0 to 1.
    pub fdr: f64,
}

/// One feature's figures.
struct Feature<'a> {
    name: &'a Text,
    psi: f64,
    rows: u64,
    /// Of an index so great without drift; adjusted for the number of features once all are known.
    p: f64,
}

impl Drift {
    pub fn judge(&self, seen: Seen<'_>) -> Judgement {
        if let Some(found) = judge_found(seen, METHOD, &[]) {
            return found;
        }
        let (mut features, mut too_few): (Vec<Feature<'_>>, Vec<&Text>) = (vec![], vec![]);
        for measured in seen.all(Arm::Candidate).filter(|measured| self.is_asked(measured)) {
            match feature(measured) {
                Ok(Some(feature)) => features.push(feature),
                Ok(None) => too_few.push(&measured.unit),
                Err(why) => return senseless(METHOD, &format!("feature `{}`: {why}", measured.unit)),
            }
        }
        let p_values: Vec<f64> = features.iter().map(|feature| feature.p).collect();
        match benjamini_hochberg(&p_values) {
            Ok(adjusted) => features.iter_mut().zip(adjusted).for_each(|(feature, p)| feature.p = p),
            Err(why) => return senseless(METHOD, &why),
        }
        let seen_so = |name: &Text| features.iter().any(|feature| feature.name == name);
        for name in self.features.iter().filter(|name| !seen_so(name)) {
            if !too_few.contains(&name) {
                too_few.push(name);
            }
        }
        self.concluded(features, &too_few)
    }

    fn concluded(&self, mut features: Vec<Feature<'_>>, too_few: &[&Text]) -> Judgement {
        features
            .sort_by(|left, right| right.psi.total_cmp(&left.psi).then_with(|| left.name.cmp(right.name)));
        let drifted: Vec<&Feature<'_>> =
            features.iter().filter(|feature| self.has_drifted(feature)).collect();
        let Some(greatest) = drifted.first().copied().or(features.first()) else {
            return Judgement::no_data(METHOD, "no feature has enough rows to compare");
        };
        let verdict = if !drifted.is_empty() {
            Verdict::Fail
        } else if !too_few.is_empty() {
            Verdict::NoData
        } else if greatest.psi > self.max {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        };
        let mut terms: Vec<(Text, f64)> = vec![
            ("features".into(), features.len() as f64),
            ("features.drifted".into(), drifted.len() as f64),
            ("fdr".into(), self.fdr),
        ];
        for feature in features.iter().take(FEATURES_SHOWN) {
            terms.push((format!("psi.{}", feature.name).into(), feature.psi));
            terms.push((format!("p.{}", feature.name).into(), feature.p));
        }
        let names = |names: Vec<&Text>| names.iter().map(|name| &***name).collect::<Vec<_>>().join(", ");
        let note = if verdict == Verdict::NoData {
            format!("too few rows to compare: {}", names(too_few.to_vec()))
        } else if drifted.is_empty() {
            greatest.name.to_string()
        } else {
            names(drifted.iter().map(|feature| feature.name).collect())
        };
        Judgement {
            value: Some(greatest.psi),
            bound: Some(self.max),
            n: greatest.rows,
            terms,
            note: Some(note.into()),
            ..Judgement::new(verdict, METHOD)
        }
    }

    fn is_asked(&self, measured: &Measurement) -> bool {
        self.features.is_empty() || self.features.contains(&measured.unit)
    }

    fn has_drifted(&self, feature: &Feature<'_>) -> bool {
        feature.psi > self.max && feature.p <= self.fdr
    }

    pub fn words(&self) -> String {
        let which = if self.features.is_empty() { "no feature".to_owned() } else { self.features.join(", ") };
        let verb = if self.features.is_empty() { "has moved" } else { "did not move" };
        format!(
            "{which} {verb} from the training data by a PSI above {} that chance does not explain",
            words::number(self.max, 4)
        )
    }

    /// The note names the features that the verdict is about.
    pub fn explain(&self, judgement: &Judgement) -> String {
        let names = judgement.note.as_deref().unwrap_or_default();
        let value = words::number(judgement.value.unwrap_or_default(), 4);
        let max = words::number(judgement.bound.unwrap_or(self.max), 4);
        let features = judgement.term("features").unwrap_or_default() as u64;
        let rows = words::count(judgement.n);
        let fdr = words::percent(judgement.term("fdr").unwrap_or(self.fdr));
        match judgement.verdict {
            Verdict::Fail => format!(
                "moved: {names} (of {features} features), with a PSI of up to {value}, above {max} and beyond chance at \
                 a false discovery rate of {fdr} (n = {rows}); up to {max} would have passed"
            ),
            Verdict::Pass => {
                format!("the greatest PSI of {features} features is {value}, of {names}; up to {max} passes")
            }
            Verdict::Inconclusive => format!(
                "{names} has a PSI of {value}, above {max}, which chance explains with as few as {rows} rows; more rows \
                 would tell"
            ),
            Verdict::NoData => format!("{names}; the greatest PSI of the other {features} is {value}"),
        }
    }
}

/// The figures of a feature; nothing when it has too few rows.
fn feature(measured: &Measurement) -> Result<Option<Feature<'_>>, String> {
    let value = |name| measured.value(name).ok_or_else(|| format!("the value `{name}` is missing"));
    let count = |name| {
        let value: f64 = value(name)?;
        let whole = value.fract().abs() <= 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
        if whole { Ok(value as u64) } else { Err(format!("`{name}` is {value}, not a count")) }
    };
    let (psi, baseline, rows, bins) = (value("psi")?, count("n")?, count("m")?, count("bins")?);
    if !(psi >= 0.0 && psi.is_finite()) {
        return Err(format!("`psi` is {psi}, not a finite number from 0 on"));
    }
    if baseline.min(rows) < ROWS_PER_BIN_MIN * bins {
        return Ok(None);
    }
    let p = p_value(psi, bins as usize, baseline, rows).map_err(|error| error.to_string())?;
    Ok(Some(Feature { name: &measured.unit, psi, rows, p }))
}
