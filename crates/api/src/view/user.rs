//! People and tools that hold tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A subject, with its name when it is known here. Names never stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Who {
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The person a tool acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name.as_ref().unwrap_or(&self.subject))?;
        match &self.on_behalf_of {
            Some(person) => write!(f, " for {person}"),
            None => Ok(()),
        }
    }
}

/// Somebody to be given a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub name: String,
    pub roles: Vec<String>,
    /// A tool may say for whom it acts (`X-Modelrail-On-Behalf-Of`).
    #[serde(default)]
    pub tool: bool,
}

/// A user, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    pub name: String,
    pub subject: String,
    pub roles: Vec<String>,
    pub tool: bool,
}

/// All users, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    pub users: Vec<UserView>,
}

/// A new user's token. It is shown once and kept only as a hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub user: UserView,
    pub token: String,
}

impl std::fmt::Debug for TokenView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenView").field("user", &self.user).finish_non_exhaustive()
    }
}
