//! Manifests: which bytes are one, and those that we make around a blob or a signature.

use domain::name::Digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What the manifests that keep one blob say they are.
const KEPT: &str = "application/vnd.modelrail.blob.v1";
/// What those say that bring a signature.
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const BYTES: &str = "application/octet-stream";
/// The config of an artifact that has none.
pub(crate) const EMPTY: &[u8] = b"{}";
/// Bytes of a manifest; registries bound them at this too.
pub(crate) const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// What of a manifest or an index is read here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Read {
    schema_version: u32,
    media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) artifact_type: String,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        let (digest, size) = (Digest::of(bytes).to_string(), bytes.len() as u64);
        Self { media_type: media_type.to_owned(), digest, size, artifact_type: String::new() }
    }
}

/// Reads what says of itself that it is of this type.
pub(crate) fn read(bytes: &[u8], media_type: &str) -> Option<Read> {
    if bytes.len() > MANIFEST_BYTES_MAX || bytes.first() != Some(&b'{') {
        return None;
    }
    let read: Read = serde_json::from_slice(bytes).ok()?;
    (read.schema_version == 2 && read.media_type == media_type).then_some(read)
}

/// What keeps a blob that no bundle names.
pub(crate) fn keeping(blob: &[u8]) -> Vec<u8> {
    of_one(KEPT, &Descriptor::of(BYTES, blob), None)
}

/// What brings a signature to a manifest.
pub(crate) fn speaking_of(subject: &Descriptor, envelope: &Descriptor) -> Vec<u8> {
    of_one(ENVELOPE, envelope, Some(subject))
}

fn of_one(artifact_type: &str, layer: &Descriptor, subject: Option<&Descriptor>) -> Vec<u8> {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor::of(EMPTY_TYPE, EMPTY),
        "layers": [layer],
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!(subject);
    }
    manifest.to_string().into_bytes()
}

pub(crate) fn index(manifests: &[Descriptor]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_it_is_a_manifest_is_one() {
        let kept = keeping(b"abc");
        let read_again = read(&kept, MANIFEST).unwrap();
        assert_eq!(read_again.layers[0].digest, Digest::of(b"abc").to_string());
        assert_eq!(kept, keeping(b"abc"), "the same bytes for the same blob");
        assert!(read(&kept, INDEX).is_none());
        let large = format!("{}{}", String::from_utf8(kept).unwrap(), " ".repeat(MANIFEST_BYTES_MAX));
        for none in ["", "{}", "{\"schemaVersion\":2}", "[]", "\u{0}\u{1}", large.as_str()] {
            assert!(read(none.as_bytes(), MANIFEST).is_none());
        }
        assert!(read(&index(&[]), INDEX).unwrap().manifests.is_empty());
    }
}
