//! A stream whose decision failed: it stays at its last good state and holds what is said to it until somebody
//! resolves it. The others go on.
//!
//! ```text
//!   deciding -- panic, illegal event --> quarantined -- Resolve --> releasing -- the last one --> deciding
//!                                          | ^                       |
//!                                          | +---- panics again -----+
//!                                          +-- Abort, Kill, RollBack: on the last good state, at once
//! ```
//!
//! **Invariant:** what is held is bounded, and released in the order in which it came. What a released input leads to
//! is decided with it, as it would have been then: the answer to what it asks is not held behind what came later. A moment
//! is not held: its state asks for it again.

use crate::decider::{Decider, Decision, IllegalEvent, Tell};
use crate::evidence::Text;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// How many inputs from outside a stream holds; more are refused with a hint to try again.
pub const HELD_INPUTS_MAX: usize = 64;
/// How many inputs in all, tells of other streams included. A tell beyond it refuses what led to it.
pub const HELD_ALL_MAX: usize = 256;
/// The code of a refusal because the stream holds as much as it may.
pub const HELD_FULL: &str = "HELD_FULL";

/// Why a stream is not decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    pub why: Text,
    pub since: Timestamp,
    /// The first input held is the one that failed.
    pub holds_cause: bool,
}

/// What a stream holds: quarantined, or releasing one by one after it was resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding<I> {
    pub quarantine: Option<Quarantine>,
    /// Oldest first.
    pub held: Vec<I>,
    /// How many were released or dropped since it began to hold.
    pub released: u64,
    pub resolved_at: Timestamp,
}

/// Who says an input, as far as holding it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A trigger, a person, a worker.
    Outside,
    /// Another stream, within its transition.
    Tell,
    Moment,
    /// The moment that releases the next held input.
    Release,
}

/// A decider that can be quarantined.
pub trait Holds: Decider {
    fn holding(&self) -> Option<&Holding<Self::Input>>;
    fn origin(input: &Self::Input) -> Origin;
    fn input_name(input: &Self::Input) -> &'static str;
    /// As a stream that holds nothing decides.
    fn decide_ordinarily(
        &self,
        input: &Self::Input,
        now: Timestamp,
    ) -> Result<Decision<Self::Event>, Self::Rejection>;
    /// The event that quarantines the stream.
    fn quarantined(quarantine: Quarantine) -> Self::Event;
    /// What others hear of it.
    fn quarantine_tells(&self) -> Vec<Tell>;
    fn refusal(rejection: &Self::Rejection) -> Refusal;
}

/// What is true after an event in the log that does not fit: the last good state, quarantined.
pub fn broken<D: Holds>(state: &D, illegal: &IllegalEvent, since: Timestamp) -> D {
    let why = format!("in the log, {illegal}").into();
    let event = D::quarantined(Quarantine { why, since, holds_cause: false });
    state.clone().evolve(&event).unwrap_or_else(|_| state.clone())
}

impl<I> Holding<I> {
    fn nothing() -> Self {
        Self { quarantine: None, held: vec![], released: 0, resolved_at: Timestamp::default() }
    }

    /// Whether one more of this origin may be held.
    pub(crate) fn has_room(&self, origin: Origin) -> bool {
        let max = if origin == Origin::Tell { HELD_ALL_MAX } else { HELD_INPUTS_MAX };
        self.held.len() < max
    }

    /// The number of the next input to be released, when it is time for it.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.quarantine.is_none() && !self.held.is_empty()).then_some(self.released + 1)
    }

    pub(crate) fn hold(holding: &mut Option<Box<Self>>, input: I) {
        holding.get_or_insert_with(|| Box::new(Self::nothing())).held.push(input);
    }

    pub(crate) fn quarantine(holding: &mut Option<Box<Self>>, quarantine: Quarantine) {
        holding.get_or_insert_with(|| Box::new(Self::nothing())).quarantine = Some(quarantine);
    }

    /// Lifts the quarantine; with `drop` the first input is held no longer.
    pub(crate) fn resolve(holding: &mut Option<Box<Self>>, drop: bool, at: Timestamp) {
        if let Some(held) = holding {
            held.quarantine = None;
            held.resolved_at = at;
        }
        if drop {
            Self::release(holding);
        }
        holding.take_if(|holding| holding.is_over());
    }

    pub(crate) fn release(holding: &mut Option<Box<Self>>) {
        if let Some(holding) = holding
            && !holding.held.is_empty()
        {
            holding.held.remove(0);
            holding.released += 1;
        }
        holding.take_if(|holding| holding.is_over());
    }

    fn is_over(&self) -> bool {
        self.quarantine.is_none() && self.held.is_empty()
    }
}
