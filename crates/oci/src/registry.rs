//! Blobs in a repository of a registry.
//!
//! A manifest is put as one. Anything else is put as a blob and then kept by a manifest of its own with the tag
//! `blob-HEX`, since a registry collects what no manifest names; but for the parts of a manifest that is put next.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::name::Digest;
use engine::port::blobs::{self, Blobs};
use reqwest::{Method, Url};

use crate::address::Repository;
use crate::ask::{Ask, Calls};
use crate::challenge::Account;
use crate::error::Error;
use crate::manifest::{EMPTY, INDEX, MANIFEST, MANIFEST_BYTES_MAX, keeping, read};

/// Bytes of one request of an upload: what proxies in front of registries let pass, and what a minute suffices for.
const PIECE_BYTES_MAX: usize = 8 << 20;
/// Bytes of one blob that are taken from a registry.
const BLOB_BYTES_MAX: u64 = 8 << 30;

/// A blob store in a repository of a registry.
#[derive(Debug)]
pub struct Registry {
    pub(crate) calls: Calls,
    /// Whether the registry has the config of our own manifests, as far as this process knows.
    has_empty: AtomicBool,
}

impl Registry {
    /// Calls nobody yet.
    pub fn new(repository: Repository, account: Option<Account>) -> Self {
        Self { calls: Calls::new(repository, account), has_empty: AtomicBool::new(false) }
    }

    /// Whether the registry answers and we may write: begins an upload and withdraws it.
    pub fn check(&self) -> Result<(), Error> {
        let upload = self.begin()?;
        self.withdraw(upload)
    }

    fn blob(&self, digest: Digest) -> Url {
        self.calls.repository().at(&format!("blobs/{digest}"))
    }

    /// By digest or tag.
    pub(crate) fn manifest(&self, reference: &str) -> Url {
        self.calls.repository().at(&format!("manifests/{reference}"))
    }

    /// Whether it is there.
    fn has(&self, what: &'static str, url: Url) -> Result<bool, Error> {
        let ask = Ask::new(what, Method::HEAD, url).header("accept", format!("{MANIFEST}, {INDEX}"));
        // An answer to HEAD has no words, so that any 404 is taken for one: at worst something is put again.
        Ok(self.calls.expect(&ask, &[200, 404])?.status() == 200)
    }

    /// The bytes, or nothing when the registry says that there are none.
    pub(crate) fn bytes(&self, what: &'static str, url: Url, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let ask = Ask::new(what, Method::GET, url).header("accept", format!("{MANIFEST}, {INDEX}, */*"));
        let answer = self.calls.send(&ask)?;
        match answer.status() {
            200 => answer.read(max).map(Some),
            _ => answer.missing().map(|()| None),
        }
    }

    pub(crate) fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        manifest: &[u8],
    ) -> Result<(), Error> {
        let ask = Ask::new("put a manifest", Method::PUT, self.manifest(reference))
            .header("content-type", media_type)
            .body(manifest);
        self.calls.expect(&ask, &[201]).map(drop)
    }

    /// The config of our own manifests.
    pub(crate) fn put_empty(&self) -> Result<(), Error> {
        if !self.has_empty.load(Ordering::Relaxed) {
            self.put_blob(EMPTY)?;
            self.has_empty.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.has("look for a blob", self.blob(digest))? {
            return Ok(digest);
        }
        let upload = self.begin()?;
        let done = self.fill(upload.clone(), bytes, digest);
        if done.is_err() {
            // It ends by itself there some day; the reason is what counts.
            let _left = self.withdraw(upload);
        }
        done.map(|()| digest)
    }

    fn begin(&self) -> Result<Url, Error> {
        let url = self.calls.repository().at("blobs/uploads/");
        self.calls.expect(&Ask::new("begin to put a blob", Method::POST, url), &[202])?.location()
    }

    /// Small ones in one request, others piece by piece. Only the last request gives the bytes their name.
    fn fill(&self, mut upload: Url, bytes: &[u8], digest: Digest) -> Result<(), Error> {
        const OF_BYTES: &str = "application/octet-stream";
        let (pieces, last) = if bytes.len() <= PIECE_BYTES_MAX { (&[][..], bytes) } else { (bytes, &[][..]) };
        let mut from = 0;
        for piece in pieces.chunks(PIECE_BYTES_MAX) {
            let ask = Ask::new("put a piece of a blob", Method::PATCH, upload)
                .header("content-type", OF_BYTES)
                .header("content-range", format!("{from}-{}", from + piece.len() - 1))
                .body(piece);
            upload = self.calls.expect(&ask, &[202])?.location()?;
            from += piece.len();
        }
        upload.query_pairs_mut().append_pair("digest", &digest.to_string());
        let ask = Ask::new("put a blob", Method::PUT, upload).header("content-type", OF_BYTES).body(last);
        self.calls.expect(&ask, &[201]).map(drop)
    }

    fn withdraw(&self, upload: Url) -> Result<(), Error> {
        // Whoever has no such upload any more has none to withdraw.
        let ask = Ask::new("withdraw what was put", Method::DELETE, upload);
        self.calls.expect(&ask, &[200, 202, 204, 404]).map(drop)
    }
}

impl Blobs for Registry {
    fn put(&self, bytes: &[u8]) -> Result<Digest, blobs::Error> {
        let digest = Digest::of(bytes);
        if read(bytes, MANIFEST).is_some() {
            if !self.has("look for a manifest", self.manifest(&digest.to_string()))? {
                self.put_manifest(&digest.to_string(), MANIFEST, bytes)?;
            }
            return Ok(digest);
        }
        self.put_blob(bytes)?;
        let tag = format!("blob-{}", digest.hex());
        if !self.has("look for what keeps a blob", self.manifest(&tag))? {
            self.put_empty()?;
            self.put_manifest(&tag, MANIFEST, &keeping(bytes))?;
        }
        Ok(digest)
    }

    fn put_part(&self, bytes: &[u8]) -> Result<Digest, blobs::Error> {
        Ok(self.put_blob(bytes)?)
    }

    fn get(&self, digest: Digest) -> Result<Vec<u8>, blobs::Error> {
        let mut found = self.bytes("get a blob", self.blob(digest), BLOB_BYTES_MAX)?;
        if found.is_none() {
            let url = self.manifest(&digest.to_string());
            found = self.bytes("get a manifest", url, MANIFEST_BYTES_MAX as u64)?;
        }
        match found {
            Some(bytes) if Digest::of(&bytes) == digest => Ok(bytes),
            Some(_) => Err(blobs::Error::Corrupt(digest)),
            None => Err(blobs::Error::Missing(digest)),
        }
    }

    fn contains(&self, digest: Digest) -> Result<bool, blobs::Error> {
        Ok(self.has("look for a blob", self.blob(digest))?
            || self.has("look for a manifest", self.manifest(&digest.to_string()))?)
    }
}

#[cfg(test)]
mod tests;
