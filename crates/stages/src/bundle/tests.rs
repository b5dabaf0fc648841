//! Bundles: reproducible, verified, signed.

use std::sync::Arc;

use domain::name::Digest;
use engine::port::blobs::{self, Blobs};
use engine::port::memory;
use serde_json::Value;

use super::*;
use crate::testing::trained;

fn model(version: &str) -> Vec<u8> {
    std::fs::read(crate::testing::flights().join(format!("models/{version}.onnx"))).unwrap()
}

fn draft(trained: &Trained, version: &str) -> Draft {
    Draft::new(trained, "onnx", &trained.signature, &model(version))
}

#[test]
fn packing_twice_gives_one_digest() {
    let one = trained("v2");
    let mut other = one.clone();
    other.lineage.hyperparameters.reverse();
    other.claims.reverse();
    // The same model from another place, by another event.
    other.artifact.uri = "https://models.example/v2.onnx".into();
    other.evaluation.as_mut().unwrap().uri = "https://models.example/v2.csv".into();
    other.source = "/elsewhere".into();
    other.id = "2".into();
    assert_eq!(draft(&one, "v2").manifest, draft(&other, "v2").manifest);
}

#[test]
fn whatever_matters_changes_the_digest() {
    let base = draft(&trained("v2"), "v2").digest;
    let mut parameters = trained("v2");
    parameters.lineage.hyperparameters[0].1 = "other".into();
    let mut claims = trained("v2");
    claims.claims[0].value += 0.1;
    let mut signature = trained("v2");
    signature.signature.inputs[0].shape[1] = 17;
    for (changed, model) in [(parameters, "v2"), (claims, "v2"), (signature, "v2"), (trained("v2"), "v3")] {
        assert_ne!(draft(&changed, model).digest, base);
    }
}

