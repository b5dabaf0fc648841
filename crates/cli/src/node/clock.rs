//! The clock of this machine.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use domain::time::{Millis, Timestamp};
use engine::port::clock::Clock;

#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        // A clock before 1970 is behind every record, and suspends the engine.
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
    }

    fn monotonic(&self) -> Millis {
        Millis(self.began.elapsed().as_millis() as u64)
    }
}

impl SystemClock {
    /// Microseconds since this clock was made.
    pub fn monotonic_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}
