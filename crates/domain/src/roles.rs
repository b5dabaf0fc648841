//! Who may do what: a recorded map of roles to subjects. The latest recorded one is in force, so a revoked
//! approver is out at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::Text;
use crate::name::{Role, Subject};

/// The role that may pause, abort, promote, roll back, kill, freeze and adopt.
pub const OPERATOR: &str = "operator";
/// The role that may do what an operator may, and change the roles.
pub const ADMIN: &str = "admin";

/// Roles and the subjects that hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleMap {
    pub members: BTreeMap<Role, BTreeSet<Subject>>,
}

impl RoleMap {
    pub fn holds(&self, subject: &Subject, role: &str) -> bool {
        self.members.iter().any(|(name, members)| name.as_str() == role && members.contains(subject))
    }

    pub fn may_operate(&self, subject: &Subject) -> bool {
        self.holds(subject, OPERATOR) || self.holds(subject, ADMIN)
    }

    pub fn roles_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Role> {
        self.members.iter().filter(move |(_, members)| members.contains(subject)).map(|(role, _)| role)
    }
}

/// Who asks: as the api authenticated them. Opaque; names stay out of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub subject: Subject,
    /// Who vouches for the subject: `modelrail` for its own tokens, or an identity provider.
    pub issuer: Text,
    /// How they proved it: `token`, `oidc`, ...
    pub method: Text,
    /// Whom a tool acts for. That person counts for four eyes.
    pub on_behalf_of: Option<Subject>,
}

impl Actor {
    /// The person behind the request: whom a tool acts for, else the subject itself.
    pub fn person(&self) -> &Subject {
        self.on_behalf_of.as_ref().unwrap_or(&self.subject)
    }
}
