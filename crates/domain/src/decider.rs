//! The shape of the pure core: what shall happen, what is true now, what must the world be doing.

use crate::name::{RunId, TargetId};
use crate::run;
use crate::target;
use crate::time::Timestamp;

/// Three pure functions. No clock, no randomness, no I/O, no async, no hash maps.
pub trait Decider: Clone + Default {
    type Input;
    type Event;
    type Effect;
    type Rejection: std::error::Error;

    /// What shall happen? May change in any release. Tells are inputs to other streams, answered in the same
    /// transition.
    fn decide(&self, input: &Self::Input, now: Timestamp) -> Result<Decision<Self::Event>, Self::Rejection>;

    /// What is true now? Frozen once an event is released. Parses nothing.
    fn evolve(mut self, event: &Self::Event) -> Result<Self, IllegalEvent> {
        self.apply(event)?;
        Ok(self)
    }

    /// The same in place. With an event that does not fit, what is left is of no use.
    fn apply(&mut self, event: &Self::Event) -> Result<(), IllegalEvent>;

    /// What must the world be doing? Commands outstanding and moments to wake at: ordered, with ids. A function
    /// of state, so that starting up and running on are one code path.
    fn effects(&self) -> Vec<Self::Effect>;
}

/// What an input led to: facts about this stream, and things to say to others.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<E> {
    pub events: Vec<E>,
    pub tells: Vec<Tell>,
}

/// An input that one decider gives another within a transition.
#[derive(Debug, Clone, PartialEq)]
pub enum Tell {
    Run(RunId, run::Input),
    Target(TargetId, target::Input),
}

/// An event that does not fit the state it is applied to: the log was written by something else than `decide`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} does not fit a stream that is {state}")]
pub struct IllegalEvent {
    pub event: &'static str,
    pub state: String,
}
