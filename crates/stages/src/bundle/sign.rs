//! Signatures of bundles: an in-toto statement over the manifest's digest, in a DSSE envelope, by Ed25519.
//!
//! **Invariant:** the same bundle and key give the same envelope (Ed25519 draws nothing at random and the statement
//! has no time), so signing again changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::model::Trained;
use domain::name::Digest;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use engine::port::blobs::Blobs;
use serde::Deserialize;
use serde_json::json;

use super::{BundleError, checked};
use crate::canonical;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE: &str = "urn:modelrail:package:1";
const BUILDER: &str = "urn:modelrail:worker:package";
/// Referrers of one bundle that are looked at.
const ENVELOPES_MAX: usize = 16;

/// Why some text is no key.
#[derive(Debug, thiserror::Error)]
#[error("expected an Ed25519 key in {form}")]
pub struct KeyError {
    form: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A key that signs. Its secret is never shown.
#[derive(Clone)]
pub struct Signer(SigningKey);

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public_key().fingerprint())
    }
}

impl Signer {
    /// The key of a 32-byte secret.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// Reads PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let read = SigningKey::from_pkcs8_pem(pem);
        read.map(Self).map_err(|source| KeyError { form: "PKCS#8 PEM", source: Box::new(source) })
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The envelope that says: this bundle was packed of this artifact.
    pub fn sign(&self, bundle: Digest, trained: &Trained) -> Vec<u8> {
        let statement = canonical::bytes(&json!({
            "_type": STATEMENT,
            "subject": [{
                "name": format!("{}@{}", trained.model, trained.version),
                "digest": { "sha256": bundle.hex() },
            }],
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "model": trained.model.as_str(), "version": trained.version.as_str(),
                    },
                    "resolvedDependencies": [
                        { "name": "artifact", "digest": { "sha256": trained.artifact.sha256.hex() } },
                    ],
                },
                "runDetails": { "builder": { "id": BUILDER } },
            },
        }));
        let signature = self.0.sign(&pre_authentication(&statement));
        canonical::bytes(&json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": BASE64.encode(&statement),
            "signatures": [{
                "keyid": self.public_key().fingerprint(),
                "sig": BASE64.encode(signature.to_bytes()),
            }],
        }))
    }
}

impl PublicKey {
    /// Reads SPKI PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let read = VerifyingKey::from_public_key_pem(pem);
        read.map(Self).map_err(|source| KeyError { form: "SPKI PEM", source: Box::new(source) })
    }

    /// SHA-256 of the 32 bytes of the key.
    pub fn fingerprint(&self) -> String {
        Digest::of(self.0.as_bytes()).to_string()
    }
}

/// What DSSE signs: the type and the payload, each with its length, so that neither can be taken for the other.
fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: std::collections::BTreeMap<String, String>,
}

/// Verifies that `key` signed this bundle in the envelope of that digest.
pub fn verify_bundle(
    blobs: &dyn Blobs,
    bundle: Digest,
    envelope: Digest,
    key: &PublicKey,
) -> Result<(), BundleError> {
    verify(&checked(blobs, "the signature", envelope, None)?, bundle, key).map_err(BundleError::Unsigned)
}

/// Verifies that one of `trusted` signed this bundle in one of the envelopes.
pub(super) fn verify_any(
    blobs: &dyn Blobs,
    bundle: Digest,
    envelopes: &[Digest],
    trusted: &[PublicKey],
) -> Result<(), BundleError> {
    let mut why = BundleError::Unsigned("it has none".to_owned());
    for envelope in envelopes.iter().take(ENVELOPES_MAX) {
        for key in trusted {
            match verify_bundle(blobs, bundle, *envelope, key) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
    }
    Err(why)
}

/// Verifies that `key` signed this bundle in this envelope.
pub(super) fn verify(envelope: &[u8], bundle: Digest, key: &PublicKey) -> Result<(), String> {
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|_| "it is no envelope")?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(format!("it signs a `{}`", envelope.payload_type));
    }
    let payload = BASE64.decode(&envelope.payload).map_err(|_| "its payload is no base64")?;
    let signed = pre_authentication(&payload);
    let fingerprint = key.fingerprint();
    let good =
        envelope.signatures.iter().filter(|it| it.keyid.is_empty() || it.keyid == fingerprint).any(|it| {
            let bytes = BASE64.decode(&it.sig).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
            // Strict: one message has one signature, and weak keys have none.
            bytes.is_some_and(|bytes| key.0.verify_strict(&signed, &Signature::from_bytes(&bytes)).is_ok())
        });
    if !good {
        return Err(format!("none by key {fingerprint} fits"));
    }
    // Only what is signed is read.
    let statement: Statement = serde_json::from_slice(&payload).map_err(|_| "it signs no statement")?;
    if statement.kind != STATEMENT || statement.predicate_type != PROVENANCE {
        return Err("it signs a statement of another type".to_owned());
    }
    let hex = bundle.hex();
    if !statement.subject.iter().any(|subject| subject.digest.get("sha256") == Some(&hex)) {
        return Err("it signs another bundle".to_owned());
    }
    Ok(())
}
