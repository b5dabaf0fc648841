//! What training said, as it stands in a bundle: `trained.json`, and the signature: `signature.json`.
//!
//! Places (where the artifact and the test files were fetched from) and the trigger's identity stay out: the same
//! model from another place is the same bundle.

use domain::model::{Claim, Signature, Tensor, TestFile, Trained, TrainingSet};
use serde::Deserialize;
use serde_json::{Value, json};

use super::BundleError;

pub(super) fn to_json(trained: &Trained) -> Value {
    let lineage = &trained.lineage;
    let mut hyperparameters: Vec<_> = lineage.hyperparameters.iter().map(|(n, v)| [&**n, &**v]).collect();
    hyperparameters.sort_unstable();
    let mut claims: Vec<&Claim> = trained.claims.iter().collect();
    claims.sort_by(|a, b| (&a.name, &a.dataset, &a.slice).cmp(&(&b.name, &b.dataset, &b.slice)));
    let file = |file: &Option<TestFile>| {
        file.as_ref().map(|file| json!({ "sha256": file.sha256.hex(), "label": file.label.as_deref() }))
    };
    json!({
        "model": trained.model.as_str(),
        "version": trained.version.as_str(),
        "artifact": trained.artifact.sha256.hex(),
        "run": {
            "system": lineage.run_system.as_deref(),
            "id": lineage.run_id.as_deref(),
            "url": lineage.run_url.as_deref(),
        },
        "code": {
            "repo": lineage.code_repo.as_deref(),
            "commit": lineage.code_commit.as_deref(),
            "dirty": lineage.code_dirty,
        },
        "data": lineage.training_sets.iter().map(set_to_json).collect::<Vec<_>>(),
        "features": {
            "view": lineage.features_view.as_deref(),
            "schema_version": lineage.features_schema_version.as_deref(),
        },
        "hyperparameters": hyperparameters,
        "environment": {
            "lock_sha256": lineage.environment_lock.as_deref(),
            "image_digest": lineage.environment_image.as_deref(),
        },
        "claims": claims.iter().map(|claim| json!({
            "name": &*claim.name,
            "value": claim.value,
            "n": claim.n,
            "slice": claim.slice.as_deref(),
            "dataset": claim.dataset.as_deref(),
        })).collect::<Vec<_>>(),
        "evaluation": file(&trained.evaluation),
        "baseline": file(&trained.baseline),
        "risk_tier": trained.risk_tier.as_deref(),
        "owner": trained.owner.as_ref().map(domain::name::Subject::as_str),
    })
}

fn set_to_json(set: &TrainingSet) -> Value {
    json!({
        "uri": &*set.uri,
        "version": set.version.as_deref(),
        "sha256": set.sha256.map(|digest| digest.hex()),
        "rows": set.rows,
    })
}

/// What two bundles are compared by. Read from `trained.json`, of which unknown parts are passed over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Lineage {
    pub model: String,
    pub version: String,
    /// The model's own SHA-256, in hexadecimal.
    pub artifact: String,
    pub code: Code,
    pub data: Vec<Set>,
    pub features: Features,
    /// Name and value, sorted by name.
    pub hyperparameters: Vec<(String, String)>,
    pub environment: TrainingEnvironment,
    pub claims: Vec<Claimed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Code {
    pub repo: Option<String>,
    pub commit: Option<String>,
    pub dirty: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Set {
    pub uri: String,
    pub version: Option<String>,
    pub sha256: Option<String>,
    pub rows: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Features {
    pub view: Option<String>,
    pub schema_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TrainingEnvironment {
    pub lock_sha256: Option<String>,
    pub image_digest: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claimed {
    pub name: String,
    pub value: f64,
    pub n: Option<u64>,
    pub slice: Option<String>,
    pub dataset: Option<String>,
}

impl Lineage {
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        serde_json::from_slice(bytes)
            .map_err(|error| BundleError::NotABundle(format!("its lineage is unreadable: {error}")))
    }

    /// What a bundle of `trained` would say.
    pub fn of(trained: &Trained) -> Self {
        serde_json::from_value(to_json(trained)).expect("what is written here is what is read here")
    }
}

pub(super) fn signature_to_json(signature: &Signature) -> Value {
    let tensors = |tensors: &[Tensor]| {
        let tensor = |it: &Tensor| json!({ "name": &*it.name, "datatype": &*it.datatype, "shape": it.shape });
        tensors.iter().map(tensor).collect::<Vec<_>>()
    };
    json!({ "inputs": tensors(&signature.inputs), "outputs": tensors(&signature.outputs) })
}

#[derive(Deserialize)]
struct RawSignature {
    inputs: Vec<RawTensor>,
    outputs: Vec<RawTensor>,
}

#[derive(Deserialize)]
struct RawTensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

pub(super) fn signature_from_json(bytes: &[u8]) -> Result<Signature, BundleError> {
    let raw: RawSignature = serde_json::from_slice(bytes)
        .map_err(|error| BundleError::NotABundle(format!("its signature is unreadable: {error}")))?;
    let tensors = |raw: Vec<RawTensor>| {
        let tensor =
            |it: RawTensor| Tensor { name: it.name.into(), datatype: it.datatype.into(), shape: it.shape };
        raw.into_iter().map(tensor).collect()
    };
    Ok(Signature { inputs: tensors(raw.inputs), outputs: tensors(raw.outputs) })
}
