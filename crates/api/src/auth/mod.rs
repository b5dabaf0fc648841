//! Who asks: users with tokens, kept in the data folder, and the check on every request.
//!
//! **Invariant:** a token is never stored, logged or shown after it was made; what is kept is its SHA-256. Names
//! stay here: the log knows subjects only.
//!
//! Does not decide what a role may do: the core does, from the recorded role map that is rendered here.

mod caller;
mod file;
mod users;

pub use users::{ADMIN_TOKEN_FILE, Error, NewToken, User, Users};

pub(crate) use caller::{Caller, require};

/// A list of users, as the file in the data folder holds it.
pub(crate) fn parse_users(bytes: &[u8]) -> Result<Vec<User>, Box<dyn std::error::Error + Send + Sync>> {
    file::parse(bytes)
}
