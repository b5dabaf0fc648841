//! A journal whose calls outlive the process at once, and a power loss only when the engine's next write has synced
//! them along.

use std::sync::{Mutex, MutexGuard};

use domain::name::AttemptId;
use domain::time::Timestamp;
use engine::port::journal::{Entry, Error, Journal, State};
use engine::port::memory;

use crate::chance::Chance;

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Put(Vec<Entry>, Vec<AttemptId>),
    Sweep(Timestamp),
}

#[derive(Debug, Default)]
struct Kept {
    /// What is read.
    seen: memory::Journal,
    calls: Vec<Call>,
    synced: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Unsynced(Mutex<Kept>);

impl Unsynced {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nothing panics while the journal is held")
    }

    /// Something was synced after it in the same write-ahead log.
    pub(crate) fn sync(&self) {
        let mut kept = self.kept();
        kept.synced = kept.calls.len();
    }

    /// Loses some of the latest calls, if they were not synced. Gives how many.
    pub(crate) fn lose_power(&self, chance: &mut Chance) -> Result<usize, Error> {
        let mut kept = self.kept();
        let unsynced = kept.calls.len() - kept.synced;
        let lost = chance.below(unsynced as u64 + 1) as usize;
        let left = kept.calls.len() - lost;
        kept.calls.truncate(left);
        kept.synced = left;
        kept.seen = memory::Journal::default();
        for call in &kept.calls {
            call.carry_out(&kept.seen)?;
        }
        Ok(lost)
    }

    /// Everything is lost.
    pub(crate) fn lose_all(&self) {
        *self.kept() = Kept::default();
    }

    /// Whether it holds the answer to the attempt.
    pub(crate) fn has_answer(&self, attempt: &AttemptId) -> Result<bool, Error> {
        let entry = self.get(attempt)?;
        Ok(entry.is_some_and(|entry| matches!(entry.state, State::Answered(_) | State::Closed(_))))
    }

    fn call(&self, call: Call) -> Result<(), Error> {
        let mut kept = self.kept();
        call.carry_out(&kept.seen)?;
        kept.calls.push(call);
        Ok(())
    }
}

impl Call {
    fn carry_out(&self, journal: &memory::Journal) -> Result<(), Error> {
        match self {
            Self::Put(entries, gone) => journal.put(entries, gone),
            Self::Sweep(before) => journal.sweep(*before),
        }
    }
}

impl Journal for Unsynced {
    fn put(&self, entries: &[Entry], gone: &[AttemptId]) -> Result<(), Error> {
        self.call(Call::Put(entries.to_vec(), gone.to_vec()))
    }

    fn get(&self, attempt: &AttemptId) -> Result<Option<Entry>, Error> {
        self.kept().seen.get(attempt)
    }

    fn open(&self) -> Result<Vec<Entry>, Error> {
        self.kept().seen.open()
    }

    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        self.call(Call::Sweep(before))
    }
}
