//! Who keeps which version loaded.
//!
//! Whoever loads does so in attempts, of which an earlier one may still be under way when a later one begins: on a slow
//! machine, in a process that stood still. So a keeper's later attempt fences its earlier ones off, and a version is
//! unloaded when nobody keeps it any more.
//!
//! **Invariant:** a version that a keeper's latest attempt has loaded goes only when that attempt, or a later one, says
//! so. What was loaded in process, without a keeper, is there until one has taken it over and let it go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::LoadError;
use crate::server::{LoadOutcome, Server};
use crate::signature::Signature;

/// Who asks, and by which of its attempts: later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper<'a> {
    pub name: &'a str,
    pub attempt: u32,
}

/// A later attempt of the same keeper was here. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected attempt {attempt} of `{keeper}` to be its latest, but a later one was here")]
pub struct Superseded {
    pub keeper: String,
    pub attempt: u32,
}

impl From<Keeper<'_>> for Superseded {
    fn from(by: Keeper<'_>) -> Self {
        Self { keeper: by.name.to_owned(), attempt: by.attempt }
    }
}

/// Why a keeper did not get its version.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Superseded(#[from] Superseded),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A server whose versions are kept by name; clones share everything.
#[derive(Clone, Debug)]
pub struct Kept {
    server: Server,
    /// Of whoever keeps anything, or is about to: as many as are loaded at most, and one for each load under way.
    keepers: Arc<Mutex<BTreeMap<String, Keeps>>>,
}

#[derive(Debug, Default)]
struct Keeps {
    attempt: u32,
    /// Model and version.
    versions: BTreeSet<(String, String)>,
}

type Keepers<'a> = MutexGuard<'a, BTreeMap<String, Keeps>>;

impl Kept {
    pub fn new(server: Server) -> Self {
        Self { server, keepers: Arc::default() }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Loads a version, as [`Server::load`], and keeps it besides what is kept already.
    pub fn load(
        &self,
        by: Keeper<'_>,
        model: &str,
        version: &str,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<LoadOutcome, KeepError> {
        let place = (model.to_owned(), version.to_owned());
        // Noted before it is there, so that nobody who keeps it too takes it away meanwhile.
        let is_new = admit(&mut self.lock(), by)?.versions.insert(place.clone());
        let loaded = self.server.load(model, version, bytes, signature);
        self.settle(by, &place, is_new, loaded)
    }

    /// What came of a load, unless a later attempt was here while it was under way.
    fn settle(
        &self,
        by: Keeper<'_>,
        place: &(String, String),
        is_new: bool,
        loaded: Result<LoadOutcome, LoadError>,
    ) -> Result<LoadOutcome, KeepError> {
        let mut keepers = self.lock();
        let ours = keepers.get_mut(by.name).filter(|keeps| keeps.attempt == by.attempt);
        match loaded {
            Ok(outcome) if ours.as_ref().is_some_and(|keeps| keeps.versions.contains(place)) => Ok(outcome),
            Ok(_) => {
                self.unload_unless_kept(&keepers, place);
                Err(Superseded::from(by).into())
            }
            Err(error) => {
                // What it kept before is there still.
                if let Some(keeps) = ours.filter(|_| is_new) {
                    keeps.versions.remove(place);
                }
                forget_idle(&mut keepers, by.name);
                Err(error.into())
            }
        }
    }

    /// Has a keeper keep these versions of a model, as far as they are loaded, and no others of it. Absolute: may be said
    /// again.
    pub fn keep<'v>(
        &self,
        by: Keeper<'_>,
        model: &str,
        versions: impl IntoIterator<Item = &'v str>,
    ) -> Result<(), Superseded> {
        let wanted: BTreeSet<&str> = versions.into_iter().collect();
        let mut keepers = self.lock();
        let loaded = self.server.loaded();
        let loaded = loaded.iter().filter(|it| it.model == model && wanted.contains(it.version.as_str()));
        let keeps = admit(&mut keepers, by)?;
        let dropped: Vec<_> = keeps.versions.iter().filter(|(of, _)| of == model).cloned().collect();
        keeps.versions.retain(|(of, _)| of != model);
        keeps.versions.extend(loaded.map(|it| (it.model.clone(), it.version.clone())));
        forget_idle(&mut keepers, by.name);
        for place in &dropped {
            self.unload_unless_kept(&keepers, place);
        }
        Ok(())
    }

    fn lock(&self) -> Keepers<'_> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unload_unless_kept(&self, keepers: &Keepers<'_>, place: &(String, String)) {
        if !keepers.values().any(|keeps| keeps.versions.contains(place)) {
            self.server.unload(&place.0, &place.1);
        }
    }
}

/// What the keeper keeps, now by this attempt, unless a later one was here.
fn admit<'k>(keepers: &'k mut Keepers<'_>, by: Keeper<'_>) -> Result<&'k mut Keeps, Superseded> {
    let keeps = keepers.entry(by.name.to_owned()).or_default();
    if by.attempt < keeps.attempt {
        return Err(by.into());
    }
    keeps.attempt = by.attempt;
    Ok(keeps)
}

