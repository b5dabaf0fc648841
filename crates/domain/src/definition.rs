//! Texts that decisions depend on: workflows and role maps. Each is recorded once per partition, by digest,
//! before its first use; runs pin the workflow they started with, so editing a file changes no run in flight.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::evidence::Text;
use crate::name::Digest;
use crate::roles::{Actor, RoleMap};

/// The most bytes of one definition.
pub const DEFINITION_BYTES_MAX: usize = 64 * 1024;

/// A parsed definition with the digest of its text. Two are equal when their digests are.
pub struct Pinned<T> {
    pub digest: Digest,
    pub value: Arc<T>,
}

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        Self { digest: self.digest, value: Arc::clone(&self.value) }
    }
}
impl<T> PartialEq for Pinned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
impl<T> Eq for Pinned<T> {}
impl<T> fmt::Debug for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.digest.short())
    }
}
impl<T> Deref for Pinned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Workflow,
    Roles,
}

/// Who said it: a request of a person names its actor, a trigger brings its workflow without one.
#[derive(Debug, Clone, PartialEq)]
pub struct Define {
    pub actor: Option<Actor>,
    pub kind: Kind,
    pub digest: Digest,
    pub text: Text,
    /// The parsed role map, when that is what the text is.
    pub roles: Option<Pinned<RoleMap>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    DefinitionRecorded { kind: Kind, digest: Digest, text: Text, roles: Option<Pinned<RoleMap>> },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("expected to define at most {DEFINITION_BYTES_MAX} bytes, but the text has {0}")]
    TooLarge(usize),
    #[error("expected to define roles as a holder of the role admin, but {0} is not one")]
    NotEntitled(Text),
}

/// The definitions that a partition knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Definitions {
    pub known: BTreeSet<Digest>,
    /// The role map in force: the latest recorded.
    pub roles: Option<Pinned<RoleMap>>,
}

impl Definitions {
    /// Records a text that is not in force yet; nothing for one that is. The first role map is taken from
    /// anybody (it is the data folder's own), a later one only from an admin of the map in force.
    pub fn decide(&self, input: &Define) -> Result<Vec<Event>, Rejection> {
        if input.text.len() > DEFINITION_BYTES_MAX {
            return Err(Rejection::TooLarge(input.text.len()));
        }
        let in_force = match input.kind {
            Kind::Workflow => self.known.contains(&input.digest),
            Kind::Roles => self.roles.as_ref().is_some_and(|roles| roles.digest == input.digest),
        };
        if in_force {
            return Ok(vec![]);
        }
        if let (Kind::Roles, Some(roles)) = (input.kind, &self.roles) {
            let entitled =
                input.actor.as_ref().is_some_and(|actor| roles.holds(&actor.subject, crate::roles::ADMIN));
            if !entitled {
                let who = input.actor.as_ref().map_or("nobody", |actor| actor.subject.as_str());
                return Err(Rejection::NotEntitled(who.into()));
            }
        }
        let Define { kind, digest, ref text, ref roles, .. } = *input;
        Ok(vec![Event::DefinitionRecorded { kind, digest, text: text.clone(), roles: roles.clone() }])
    }

    #[must_use]
    pub fn evolve(mut self, event: &Event) -> Self {
        let Event::DefinitionRecorded { digest, roles, .. } = event;
        self.known.insert(*digest);
        if let Some(roles) = roles {
            self.roles = Some(roles.clone());
        }
        self
    }
}
