//! What was measured: sufficient statistics per arm, findings, and blobs by digest. Never a decision.

use std::fmt;
use std::sync::Arc;

use crate::name::{CheckName, Digest};

/// Short text in a fact: a method id, a code, a reason. Shared, so that states clone cheaply.
pub type Text = Arc<str>;

/// Whose answers were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// The release that the run brings.
    Candidate,
    /// The release that serves the target, over the same time and the same kind of traffic.
    Live,
}

impl Arm {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
        }
    }
}

/// Sufficient statistics of one check on one arm. Intervals and verdicts are computed from it in the core.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub check: CheckName,
    /// How it was measured, with its version, such as `error-count/1`.
    pub method: Text,
    pub arm: Arm,
    /// How many observations.
    pub n: u64,
    /// The sum of the observations, in `unit`; for proportions the number of hits.
    pub sum: f64,
    /// The sum of their squares.
    pub sum_sq: f64,
    /// Counts by cell: a confusion table (tp, fp, fn, tn), a histogram.
    pub counts: Vec<u64>,
    /// Named values: `p99_ms`, `p99_lower_ms`, ...
    pub values: Vec<(Text, f64)>,
    pub unit: Text,
    /// The digest of what it was computed from.
    pub inputs: Option<Digest>,
}

impl Measurement {
    /// An empty measurement of `check`, to be filled.
    pub fn new(check: CheckName, method: &str, arm: Arm) -> Self {
        let (method, unit) = (method.into(), "".into());
        Self {
            check,
            method,
            arm,
            n: 0,
            sum: 0.0,
            sum_sq: 0.0,
            counts: vec![],
            values: vec![],
            unit,
            inputs: None,
        }
    }

    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(key, _)| &**key == name).map(|(_, value)| *value)
    }
}

/// Something that is wrong with what was looked at, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: CheckName,
    /// Such as `MODEL_UNREADABLE`.
    pub code: Text,
    /// For people: what was expected, what was found, what to do.
    pub text: Text,
}

impl Finding {
    /// The field of `ModelTrained` to look at and what to do about it, for findings that a publisher can mend.
    pub fn remedy(&self) -> Option<(&'static str, &'static str)> {
        Some(match &*self.code {
            "DIGEST_MISMATCH" => {
                ("artifact.sha256", "publish again with the SHA-256 of the bytes that are there")
            }
            "SIZE_MISMATCH" => ("artifact.size", "publish again with the size of the bytes that are there"),
            "TOO_LARGE" | "MODEL_TOO_LARGE" => {
                ("artifact.uri", "raise `size_max` in the workflow, or make it smaller")
            }
            "MODEL_TOO_COMPLEX" => {
                ("artifact.uri", "export the model as fewer nodes: it stands for more than can be read")
            }
            "URL_REFUSED" => {
                ("artifact.uri", "put the file where `artifacts.roots` or `artifacts.prefixes` lead")
            }
            "MODEL_UNREADABLE" => {
                ("artifact.uri", "export the model again; the bytes are no whole ONNX model")
            }
            "PICKLE_PRESENT" | "PICKLE_UNPARSEABLE" => {
                ("artifact.uri", "export the model as ONNX; pickles run code")
            }
            "FORMAT_NOT_ALLOWED" | "FORMAT_MISMATCH" => {
                ("artifact.format", "export one of the workflow's `formats`")
            }
            "EXTERNAL_DATA" => ("artifact.uri", "export the model with its weights inside"),
            "OPERATOR_UNSUPPORTED" => ("artifact.uri", "export the model as plain operators"),
            "SIGNATURE_MISMATCH" | "SIGNATURE_NEEDED" | "SHAPE_MISMATCH" | "DATATYPE_MISMATCH" => {
                ("signature", "declare the tensors as the model has them")
            }
            "EVALUATION_UNUSABLE" => {
                ("evaluation", "publish a CSV with the model's inputs and the label as columns")
            }
            "SIGNING_KEY_MISSING" => {
                ("sign", "give the package worker a signing key, or do not ask for `sign`")
            }
            _ => return None,
        })
    }
}

/// Bytes in the blob store that belong to the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    pub digest: Digest,
    /// What it is: `bundle`, `review`, `profile`, ...
    pub kind: Text,
    pub size: u64,
}

/// All that one attempt measured. `digest` names the bytes it came as.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub digest: Digest,
    pub measurements: Vec<Measurement>,
    pub findings: Vec<Finding>,
    pub blobs: Vec<BlobRef>,
}

/// The bounds of evidence in an outcome; more belongs into a blob.
pub const MEASUREMENTS_MAX: usize = 64;
pub const MONITOR_MEASUREMENTS_MAX: usize = 512;

/// Whether a fact is as it was in the live release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change {
    Same,
    Changed,
    /// One of the two sides does not say.
    #[default]
    Unknown,
}

impl Change {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }

    /// Compares what both sides say; `Unknown` when one is silent.
    pub fn between<T: PartialEq>(live: Option<&T>, candidate: Option<&T>) -> Self {
        match (live, candidate) {
            (Some(live), Some(candidate)) if live == candidate => Self::Same,
            (Some(_), Some(_)) => Self::Changed,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What differs from the live release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeVector {
    pub model: Change,
    pub code: Change,
    pub data: Change,
    pub features: Change,
    pub config: Change,
    pub runtime: Change,
}

impl ChangeVector {
    /// The parts by name, in the order of the workflow reference.
    pub fn parts(&self) -> [(&'static str, Change); 6] {
        [
            ("model", self.model),
            ("code", self.code),
            ("data", self.data),
            ("features", self.features),
            ("config", self.config),
            ("runtime", self.runtime),
        ]
    }
}
