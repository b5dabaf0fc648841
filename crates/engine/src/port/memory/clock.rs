//! A clock that stands still until it is moved.

use std::sync::Mutex;

use domain::time::{Millis, Timestamp};

use crate::port::clock;

#[derive(Debug)]
pub struct Clock(Mutex<(Timestamp, Millis)>);

impl Clock {
    pub fn at(wall: Timestamp) -> Self {
        Self(Mutex::new((wall, Millis(0))))
    }

    /// Lets time pass.
    pub fn advance(&self, span: Millis) {
        let mut time = self.0.lock().expect("no panic while time is held");
        *time = (time.0 + span, time.1 + span);
    }

    /// Sets the time of day, as an operator might; the monotonic clock stays.
    pub fn set(&self, wall: Timestamp) {
        self.0.lock().expect("no panic while time is held").0 = wall;
    }
}

impl clock::Clock for Clock {
    fn wall(&self) -> Timestamp {
        self.0.lock().expect("no panic while time is held").0
    }
    fn monotonic(&self) -> Millis {
        self.0.lock().expect("no panic while time is held").1
    }
}
