//! What speaks of a bundle: signatures, each a manifest with the bundle as its subject, listed under the tag
//! `sha256-HEX`, as registries without a referrers API are used.
//!
//! Contract: as `stages::port::Referrers` says. Two that add at the same moment may write over each other's list, so who
//! adds looks again.

use domain::name::Digest;
use engine::port::blobs::{self, Blobs as _};

use crate::error::Error;
use crate::manifest::{Descriptor, ENVELOPE, INDEX, MANIFEST, MANIFEST_BYTES_MAX, index, read, speaking_of};
use crate::registry::Registry;

/// How often a list is written that others write too.
const ADD_TRIES_MAX: usize = 8;
/// Entries of a list that are looked at.
const REFERRERS_MAX: usize = 64;

impl Registry {
    /// Lists a blob that is there already as one that speaks of a manifest that is there too.
    pub fn add_referrer(&self, subject: Digest, referrer: Digest) -> Result<(), blobs::Error> {
        let subject_at = Descriptor::of(MANIFEST, &self.get(subject)?);
        let manifest = speaking_of(&subject_at, &Descriptor::of(ENVELOPE, &self.get(referrer)?));
        self.put_empty()?;
        self.put_manifest(&Digest::of(&manifest).to_string(), MANIFEST, &manifest)?;
        let entry = Descriptor { artifact_type: ENVELOPE.to_owned(), ..Descriptor::of(MANIFEST, &manifest) };
        for _ in 0..ADD_TRIES_MAX {
            let mut entries = self.entries(subject)?;
            if entries.contains(&entry) {
                return Ok(());
            }
            entries.push(entry.clone());
            self.put_manifest(&tag(subject), INDEX, &index(&entries))?;
        }
        let why = "others write the list of its signatures at the same time; it is tried again later";
        Err(Error::strange("add a signature", &self.manifest(&tag(subject)), why).into())
    }

    /// The blobs that speak of a manifest. Nothing here is trusted.
    pub fn referrers(&self, subject: Digest) -> Result<Vec<Digest>, blobs::Error> {
        let entries = self.entries(subject)?;
        let ours = entries.iter().filter(|entry| entry.artifact_type == ENVELOPE).take(REFERRERS_MAX);
        let mut found = vec![];
        for entry in ours {
            let url = self.manifest(&entry.digest);
            let strange = |why| Error::strange("read a signature's manifest", &url, why);
            let digest = Digest::parse(&entry.digest).map_err(|_| strange("its digest is none"))?;
            let bytes = self.bytes("get a manifest", url.clone(), MANIFEST_BYTES_MAX as u64)?;
            let bytes = bytes.ok_or(blobs::Error::Missing(digest))?;
            let layer = read(&bytes, MANIFEST).and_then(|manifest| manifest.layers.into_iter().next());
            let layer = layer.and_then(|layer| Digest::parse(&layer.digest).ok());
            found.push(layer.ok_or_else(|| strange("it names no blob"))?);
        }
        Ok(found)
    }

    fn entries(&self, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        let url = self.manifest(&tag(subject));
        let list = self.bytes("get the list of signatures", url.clone(), MANIFEST_BYTES_MAX as u64)?;
        let Some(list) = list else { return Ok(vec![]) };
        let why = "expected an index of what speaks of a bundle, but it is none";
        let list =
            read(&list, INDEX).ok_or_else(|| Error::strange("read the list of signatures", &url, why))?;
        Ok(list.manifests)
    }
}

fn tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}
