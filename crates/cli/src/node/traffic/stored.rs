//! Where bundles, evidence and signatures are kept: in a folder, or in a registry with that folder in front of it.

use std::path::Path;
use std::sync::Arc;

use domain::name::Digest;
use engine::port::blobs::{Blobs, Error};
use oci::{Cached, Registry};
use stages::port::{FolderReferrers, Referrers};

use crate::config::Config;
use crate::node::StartError;

/// The registry of the configuration, if it names one. It is not called before something is put or got: one that is away
/// stops nobody from starting.
#[derive(Debug)]
pub struct Stored(Option<Arc<Registry>>);

impl Stored {
    pub fn of(config: &Config) -> Result<Self, StartError> {
        Ok(Self(config.blobs.registry()?.map(Arc::new)))
    }

    /// What keeps blobs, with this folder near.
    pub fn blobs(&self, near: Arc<dyn Blobs>) -> Arc<dyn Blobs> {
        match &self.0 {
            Some(registry) => Arc::new(Cached::new(near, Arc::clone(registry) as Arc<dyn Blobs>)),
            None => near,
        }
    }

    /// What lists signatures: a folder where there is no registry.
    pub fn referrers(&self, folder: &Path) -> Result<Arc<dyn Referrers>, StartError> {
        if let Some(registry) = &self.0 {
            return Ok(Arc::new(InRegistry(Arc::clone(registry))));
        }
        let unusable = |source| StartError::Unusable { path: folder.to_owned(), source };
        Ok(Arc::new(FolderReferrers::open(folder).map_err(unusable)?))
    }
}

/// Signatures as referrers of the registry's manifests.
#[derive(Debug)]
struct InRegistry(Arc<Registry>);

impl Referrers for InRegistry {
    fn add(&self, subject: Digest, referrer: Digest) -> std::io::Result<()> {
        self.0.add_referrer(subject, referrer).map_err(to_io)
    }

    fn of(&self, subject: Digest) -> std::io::Result<Vec<Digest>> {
        self.0.referrers(subject).map_err(to_io)
    }
}

fn to_io(error: Error) -> std::io::Error {
    match error {
        Error::Io(error) => error,
        Error::Missing(_) | Error::Corrupt(_) => std::io::Error::other(error),
    }
}
