//! Why bytes cannot be read as what they should be.

use std::fmt;

use domain::name::{BadName, Digest};

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Such as `RunEvent.StageBegan`.
    pub message: &'static str,
    /// Empty when it is the message as a whole.
    pub field: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            "" => f.write_str(self.message),
            field => write!(f, "field {field} in {}", self.message),
        }
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("failed to read a message")]
    Malformed(#[from] prost::DecodeError),
    #[error("missing {0}")]
    Missing(Place),
    #[error("unknown variant of {0}: it was written by a newer format (needs upgrade)")]
    UnknownVariant(&'static str),
    #[error("unknown value {value} of {place}: it was written by a newer format (needs upgrade)")]
    UnknownValue { place: Place, value: i32 },
    #[error("unknown version {version} in {place}: it was written by a newer format (needs upgrade)")]
    UnknownVersion { place: Place, version: u32 },
    #[error("bad name in {place}")]
    BadName {
        place: Place,
        #[source]
        source: BadName,
    },
    #[error("expected {expected} in {place}, but found {found}")]
    BadLength { place: Place, expected: usize, found: usize },
    #[error("expected at most {max} in {place}, but found {found}")]
    OutOfRange { place: Place, max: u64, found: u64 },
    #[error("expected at most {max} {what} in {place}, but found {found}")]
    TooMuch { place: Place, what: &'static str, max: usize, found: usize },
    #[error("expected a finite number in {0}, but found another one")]
    NotFinite(Place),
    #[error("expected the digest of the text in {0}, but found another one")]
    OtherRoles(Place),
    #[error("expected a rule in {place}, but {reason}")]
    BadRule { place: Place, reason: String },
    #[error("unknown definition {digest} in {place}: it is not recorded before its use")]
    UnknownDefinition { place: Place, digest: Digest },
    #[error("failed to parse definition {digest}: {reason}")]
    BadDefinition { digest: Digest, reason: String },
    #[error("expected the text of definition {expected}, but found the text of {found}")]
    OtherDefinition { expected: Digest, found: Digest },
    #[error("{0} is said to be the same as in the step's input, which has none")]
    NotInInput(Place),
}

impl Error {
    /// Whether a newer binary could read it: the stream is parked, not broken.
    pub fn needs_upgrade(&self) -> bool {
        matches!(self, Self::UnknownVariant(_) | Self::UnknownValue { .. } | Self::UnknownVersion { .. })
    }
}