#[test]
fn a_manifest_is_one_of_oci_with_the_types_of_modelpack() {
    let draft = draft(&trained("v1"), "v1");
    let manifest: Value = serde_json::from_slice(&draft.manifest).unwrap();
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["artifactType"], "application/vnd.cncf.model.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.cncf.model.config.v1+json");
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.cncf.model.weight.v1.raw");
    assert_eq!(layer["digest"], trained("v1").artifact.sha256.to_string());
    assert_eq!(layer["size"], 838);
    assert_eq!(layer["annotations"]["org.cncf.model.filepath"], "model.onnx");
    let text = String::from_utf8(draft.manifest.clone()).unwrap();
    assert!(text.starts_with(r#"{"artifactType":"#) && !text.contains(' '), "canonical: {text}");
}

#[test]
fn a_stored_bundle_is_read_back_whole() {
    let (blobs, trained) = (memory::Blobs::default(), trained("v1"));
    let draft = draft(&trained, "v1");
    let digest = draft.store(&blobs, &model("v1")).unwrap();
    assert_eq!(digest, draft.digest);
    let bundle = read_bundle(&blobs, digest).unwrap();
    assert_eq!(bundle.model, model("v1"));
    assert_eq!(bundle.signature, trained.signature);
    assert_eq!(bundle.lineage, Lineage::of(&trained));
    assert_eq!(bundle.lineage.artifact, trained.artifact.sha256.hex());
}

/// A store that gives other bytes for one digest.
#[derive(Debug)]
struct Tampered(memory::Blobs, Digest, Vec<u8>);

impl Blobs for Tampered {
    fn put(&self, bytes: &[u8]) -> Result<Digest, blobs::Error> {
        self.0.put(bytes)
    }
    fn get(&self, digest: Digest) -> Result<Vec<u8>, blobs::Error> {
        if digest == self.1 { Ok(self.2.clone()) } else { self.0.get(digest) }
    }
    fn contains(&self, digest: Digest) -> Result<bool, blobs::Error> {
        self.0.contains(digest)
    }
}

#[test]
fn a_part_with_other_bytes_is_never_used() {
    let trained = trained("v1");
    let draft = draft(&trained, "v1");
    let manifest = Manifest::parse(&draft.manifest).unwrap();
    let mut flipped = model("v1");
    flipped[100] ^= 1;
    for (part, bytes, code) in [
        (manifest.weight.digest, flipped, "DIGEST_MISMATCH"),
        (manifest.weight.digest, b"short".to_vec(), "SIZE_MISMATCH"),
        (draft.digest, b"{}".to_vec(), "DIGEST_MISMATCH"),
    ] {
        let blobs = Tampered(memory::Blobs::default(), part, bytes);
        draft.store(&blobs, &model("v1")).unwrap();
        assert_eq!(read_bundle(&blobs, draft.digest).unwrap_err().code(), code);
    }
    let empty = memory::Blobs::default();
    assert_eq!(read_bundle(&empty, draft.digest).unwrap_err().code(), "BLOB_MISSING");
    let mut twice: Value = serde_json::from_slice(&draft.manifest).unwrap();
    let again = twice["layers"][0].clone();
    twice["layers"].as_array_mut().unwrap().push(again);
    let twice = twice.to_string();
    for not_one in [&b"{}"[..], b"", b"[]", br#"{"schemaVersion":2}"#, twice.as_bytes()] {
        let digest = empty.put(not_one).unwrap();
        assert_eq!(read_bundle(&empty, digest).unwrap_err().code(), "BUNDLE_UNREADABLE");
    }
}

#[test]
fn a_signature_holds_for_its_bundle_and_key_only() {
    let (blobs, trained) = (memory::Blobs::default(), trained("v1"));
    let (signer, other) = (Signer::from_secret(&[7; 32]), Signer::from_secret(&[8; 32]));
    let digest = draft(&trained, "v1").digest;
    let envelope = signer.sign(digest, &trained);
    assert_eq!(envelope, signer.sign(digest, &trained), "signing again changes nothing");
    let stored = blobs.put(&envelope).unwrap();
    verify_bundle(&blobs, digest, stored, &signer.public_key()).unwrap();
    let refused = |envelope: &[u8], bundle: Digest, key: &PublicKey| {
        let stored = blobs.put(envelope).unwrap();
        let error = verify_bundle(&blobs, bundle, stored, key).unwrap_err();
        assert_eq!(error.code(), "SIGNATURE_INVALID", "{error}");
    };
    refused(&envelope, digest, &other.public_key());
    refused(&envelope, Digest::of(b"another bundle"), &signer.public_key());
    let parsed: Value = serde_json::from_slice(&envelope).unwrap();
    let mut changed = parsed.clone();
    changed["payload"] = other.sign(Digest::of(b"x"), &trained).len().to_string().into();
    refused(changed.to_string().as_bytes(), digest, &signer.public_key());
    let mut retyped = parsed.clone();
    retyped["payloadType"] = "text/plain".into();
    refused(retyped.to_string().as_bytes(), digest, &signer.public_key());
    let mut unsigned = parsed;
    unsigned["signatures"] = serde_json::json!([]);
    refused(unsigned.to_string().as_bytes(), digest, &signer.public_key());
    refused(b"garbage", digest, &signer.public_key());
}

#[test]
fn with_trusted_keys_an_unsigned_bundle_is_not_read() {
    let (blobs, trained) = (memory::Blobs::default(), trained("v1"));
    let referrers = crate::port::memory::Referrers::default();
    let draft = draft(&trained, "v1");
    draft.store(&blobs, &model("v1")).unwrap();
    let signer = Signer::from_secret(&[7; 32]);
    let trusted = [signer.public_key()];
    let code = |answer: Result<Bundle, Trouble>| answer.map(|_| ()).map_err(|trouble| trouble.code());
    assert_eq!(code(read_trusted(&blobs, &referrers, draft.digest, &[])), Ok(()));
    assert_eq!(code(read_trusted(&blobs, &referrers, draft.digest, &trusted)), Err("SIGNATURE_INVALID"));
    let stranger = Signer::from_secret(&[8; 32]).sign(draft.digest, &trained);
    referrers.add(draft.digest, blobs.put(&stranger).unwrap()).unwrap();
    assert_eq!(code(read_trusted(&blobs, &referrers, draft.digest, &trusted)), Err("SIGNATURE_INVALID"));
    let good = signer.sign(draft.digest, &trained);
    referrers.add(draft.digest, blobs.put(&good).unwrap()).unwrap();
    assert_eq!(code(read_trusted(&blobs, &referrers, draft.digest, &trusted)), Ok(()));
}

#[test]
fn referrers_survive_a_restart_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (subject, one, two) = (Digest::of(b"s"), Digest::of(b"1"), Digest::of(b"2"));
    let memory: Arc<dyn Referrers> = Arc::new(crate::port::memory::Referrers::default());
    let kept: Arc<dyn Referrers> = Arc::new(crate::port::FolderReferrers::open(folder.path()).unwrap());
    for referrers in [&memory, &kept] {
        assert_eq!(referrers.of(subject).unwrap(), []);
        for referrer in [two, one, two] {
            referrers.add(subject, referrer).unwrap();
        }
        assert_eq!(referrers.of(subject).unwrap(), [two, one]);
        assert_eq!(referrers.of(one).unwrap(), []);
    }
    let again = crate::port::FolderReferrers::open(folder.path()).unwrap();
    assert_eq!(again.of(subject).unwrap(), [two, one]);
}

#[test]
fn a_key_is_never_shown() {
    let signer = Signer::from_secret(&[7; 32]);
    assert!(format!("{signer:?}").starts_with("Signer(sha256:"));
    assert!(Signer::from_pem("no key").is_err() && PublicKey::from_pem("no key").is_err());
}
