//! What training says of a model version: its artifact, its signature, its lineage, its claims.

use crate::evidence::Text;
use crate::name::{Digest, ModelName, RunId, Subject, Version};

/// Where the bytes are and what they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub uri: Text,
    pub sha256: Digest,
    pub size: Option<u64>,
    pub format: Option<Text>,
}

/// One tensor, as the Open Inference Protocol names it. A size of -1 is any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub name: Text,
    /// `FP32`, `INT64`, `BYTES`, ...
    pub datatype: Text,
    pub shape: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// One of the data sets that a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingSet {
    pub uri: Text,
    pub version: Option<Text>,
    pub sha256: Option<Digest>,
    pub rows: Option<u64>,
}

/// Where a model comes from. What is missing is shown as missing, and a gate may demand it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage {
    pub run_system: Option<Text>,
    pub run_id: Option<Text>,
    pub run_url: Option<Text>,
    pub code_repo: Option<Text>,
    pub code_commit: Option<Text>,
    pub code_dirty: Option<bool>,
    pub training_sets: Vec<TrainingSet>,
    pub features_view: Option<Text>,
    pub features_schema_version: Option<Text>,
    /// Name and value as text, sorted by name.
    pub hyperparameters: Vec<(Text, Text)>,
    pub environment_lock: Option<Text>,
    pub environment_image: Option<Text>,
}

/// A metric as training claims it. Never taken for measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub name: Text,
    pub value: f64,
    pub n: Option<u64>,
    pub slice: Option<Text>,
    pub dataset: Option<Text>,
}

/// A file to test with: the evaluation data (with its label column) or the profile of the training data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFile {
    pub uri: Text,
    pub sha256: Digest,
    pub label: Option<Text>,
}

/// All that `ModelTrained` says of a model version.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// CloudEvents `source` and `id`: the identity of the trigger.
    pub source: Text,
    pub id: Text,
    pub model: ModelName,
    pub version: Version,
    pub artifact: Artifact,
    pub signature: Signature,
    pub lineage: Lineage,
    pub claims: Vec<Claim>,
    pub evaluation: Option<TestFile>,
    pub baseline: Option<TestFile>,
    pub risk_tier: Option<Text>,
    /// Who answers for the model, and who published the event: neither may approve where four eyes are asked.
    pub owner: Option<Subject>,
    pub publisher: Option<Subject>,
    /// W3C trace context of the publisher.
    pub traceparent: Option<Text>,
}

/// A bundle that can serve: the immutable package of a model version, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    pub version: Version,
    /// The digest of the bundle's manifest.
    pub bundle: Digest,
    /// The run that brought it; none when it was adopted.
    pub run: Option<RunId>,
}
