//! The workers' journal: which attempts a worker has taken, begun and answered, and what was ordered where nobody brings
//! that again. Its loss costs a repeat under the same effect key, nothing more.
//!
//! Contract:
//! 1. When `put` returned, all entries of the call outlive this process, and those `gone` are unknown, together. A
//!    power loss may cost the latest calls.
//! 2. An entry replaces the former one of the same attempt whole.
//! 3. `open` gives every entry that is not `Closed`, sorted by attempt's text.
//! 4. `sweep` drops `Closed` entries last written before the given time, and no others.

use domain::name::AttemptId;
use domain::time::Timestamp;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the journal's entry of {0}")]
    Corrupt(AttemptId),
    #[error("failed to reach the journal")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How far an attempt is at this worker.
///
/// ```text
///  Taken -> Begun -> Answered -> Closed
///    |                  ^
///    +--- declined -----+
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Taken,
    /// As `Taken`, and begun in the same step.
    Begun,
    /// The answer's bytes, kept until the engine has it, and sent again if asked.
    Answered(Vec<u8>),
    /// The engine has it; a copy of the command is still answered with the same bytes.
    Closed(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub attempt: AttemptId,
    pub state: State,
    /// What was ordered, as bytes. Empty where somebody brings it again, and once the engine has the answer.
    pub order: Vec<u8>,
    /// When this was written.
    pub at: Timestamp,
}

pub trait Journal: Send + Sync + std::fmt::Debug {
    fn put(&self, entries: &[Entry], gone: &[AttemptId]) -> Result<(), Error>;
    fn get(&self, attempt: &AttemptId) -> Result<Option<Entry>, Error>;
    fn open(&self) -> Result<Vec<Entry>, Error>;
    fn sweep(&self, before: Timestamp) -> Result<(), Error>;
}
