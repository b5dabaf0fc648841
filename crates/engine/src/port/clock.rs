//! The time of day. Only drivers read it; a state machine gets it with a tick.
//!
//! Contract:
//! 1. `wall` is the time of day and may jump, both ways.
//! 2. `monotonic` never goes back and counts from an arbitrary beginning that is the same for the process's life.

use domain::time::{Millis, Timestamp};

pub trait Clock: Send + Sync + std::fmt::Debug {
    fn wall(&self) -> Timestamp;
    fn monotonic(&self) -> Millis;
}

/// The time as a driver read it, given to a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub wall: Timestamp,
    pub monotonic: Millis,
}

/// Reads both at once.
pub fn read(clock: &dyn Clock) -> Reading {
    Reading { wall: clock.wall(), monotonic: clock.monotonic() }
}
