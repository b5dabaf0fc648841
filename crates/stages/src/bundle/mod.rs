//! Bundles: the immutable package of a model version, as an OCI artifact with the media types of ModelPack.
//!
//! ```text
//! manifest (its digest names the bundle)
//!  ├─ config          format, and the layers again
//!  ├─ weight          the model's own bytes, raw
//!  ├─ weight.config   the signature as found
//!  └─ doc             what training said: lineage, hyperparameters, claims
//!      ^
//!      └─ DSSE envelope, a referrer of the manifest
//! ```
//!
//! **Invariant:** the same model and the same lineage give the same bytes. Nothing in a bundle says when, where or
//! by whom it was packed, or where its files came from.

mod lineage;
mod manifest;
mod sign;

use domain::model::{Signature, Trained};
use domain::name::Digest;
use engine::port::blobs::{self, Blobs};

pub use lineage::Lineage;
pub use manifest::{Descriptor, Manifest};
pub use sign::{KeyError, PublicKey, Signer, verify_bundle};

use crate::canonical;
use crate::port::Referrers;
use crate::trouble::Trouble;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("failed to read a part of the bundle")]
    Blobs(#[from] blobs::Error),
    #[error("expected {what} of digest {expected}, but its bytes have {found}")]
    DigestMismatch { what: &'static str, expected: Digest, found: Digest },
    #[error("expected {what} of {expected} bytes, but it has {found}")]
    SizeMismatch { what: &'static str, expected: u64, found: u64 },
    #[error("expected a manifest of a model, but {0}")]
    NotABundle(String),
    #[error("expected a signature by a trusted key, but {0}")]
    Unsigned(String),
}

impl BundleError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blobs(blobs::Error::Missing(_)) => "BLOB_MISSING",
            Self::Blobs(blobs::Error::Corrupt(_)) => "BLOB_CORRUPT",
            Self::Blobs(blobs::Error::Io(_)) => "BLOBS_UNREACHABLE",
            Self::DigestMismatch { .. } => "DIGEST_MISMATCH",
            Self::SizeMismatch { .. } => "SIZE_MISMATCH",
            Self::NotABundle(_) => "BUNDLE_UNREADABLE",
            Self::Unsigned(_) => "SIGNATURE_INVALID",
        }
    }

    /// Whether another try may find it better: the way to the bytes is at fault, not the bytes.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Blobs(blobs::Error::Io(_)))
    }
}

/// A bundle, read and checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub manifest: Manifest,
    /// The model's own bytes.
    pub model: Vec<u8>,
    pub signature: Signature,
    pub lineage: Lineage,
}

/// The parts of a bundle that is not stored yet.
#[derive(Debug)]
pub struct Draft {
    pub manifest: Vec<u8>,
    pub digest: Digest,
    config: Vec<u8>,
    signature: Vec<u8>,
    lineage: Vec<u8>,
}

impl Draft {
    /// Lays out a bundle. Pure: nothing is stored.
    pub fn new(trained: &Trained, format: &str, signature: &Signature, model: &[u8]) -> Self {
        let signature = canonical::bytes(&lineage::signature_to_json(signature));
        let lineage = canonical::bytes(&lineage::to_json(trained));
        let layers = manifest::layers(format, model, &signature, &lineage);
        let config = canonical::bytes(&manifest::config(trained, format, &layers));
        let manifest = canonical::bytes(&manifest::manifest(&config, &layers));
        Self { digest: Digest::of(&manifest), manifest, config, signature, lineage }
    }

    /// Stores all parts, the manifest last, so that a manifest never names what is not there.
    pub fn store(&self, blobs: &dyn Blobs, model: &[u8]) -> Result<Digest, blobs::Error> {
        for part in [model, &self.signature, &self.lineage, &self.config] {
            blobs.put_part(part)?;
        }
        blobs.put(&self.manifest)
    }

    /// Bytes of all parts together.
    pub fn size(&self, model: &[u8]) -> u64 {
        let parts = [model, &self.signature, &self.lineage, &self.config, &self.manifest];
        parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// Reads a bundle and checks every digest and size on the way.
pub fn read_bundle(blobs: &dyn Blobs, bundle: Digest) -> Result<Bundle, BundleError> {
    let manifest = Manifest::parse(&checked(blobs, "the manifest", bundle, None)?)?;
    let layer = |what, layer: &Descriptor| checked(blobs, what, layer.digest, Some(layer.size));
    layer("the config", &manifest.config)?;
    let model = layer("the model", &manifest.weight)?;
    let signature = lineage::signature_from_json(&layer("the signature", &manifest.signature)?)?;
    let lineage = Lineage::parse(&layer("the lineage", &manifest.lineage)?)?;
    Ok(Bundle { manifest, model, signature, lineage })
}

/// Reads what training said of a bundle, without its model.
pub fn read_lineage(blobs: &dyn Blobs, bundle: Digest) -> Result<(Manifest, Lineage), BundleError> {
    let manifest = Manifest::parse(&checked(blobs, "the manifest", bundle, None)?)?;
    let layer = &manifest.lineage;
    let lineage = Lineage::parse(&checked(blobs, "the lineage", layer.digest, Some(layer.size))?)?;
    Ok((manifest, lineage))
}

/// Reads a bundle for use: by a trusted key, when keys are given.
pub fn read_trusted(
    blobs: &dyn Blobs,
    referrers: &dyn Referrers,
    bundle: Digest,
    trusted: &[PublicKey],
) -> Result<Bundle, Trouble> {
    let broken = |source: BundleError| Trouble::Bundle { bundle, source: Box::new(source) };
    if !trusted.is_empty() {
        let known = referrers.of(bundle).map_err(|source| Trouble::Referrers { subject: bundle, source })?;
        sign::verify_any(blobs, bundle, &known, trusted).map_err(broken)?;
    }
    read_bundle(blobs, bundle).map_err(broken)
}

/// Verifies that `key` signed this bundle in an envelope that is at hand.
pub(crate) fn verify_envelope(envelope: &[u8], bundle: Digest, key: &PublicKey) -> Result<(), BundleError> {
    sign::verify(envelope, bundle, key).map_err(BundleError::Unsigned)
}

/// Reads the signature as it stands in a bundle.
pub(crate) fn parse_signature(bytes: &[u8]) -> Result<Signature, BundleError> {
    lineage::signature_from_json(bytes)
}

fn checked(
    blobs: &dyn Blobs,
    what: &'static str,
    digest: Digest,
    size: Option<u64>,
) -> Result<Vec<u8>, BundleError> {
    let bytes = blobs.get(digest)?;
    let found = bytes.len() as u64;
    if let Some(expected) = size.filter(|expected| *expected != found) {
        return Err(BundleError::SizeMismatch { what, expected, found });
    }
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(BundleError::DigestMismatch { what, expected: digest, found });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
