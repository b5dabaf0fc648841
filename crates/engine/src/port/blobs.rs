//! Bytes named by their digest: bundles, evidence, profiles. Never in the log.
//!
//! Contract:
//! 1. After `put` returned, the bytes are durable, and `get` of the returned digest gives exactly them.
//! 2. Putting the same bytes again changes nothing and gives the same digest.
//! 3. `get` verifies the digest: bytes that no longer match are `Corrupt`, never returned.
//! 4. A digest that was never put, or was swept, is `Missing`: evidence expired, never a guess.
//! 5. A `put` that fails leaves nothing behind that `get` would return, but all of the bytes where only the answer of
//!    a store on another machine got lost.
//! 6. `put_part` is `put` for what a manifest names that is put next: until then a store that collects what nobody
//!    names may lose it.

use domain::name::Digest;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("blob {0} is missing")]
    Missing(Digest),
    #[error("blob {0} does not have the bytes its name says")]
    Corrupt(Digest),
    #[error("failed to reach the blob store")]
    Io(#[from] std::io::Error),
}

pub trait Blobs: Send + Sync + std::fmt::Debug {
    fn put(&self, bytes: &[u8]) -> Result<Digest, Error>;
    fn put_part(&self, bytes: &[u8]) -> Result<Digest, Error> {
        self.put(bytes)
    }
    fn get(&self, digest: Digest) -> Result<Vec<u8>, Error>;
    fn contains(&self, digest: Digest) -> Result<bool, Error>;
}
