//! A topic in memory, for tests: its brokers can be away, and its writers' records may be held back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log_kafka::{Begin, Error, Followed, Read};

use super::topic::{Follow, Opens, Publish, Told};

const PARTITIONS: u32 = 2;

#[derive(Debug, Clone, Default)]
pub(super) struct MemoryTopic(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they landed, with their partitions.
    records: Vec<Read>,
    away: bool,
    room: Option<usize>,
}

impl MemoryTopic {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody reaches the brokers from now on, or everybody does again.
    pub(super) fn away(&self, away: bool) {
        self.state().away = away;
        self.0.came.notify_all();
    }

    /// So many more are taken.
    pub(super) fn room(&self, room: usize) {
        self.state().room = Some(room);
    }

    /// What landed, by value.
    pub(super) fn values(&self) -> Vec<Vec<u8>> {
        self.state().records.iter().filter_map(|record| record.value.clone()).collect()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let text = |record: &Read| String::from_utf8(record.key.clone().unwrap()).unwrap();
        self.state().records.iter().map(text).collect()
    }

    pub(super) fn opens(&self) -> Opens {
        let topic = self.clone();
        Box::new(move |from| {
            let state = topic.state();
            if state.away {
                return Err(away());
            }
            let (end, next) = (
                state.records.len(),
                match from {
                    Begin::End => state.records.len(),
                    Begin::Beginning | Begin::Last(_) | Begin::Time(_) => 0,
                    Begin::Offsets(_) => 0,
                },
            );
            drop(state);
            let from = match from {
                Begin::Offsets(offsets) => offsets.clone(),
                Begin::Beginning | Begin::End | Begin::Last(_) | Begin::Time(_) => [].into(),
            };
            Ok(Box::new(Reader { topic: topic.clone(), next, end: Some(end), from }))
        })
    }
}

fn away() -> Error {
    Error::NotReached { brokers: "memory".into(), why: "they are away".into() }
}

impl Publish for MemoryTopic {
    fn send(&self, key: &str, value: Vec<u8>, told: Told) -> Result<(), Error> {
        let mut state = self.state();
        match &mut state.room {
            Some(0) => return Err(Error::Full),
            Some(room) => *room -= 1,
            None => {}
        }
        let result = if state.away {
            Err(away())
        } else {
            let partition = key.len() as u32 % PARTITIONS;
            let offset = state.records.iter().filter(|record| record.partition == partition).count() as u64;
            state.records.push(Read {
                topic: "memory".into(),
                partition,
                offset,
                key: Some(key.as_bytes().to_vec()),
                value: Some(value),
                headers: vec![],
                timestamp_ms: None,
            });
            Ok(())
        };
        drop(state);
        self.0.came.notify_all();
        told(result);
        Ok(())
    }
}

struct Reader {
    topic: MemoryTopic,
    next: usize,
    /// Where the end is to be said.
    end: Option<usize>,
    from: std::collections::BTreeMap<u32, u64>,
}

impl Follow for Reader {
    fn next(&mut self, at_most: Duration) -> Result<Option<Followed>, Error> {
        let mut state = self.topic.state();
        loop {
            if state.away {
                return Err(away());
            }
            if self.end.is_some_and(|end| self.next >= end) {
                self.end = None;
                return Ok(Some(Followed::End));
            }
            let Some(record) = state.records.get(self.next) else {
                let (woken, waited) =
                    self.topic.0.came.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
                if waited.timed_out() {
                    return Ok(None);
                }
                state = woken;
                continue;
            };
            self.next += 1;
            if self.from.get(&record.partition).is_some_and(|from| record.offset < *from) {
                continue;
            }
            return Ok(Some(Followed::Record(Box::new(record.clone()))));
        }
    }
}

/// How long anything in these tests may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something.
pub(super) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it never came about");
        std::thread::yield_now();
    }
}
