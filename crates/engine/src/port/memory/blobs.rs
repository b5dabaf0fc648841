//! Blobs in a map.

use std::collections::BTreeMap;
use std::sync::Mutex;

use domain::name::Digest;

use crate::port::blobs;

#[derive(Debug, Default)]
pub struct Blobs(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl blobs::Blobs for Blobs {
    fn put(&self, bytes: &[u8]) -> Result<Digest, blobs::Error> {
        let digest = Digest::of(bytes);
        self.0.lock().expect("no panic while blobs are held").insert(digest, bytes.to_vec());
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Vec<u8>, blobs::Error> {
        let blobs = self.0.lock().expect("no panic while blobs are held");
        blobs.get(&digest).cloned().ok_or(blobs::Error::Missing(digest))
    }

    fn contains(&self, digest: Digest) -> Result<bool, blobs::Error> {
        Ok(self.0.lock().expect("no panic while blobs are held").contains_key(&digest))
    }
}
