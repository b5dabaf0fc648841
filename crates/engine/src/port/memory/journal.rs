//! A journal in a map.

use std::collections::BTreeMap;
use std::sync::Mutex;

use domain::name::AttemptId;
use domain::time::Timestamp;

use crate::port::journal::{self, Entry, Error, State};

#[derive(Debug, Default)]
pub struct Journal(Mutex<BTreeMap<String, Entry>>);

impl journal::Journal for Journal {
    fn put(&self, entries: &[Entry], gone: &[AttemptId]) -> Result<(), Error> {
        let mut known = self.0.lock().expect("no panic while the journal is held");
        known.extend(entries.iter().map(|entry| (entry.attempt.to_string(), entry.clone())));
        for attempt in gone {
            known.remove(&attempt.to_string());
        }
        Ok(())
    }

    fn get(&self, attempt: &AttemptId) -> Result<Option<Entry>, Error> {
        Ok(self.0.lock().expect("no panic while the journal is held").get(&attempt.to_string()).cloned())
    }

    fn open(&self) -> Result<Vec<Entry>, Error> {
        let known = self.0.lock().expect("no panic while the journal is held");
        Ok(known.values().filter(|entry| !matches!(entry.state, State::Closed(_))).cloned().collect())
    }

    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        let mut known = self.0.lock().expect("no panic while the journal is held");
        known.retain(|_, entry| !matches!(entry.state, State::Closed(_)) || entry.at >= before);
        Ok(())
    }
}
