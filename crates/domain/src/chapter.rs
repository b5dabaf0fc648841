//! A stream that would grow for ever is cut into chapters: at rest, after so many events, the transition that finds
//! it so ends with `ChapterOpened`, which carries all that is true of it.
//!
//! ```text
//!   chapter 1                       chapter 2                        chapter 3
//!   RunEntered ... RunLeft | ChapterOpened{carried} ... | ChapterOpened{carried} ...
//!                            ^ folding may begin here      ^ or here: the same state
//! ```
//!
//! **Invariant:** what is carried is the whole state, so folding from the last chapter gives what folding from the
//! start gives, whatever stands in the log. Whether it is also true is for verification to say: it folds the chapter
//! before and compares.

use std::sync::Arc;

use crate::decider::Decider;
use crate::time::Timestamp;

/// A target's chapter is closed after this many events, at rest.
pub const TARGET_EVENTS_MAX: u32 = 256;
/// A run's chapter is closed after this many events, at rest.
pub const RUN_EVENTS_MAX: u32 = 1_000;
/// A target that heard of more gateways and servers than these together is not cut: its chapter would not be small.
pub const HEARD_MAX: usize = 1_024;

/// Where a stream is in its chapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chapter {
    /// How many chapters were opened after the first.
    pub opened: u32,
    /// How many events this one has.
    pub events: u32,
}

impl Chapter {
    /// As people count them: the first is 1.
    pub fn number(self) -> u32 {
        self.opened.saturating_add(1)
    }

    /// With one more event.
    pub(crate) fn count(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// The one after it, empty.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self { opened: self.opened.saturating_add(1), events: 0 }
    }
}

/// After how many events a stream is cut, by its kind. Part of the decision: another bound is another revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub target_events_max: u32,
    pub run_events_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { target_events_max: TARGET_EVENTS_MAX, run_events_max: RUN_EVENTS_MAX }
    }
}

impl Bounds {
    /// Of logs that were written before there were chapters.
    pub const NEVER: Self = Self { target_events_max: u32::MAX, run_events_max: u32::MAX };
}

/// A decider whose stream is cut.
pub trait Chaptered: Decider {
    fn chapter(&self) -> Chapter;
    /// Whether it may be cut here: it has begun and not ended, nothing is held, no command is outstanding.
    fn is_at_rest(&self) -> bool;
    /// All that is true now, as the next chapter begins with it.
    #[must_use]
    fn carried(&self) -> Self;
    /// The event that begins the chapter of which `carried` is the first state.
    fn opened(carried: Arc<Self>, at: Timestamp) -> Self::Event;
    /// What the event carries, if it begins a chapter.
    fn carried_by(event: &Self::Event) -> Option<&Self>;
}

/// The chapter that begins here, if it is time for one: its first state, and the event.
pub(crate) fn begin<D: Chaptered>(state: &D, events_max: u32, at: Timestamp) -> Option<(Arc<D>, D::Event)> {
    if state.chapter().events < events_max || !state.is_at_rest() {
        return None;
    }
    let carried = Arc::new(state.carried());
    Some((Arc::clone(&carried), D::opened(carried, at)))
}
