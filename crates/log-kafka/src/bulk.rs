//! Writes records of which each may overtake the others: alone at once, many together.
//!
//! A produce request is of one partition and costs broker and clients what some twenty records do; and an idempotent client
//! that has five of them under way to a partition looks at what waits behind them without rest. A linger cures both, and
//! every hop of a run that is alone would pay it. So there are two clients, and the load says which.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Health, Publisher, Settings, Write, Written};

/// So many records within so long are many. A run alone says one each millisecond, and what its predecessor left behind is
/// tidied up meanwhile: at eight it was taken for many, and paid.
const MANY: usize = 16;
const WITHIN: Duration = Duration::from_millis(10);
/// How long one of many waits for others of its partition, in milliseconds: a run pays it twice a stage.
const GATHER_MS: &str = "4";

/// To be cloned.
#[derive(Debug, Clone)]
pub struct Bulk {
    prompt: Publisher,
    gathering: Publisher,
    load: Arc<Mutex<Load>>,
}

impl Bulk {
    /// What leaves alone leaves by `prompt`.
    pub fn open(settings: &Settings, prompt: Publisher) -> Result<Self, Error> {
        Ok(Self { prompt, gathering: Publisher::lingering(settings, GATHER_MS)?, load: Arc::default() })
    }

    /// Of the client that gathers.
    pub fn health(&self) -> &Health {
        self.gathering.health()
    }

    /// The client by which what is alone leaves at once.
    pub fn prompt(&self) -> &Publisher {
        &self.prompt
    }

    /// How many records are on their way, of both clients.
    pub fn in_flight(&self) -> usize {
        self.prompt.in_flight() + self.gathering.in_flight()
    }

    /// As [`Publisher::publish`], in whatever order.
    pub fn publish(
        &self,
        write: &Write,
        told: impl FnOnce(Result<Written, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let is_one_of_many = self.load.lock().unwrap_or_else(PoisonError::into_inner).comes(Instant::now());
        let client = if is_one_of_many { &self.gathering } else { &self.prompt };
        client.publish(write, told)
    }
}

/// When the last few records came.
#[derive(Debug, Default)]
struct Load {
    at: [Option<Instant>; MANY],
    next: usize,
}

impl Load {
    /// One more comes. Whether many did before it, lately.
    fn comes(&mut self, now: Instant) -> bool {
        let before = self.at[self.next].replace(now);
        self.next = (self.next + 1) % MANY;
        before.is_some_and(|before| now.duration_since(before) < WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_is_one_that_comes_soon_behind_sixteen_others() {
        let began = Instant::now();
        let comes = |load: &mut Load, ms: u64| load.comes(began + Duration::from_millis(ms));
        let mut load = Load::default();
        // A run alone, whatever it does.
        assert!((0..100).all(|hop| !comes(&mut load, hop)));
        // Then many at once: the seventeenth has sixteen before it within the time.
        let burst: Vec<bool> = (0..20).map(|_| comes(&mut load, 1_000)).collect();
        assert_eq!(burst, [[false; 16].as_slice(), &[true; 4]].concat());
        assert!(comes(&mut load, 1_009) && !comes(&mut load, 1_010), "and a little later one is alone again");
    }
}
