//! A folder in front of a registry: what was put or fetched once is read here from then on, also while the registry is
//! away.

use std::sync::Arc;

use domain::name::Digest;
use engine::port::blobs::{Blobs, Error};

/// **Invariant:** what is put is in `far` before it is in `near`, so that nothing counts as stored that others cannot get.
/// What `near` has lost or cannot read is fetched again.
#[derive(Debug)]
pub struct Cached {
    near: Arc<dyn Blobs>,
    far: Arc<dyn Blobs>,
}

impl Cached {
    pub fn new(near: Arc<dyn Blobs>, far: Arc<dyn Blobs>) -> Self {
        Self { near, far }
    }

    /// What could not be kept here is there.
    fn keep(&self, digest: Digest, bytes: &[u8]) {
        if let Err(error) = self.near.put(bytes) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%digest, error, "a blob could not be kept here; it is fetched again when it is wanted");
        }
    }
}

impl Blobs for Cached {
    fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = self.far.put(bytes)?;
        self.keep(digest, bytes);
        Ok(digest)
    }

    fn put_part(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = self.far.put_part(bytes)?;
        self.keep(digest, bytes);
        Ok(digest)
    }

    fn get(&self, digest: Digest) -> Result<Vec<u8>, Error> {
        match self.near.get(digest) {
            Ok(bytes) => return Ok(bytes),
            Err(Error::Missing(_)) => {}
            Err(error @ (Error::Corrupt(_) | Error::Io(_))) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%digest, error, "a blob cannot be read here; it is fetched");
            }
        }
        let bytes = self.far.get(digest)?;
        self.keep(digest, &bytes);
        Ok(bytes)
    }

    fn contains(&self, digest: Digest) -> Result<bool, Error> {
        Ok(self.near.contains(digest).unwrap_or(false) || self.far.contains(digest)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use engine::port::{memory, suite};

    use super::*;

    /// A store that may be away, and counts what it gave.
    #[derive(Debug, Default)]
    struct Far {
        inner: memory::Blobs,
        away: Mutex<bool>,
        given: Mutex<usize>,
    }

    impl Far {
        fn reach(&self) -> Result<&memory::Blobs, Error> {
            if *self.away.lock().unwrap() { Err(io::Error::other("away").into()) } else { Ok(&self.inner) }
        }
    }

    impl Blobs for Far {
        fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
            self.reach()?.put(bytes)
        }

        fn get(&self, digest: Digest) -> Result<Vec<u8>, Error> {
            *self.given.lock().unwrap() += 1;
            self.reach()?.get(digest)
        }

        fn contains(&self, digest: Digest) -> Result<bool, Error> {
            self.reach()?.contains(digest)
        }
    }

    /// Gives other bytes than were put.
    #[derive(Debug)]
    struct Damaged;

    impl Blobs for Damaged {
        fn put(&self, _bytes: &[u8]) -> Result<Digest, Error> {
            Err(io::Error::other("no room").into())
        }

        fn get(&self, digest: Digest) -> Result<Vec<u8>, Error> {
            Err(Error::Corrupt(digest))
        }

        fn contains(&self, _digest: Digest) -> Result<bool, Error> {
            Err(io::Error::other("unreadable").into())
        }
    }

    #[test]
    fn it_keeps_the_contract_with_and_without_a_sound_folder() {
        suite::blobs(|| Cached::new(Arc::new(memory::Blobs::default()), Arc::new(Far::default())));
        suite::blobs(|| Cached::new(Arc::new(Damaged), Arc::new(Far::default())));
    }

    #[test]
    fn what_was_fetched_once_is_there_while_the_registry_is_away() {
        let far = Arc::new(Far::default());
        let digest = far.put(b"abc").unwrap();
        let cached = Cached::new(Arc::new(memory::Blobs::default()), Arc::clone(&far) as Arc<dyn Blobs>);
        for _ in 0..2 {
            assert_eq!(cached.get(digest).unwrap(), b"abc");
        }
        assert_eq!(*far.given.lock().unwrap(), 1, "fetched once");
        *far.away.lock().unwrap() = true;
        assert_eq!(cached.get(digest).unwrap(), b"abc");
        assert!(cached.contains(digest).unwrap());
        let other = Digest::of(b"other");
        assert!(matches!(cached.get(other), Err(Error::Io(_))), "away is not missing");
        assert!(matches!(cached.put(b"other"), Err(Error::Io(_))));
        assert!(matches!(cached.put_part(b"other"), Err(Error::Io(_))));
        *far.away.lock().unwrap() = false;
        assert!(matches!(cached.get(other), Err(Error::Missing(_))), "a put that failed left nothing");
    }
}
