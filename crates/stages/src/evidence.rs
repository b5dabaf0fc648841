//! Evidence as a worker gathers it, and the bytes that its digest names.

use domain::evidence::{BlobRef, Evidence, Finding, Measurement};
use domain::name::{CheckName, Digest};
use engine::port::blobs::Blobs;
use serde_json::{Value, json};

use crate::canonical;
use crate::trouble::Trouble;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub measurements: Vec<Measurement>,
    pub findings: Vec<Finding>,
    pub blobs: Vec<BlobRef>,
}

impl Gathered {
    /// Stores the evidence as a blob and names it by its digest. At most `measurements_max` are kept.
    pub(crate) fn seal(mut self, blobs: &dyn Blobs, measurements_max: usize) -> Result<Evidence, Trouble> {
        if self.measurements.len() > measurements_max {
            let text =
                format!("{} measurements were made, {measurements_max} are kept", self.measurements.len());
            let check = self.measurements[measurements_max].check.clone();
            self.measurements.truncate(measurements_max);
            self.findings.push(finding(&check, "TOO_MANY_MEASUREMENTS", text));
        }
        let digest = blobs.put(&canonical::bytes(&self.to_json()))?;
        let Self { measurements, findings, blobs } = self;
        Ok(Evidence { digest, measurements, findings, blobs })
    }

    fn to_json(&self) -> Value {
        json!({
            "measurements": self.measurements.iter().map(measurement_to_json).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(|finding| json!({
                "check": finding.check.as_str(), "code": &*finding.code, "text": &*finding.text,
            })).collect::<Vec<_>>(),
            "blobs": self.blobs.iter().map(|blob| json!({
                "digest": blob.digest.to_string(), "kind": &*blob.kind, "size": blob.size,
            })).collect::<Vec<_>>(),
        })
    }
}

fn measurement_to_json(measurement: &Measurement) -> Value {
    let values: Vec<Value> = measurement.values.iter().map(|(name, value)| json!([&**name, value])).collect();
    json!({
        "check": measurement.check.as_str(),
        "method": &*measurement.method,
        "arm": measurement.arm.as_str(),
        "n": measurement.n,
        "sum": measurement.sum,
        "sum_sq": measurement.sum_sq,
        "counts": measurement.counts,
        "values": values,
        "unit": &*measurement.unit,
        "inputs": measurement.inputs.map(|digest: Digest| digest.to_string()),
    })
}

pub(crate) fn finding(check: &CheckName, code: &str, text: impl AsRef<str>) -> Finding {
    Finding { check: check.clone(), code: code.into(), text: text.as_ref().into() }
}

pub(crate) fn blob(digest: Digest, kind: &str, size: usize) -> BlobRef {
    BlobRef { digest, kind: kind.into(), size: size as u64 }
}

/// Adds a named value; one that is no number is left out.
pub(crate) fn set(measurement: &mut Measurement, name: &str, value: f64) {
    if value.is_finite() {
        measurement.values.push((name.into(), value));
    }
}

/// The name of a check that is written in this crate.
pub(crate) fn check_name(name: &'static str) -> CheckName {
    CheckName::parse(name).expect("names written here are plain")
}
