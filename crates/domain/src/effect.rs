//! What the world must be doing: commands outstanding, and moments to wake at.

use crate::name::AttemptId;
use crate::time::Timestamp;
use crate::work::Command;

/// One thing outstanding. Two equal effects are the same one: the engine sends out what is new in the effects of
/// a stream, and withdraws what is gone.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<Input> {
    /// A work order without an answer yet.
    Command(Box<Command>),
    /// `input` is to be given to this stream when recorded time reaches `at`, and never before.
    WakeAt { at: Timestamp, input: Input },
}

impl<Input> Effect<Input> {
    pub fn attempt(&self) -> Option<&AttemptId> {
        match self {
            Self::Command(command) => Some(&command.attempt),
            Self::WakeAt { .. } => None,
        }
    }
}
