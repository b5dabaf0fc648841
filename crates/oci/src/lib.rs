//! Blobs in an OCI registry, by the distribution API 1.1: bundles as the manifests they are, so that every OCI tool
//! can pull them by their digests, and all else as blobs that a manifest of our own keeps.
//!
//! ```text
//!  /v2/NAME/manifests/sha256:..        a bundle              names its parts, which are blobs
//!  /v2/NAME/manifests/blob-HEX         keeps one blob that no bundle names (evidence, profiles, signatures)
//!  /v2/NAME/manifests/sha256-HEX       which manifests speak of a bundle: the tag of the referrers' fallback
//!  /v2/NAME/blobs/sha256:..            bytes
//! ```
//!
//! **Invariant:** what a registry gives is returned only when its bytes have the digest that was asked for. A manifest is
//! put after what it names. Only a registry's own words say that something is missing: any other 404 is trouble.
//!
//! It is blocking and holds no rule of delivery. A put whose answer got lost may have landed: its bytes are there whole.

mod address;
mod ask;
mod cached;
mod challenge;
mod error;
mod manifest;
mod referrers;
mod registry;
#[cfg(test)]
mod scripted;

pub use address::{BadRepository, Plain, Repository};
pub use cached::Cached;
pub use challenge::Account;
pub use error::Error;
pub use registry::Registry;