/// Of whoever keeps nothing there is nothing to protect.
fn forget_idle(keepers: &mut Keepers<'_>, name: &str) {
    if keepers.get(name).is_some_and(|keeps| keeps.versions.is_empty()) {
        keepers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Limits;
    use crate::tests::fixture;

    const MODEL: &str = "logistic";

    fn by(name: &str, attempt: u32) -> Keeper<'_> {
        Keeper { name, attempt }
    }

    /// What the server has loaded.
    fn loaded(kept: &Kept) -> Vec<String> {
        kept.server.loaded().iter().map(|it| it.version.clone()).collect()
    }

    /// A keeper, its attempt, and the versions that it keeps from then on.
    type Said = (&'static str, u32, &'static [&'static str]);

    fn hear(kept: &Kept, heard: &[Said]) {
        for (name, attempt, versions) in heard {
            kept.keep(by(name, *attempt), MODEL, versions.iter().copied()).unwrap();
        }
    }

    /// A load of version 1 that is under way for `a` while others are heard, before and after it is there: what comes of it,
    /// what is loaded then, and of how many keepers anything is known. Version 0 is there already, and nobody's.
    fn load_while(before: &[Said], after: &[Said]) -> (bool, Vec<String>, usize) {
        let kept = Kept::new(Server::new(Limits::default()));
        kept.server.load(MODEL, "0", &fixture(MODEL), None).unwrap();
        let place = (MODEL.to_owned(), "1".to_owned());
        admit(&mut kept.lock(), by("a", 1)).unwrap().versions.insert(place.clone());
        hear(&kept, before);
        let outcome = kept.server.load(MODEL, "1", &fixture(MODEL), None);
        hear(&kept, after);
        let settled = kept.settle(by("a", 1), &place, true, outcome);
        let keepers = kept.lock().len();
        (settled.is_ok(), loaded(&kept), keepers)
    }

    #[test]
    fn what_happens_while_a_load_is_under_way_counts() {
        let both = || vec!["0".to_owned(), "1".to_owned()];
        let zero = || vec!["0".to_owned()];
        // What is heard before it is there, what after, and what comes of it.
        let cases: [(&str, &[Said], &[Said], _); 7] = [
            ("nothing", &[], &[], (true, both(), 1)),
            ("a later attempt keeps it", &[], &[("a", 2, &["1"])], (false, both(), 1)),
            ("a later attempt wants it no more", &[], &[("a", 2, &[])], (false, zero(), 0)),
            ("the same, before it is there", &[("a", 2, &[])], &[], (false, zero(), 0)),
            ("the same attempt wants it no more", &[], &[("a", 1, &[])], (false, zero(), 0)),
            (
                "the same attempt wants another, before it is there",
                &[("a", 1, &["0"])],
                &[],
                (false, zero(), 1),
            ),
            ("another keeper came and went", &[], &[("b", 9, &["1"]), ("b", 9, &[])], (true, both(), 1)),
        ];
        for (name, before, after, expected) in cases {
            assert_eq!(load_while(before, after), expected, "{name}");
        }
    }

    #[test]
    fn what_is_kept_of_one_model_says_nothing_of_another() {
        let kept = Kept::new(Server::new(Limits::default()));
        for model in [MODEL, "another"] {
            kept.load(by("a", 1), model, "1", &fixture(MODEL), None).unwrap();
        }
        kept.keep(by("a", 1), MODEL, []).unwrap();
        kept.keep(by("b", 1), "another", ["1"]).unwrap();
        kept.keep(by("b", 1), "another", []).unwrap();
        let left: Vec<_> = kept.server.loaded().iter().map(|it| it.model.clone()).collect();
        assert_eq!(left, ["another"], "which `a` keeps still");
    }

    #[test]
    fn a_load_that_failed_keeps_nothing_and_unloads_nothing() {
        let kept = Kept::new(Server::new(Limits::default()));
        let load = |name, attempt, bytes: &[u8]| kept.load(by(name, attempt), MODEL, "1", bytes, None);
        assert!(load("a", 1, b"no model").is_err());
        assert_eq!((loaded(&kept).len(), kept.lock().len()), (0, 0));
        load("a", 1, &fixture(MODEL)).unwrap();
        // Other bytes under the same version, of another keeper and of the same one.
        let taken = [load("b", 1, b"no model"), load("a", 2, b"no model")].map(Result::unwrap_err);
        for error in taken {
            assert!(matches!(&error, KeepError::Load(LoadError::VersionTaken { .. })), "{error}");
        }
        assert_eq!(loaded(&kept), ["1"], "what was loaded before stays");
        kept.keep(by("a", 2), MODEL, []).unwrap();
        assert_eq!((loaded(&kept).len(), kept.lock().len()), (0, 0), "and was kept still");
    }
}
