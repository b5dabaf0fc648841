//! An input refused: what was expected, what was found, what to do.

use std::fmt;

/// What to do about a refusal, for code; people read the text and the hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The input does not fit the state it met.
    State,
    /// Whoever asks is not entitled.
    NotEntitled,
    /// The input came too late or names something else: expected now and then, and harmless.
    Late,
    /// The input itself is wrong.
    Malformed,
    /// A bound was reached; try again later.
    Busy,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::State, Self::NotEntitled, Self::Late, Self::Malformed, Self::Busy];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::NotEntitled => "not_entitled",
            Self::Late => "late",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
        }
    }
}

/// A rejection as it is recorded and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// Stable, such as `ALREADY_ENDED`.
    pub code: String,
    /// ``expected to {verb} {what}, but {actual}``
    pub text: String,
    pub hint: Option<String>,
}

impl Refusal {
    /// The field of the request that the refusal is about, where it is about one.
    pub fn field(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "SOD_VIOLATION" | "ALREADY_VOTED" | "NOT_ENTITLED" => "actor",
            "ROLE_NOT_ASKED" => "role",
            "APPROVAL_MISMATCH" => "evidence",
            "NO_RATIONALE" => "rationale",
            "NO_REASON" => "reason",
            "NO_SUCH_STAGE" | "GATE_CLOSED" => "stage",
            "NOT_PROMOTABLE" | "NOT_A_ROLLBACK" => "to",
            "NOT_SERVING" => "bundle",
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Refusal {}
