//! The workers' journal in its column family: key = the attempt's text.
//!
//! ```text
//!  value = version(1) state(1) time order answer      of releases before: state(1) time answer
//! ```
//!
//! Each call is one batch, written to the operating system and not synced: the next step of the engine syncs it
//! along. A closed entry stays in the same place until it is swept: [`Journal::open`] reads over them, so sweep
//! now and then.

use domain::name::AttemptId;
use domain::time::Timestamp;
use engine::port::journal::{Entry, Error, Journal, State};
use rocksdb::{IteratorMode, WriteBatch};

use crate::bytes::{Malformed, Reader, put_bytes, put_number};
use crate::database::Database;
use crate::error;

/// Deletions of a sweep that are written together.
const SWEPT_PER_BATCH_MAX: usize = 1024;

impl Journal for Database {
    fn put(&self, entries: &[Entry], gone: &[AttemptId]) -> Result<(), Error> {
        if entries.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for entry in entries {
            batch.put_cf(self.journal_family(), entry.attempt.to_string(), encode(entry));
        }
        for attempt in gone {
            batch.delete_cf(self.journal_family(), attempt.to_string());
        }
        self.write_unsynced(batch).map_err(|error| Error::Io(error.into()))
    }

    fn get(&self, attempt: &AttemptId) -> Result<Option<Entry>, Error> {
        let found = self.db().get_pinned_cf(self.journal_family(), attempt.to_string()).map_err(read)?;
        let corrupt = |_| Error::Corrupt(attempt.clone());
        found.map(|bytes| decode(attempt.clone(), &bytes).map_err(corrupt)).transpose()
    }

    fn open(&self) -> Result<Vec<Entry>, Error> {
        let mut open = vec![];
        self.visit_entries(|entry| {
            if !matches!(entry.state, State::Closed(_)) {
                open.push(entry);
            }
            Ok(())
        })?;
        Ok(open)
    }

    fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        self.visit_entries(|entry| {
            if matches!(entry.state, State::Closed(_)) && entry.at < before {
                batch.delete_cf(self.journal_family(), entry.attempt.to_string());
            }
            if batch.len() >= SWEPT_PER_BATCH_MAX {
                self.write_unsynced(std::mem::take(&mut batch)).map_err(|error| Error::Io(error.into()))?;
            }
            Ok(())
        })?;
        if batch.is_empty() {
            Ok(())
        } else {
            self.write_unsynced(batch).map_err(|error| Error::Io(error.into()))
        }
    }
}

impl Database {
    fn visit_entries(&self, mut visit: impl FnMut(Entry) -> Result<(), Error>) -> Result<(), Error> {
        for item in self.db().iterator_cf(self.journal_family(), IteratorMode::Start) {
            let (key, bytes) = item.map_err(read)?;
            let text = String::from_utf8_lossy(&key);
            let attempt = AttemptId::parse(&text).map_err(|error| Error::Io(error.into()))?;
            let entry = decode(attempt.clone(), &bytes).map_err(|_| Error::Corrupt(attempt))?;
            visit(entry)?;
        }
        Ok(())
    }
}

fn read(error: rocksdb::Error) -> Error {
    Error::Io(error::Error::Read(error).into())
}

/// Greater than any state: values of before begin with theirs.
const VERSION: u8 = 16;

fn encode(entry: &Entry) -> Vec<u8> {
    let (state, answer): (u8, &[u8]) = match &entry.state {
        State::Taken => (0, &[]),
        State::Begun => (1, &[]),
        State::Answered(answer) => (2, answer),
        State::Closed(answer) => (3, answer),
    };
    let mut out = Vec::with_capacity(16 + entry.order.len() + answer.len());
    out.extend_from_slice(&[VERSION, state]);
    put_number(&mut out, entry.at.0);
    put_bytes(&mut out, &entry.order);
    out.extend_from_slice(answer);
    out
}

pub(crate) fn decode(attempt: AttemptId, bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut reader = Reader::new(bytes);
    let first = reader.byte()?;
    let has_order = first == VERSION;
    let kind = if has_order { reader.byte()? } else { first };
    let at = Timestamp(reader.number()?);
    let order = if has_order { reader.bytes()?.to_vec() } else { vec![] };
    let answer = reader.rest().to_vec();
    let state = match kind {
        0 => State::Taken,
        1 => State::Begun,
        2 => State::Answered(answer),
        3 => State::Closed(answer),
        _ => return Err(Malformed("a state of an attempt")),
    };
    Ok(Entry { attempt, state, order, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_an_older_release_still_reads() {
        let attempt = AttemptId::parse("flights@production.7").unwrap();
        for (kind, state) in [
            (0, State::Taken),
            (1, State::Begun),
            (2, State::Answered(b"answer".to_vec())),
            (3, State::Closed(b"answer".to_vec())),
        ] {
            let answer = if kind < 2 { &b""[..] } else { b"answer" };
            let old = [&[kind, 0x85, 0x01][..], answer].concat();
            let expected = Entry { attempt: attempt.clone(), state, order: vec![], at: Timestamp(133) };
            assert_eq!(decode(attempt.clone(), &old), Ok(expected.clone()));
            assert_eq!(decode(attempt.clone(), &encode(&expected)), Ok(expected), "as it is written today");
        }
        assert!(decode(attempt.clone(), &[VERSION, 9, 1, 0]).is_err(), "a state of a newer release");
        assert!(decode(attempt, &[VERSION, 0, 1, 9]).is_err(), "an order that is cut off");
    }
}
