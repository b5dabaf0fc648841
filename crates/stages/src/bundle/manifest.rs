//! The manifest and the config blob, written and read.

use domain::model::Trained;
use domain::name::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::BundleError;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.cncf.model.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
const WEIGHT: &str = "application/vnd.cncf.model.weight.v1.raw";
const WEIGHT_CONFIG: &str = "application/vnd.cncf.model.weight.config.v1.raw";
const DOC: &str = "application/vnd.cncf.model.doc.v1.raw";
const FILE_PATH: &str = "org.cncf.model.filepath";
const SIGNATURE_PATH: &str = "signature.json";
const LINEAGE_PATH: &str = "trained.json";
/// Manifests are small; a larger one is none of ours.
const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// One part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    /// The path that it has in the bundle; empty for the config.
    pub path: String,
}

/// A manifest, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub config: Descriptor,
    pub weight: Descriptor,
    pub signature: Descriptor,
    pub lineage: Descriptor,
}

impl Descriptor {
    fn new(media_type: &str, path: &str, bytes: &[u8]) -> Self {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        Self { media_type: media_type.to_owned(), digest, size, path: path.to_owned() }
    }

    fn to_json(&self) -> Value {
        let mut value = json!({
            "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.size,
        });
        if !self.path.is_empty() {
            value["annotations"] = json!({ FILE_PATH: self.path });
        }
        value
    }
}

/// The layers of a bundle in their order.
pub(super) fn layers(format: &str, model: &[u8], signature: &[u8], lineage: &[u8]) -> [Descriptor; 3] {
    [
        Descriptor::new(WEIGHT, &format!("model.{format}"), model),
        Descriptor::new(WEIGHT_CONFIG, SIGNATURE_PATH, signature),
        Descriptor::new(DOC, LINEAGE_PATH, lineage),
    ]
}

pub(super) fn config(trained: &Trained, format: &str, layers: &[Descriptor]) -> Value {
    let digests: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
    json!({
        "descriptor": { "name": trained.model.as_str(), "version": trained.version.as_str() },
        "modelfs": { "type": "layers", "diffIds": digests },
        "config": { "format": format },
    })
}

pub(super) fn manifest(config: &[u8], layers: &[Descriptor]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": Descriptor::new(CONFIG, "", config).to_json(),
        "layers": layers.iter().map(Descriptor::to_json).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl RawDescriptor {
    fn read(self) -> Result<Descriptor, BundleError> {
        let digest = Digest::parse(&self.digest).map_err(|bad| BundleError::NotABundle(bad.to_string()))?;
        let path = self.annotations.get(FILE_PATH).cloned().unwrap_or_default();
        Ok(Descriptor { media_type: self.media_type, digest, size: self.size, path })
    }
}

impl Manifest {
    /// Reads a manifest that this crate wrote, or one of the same shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let not = |what: &str| BundleError::NotABundle(what.to_owned());
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(not("it is too large"));
        }
        let raw: RawManifest = serde_json::from_slice(bytes).map_err(|error| not(&error.to_string()))?;
        if raw.schema_version != 2 || raw.media_type != MANIFEST || raw.artifact_type != ARTIFACT {
            return Err(not("it is of another type"));
        }
        let config = raw.config.read()?;
        let layers = raw.layers.into_iter().map(RawDescriptor::read).collect::<Result<Vec<_>, _>>()?;
        let only = |media_type: &str, path: Option<&str>| {
            let fits = |layer: &&Descriptor| {
                layer.media_type == media_type && path.is_none_or(|path| layer.path == path)
            };
            let mut found = layers.iter().filter(fits);
            match (found.next(), found.next()) {
                (Some(layer), None) => Ok(layer.clone()),
                _ => Err(BundleError::NotABundle(format!("it has not exactly one layer `{media_type}`"))),
            }
        };
        Ok(Self {
            config,
            weight: only(WEIGHT, None)?,
            signature: only(WEIGHT_CONFIG, Some(SIGNATURE_PATH))?,
            lineage: only(DOC, Some(LINEAGE_PATH))?,
        })
    }
}
