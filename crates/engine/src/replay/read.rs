//! A reader of records by the rule of [`crate::chain`], with the definitions that it met on the way.

use domain::name::RunId;
use wire::codec::{Definitions, Parsers};
use wire::record::{self, Record};

use crate::chain::{self, Identity};
use crate::code::Stopped;
use crate::port::log::{self, Landed, Log};
use crate::port::store::Head;

/// How many records are asked of a log at once.
const RECORDS_MAX: usize = 1_024;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("failed to get records")]
    Source(#[from] log::Error),
    #[error("failed to read the record after {after}")]
    Unreadable {
        after: u64,
        #[source]
        source: record::Error,
    },
    #[error("failed to accept the record after {after}")]
    Broken {
        after: u64,
        #[source]
        source: Stopped,
    },
    #[error("failed to read the record at offset {offset} again: it is gone")]
    Gone { offset: u64 },
    #[error("failed to read the records of run {run} again up to offset {at}: they came to something else")]
    Changed { run: RunId, at: u64 },
}

impl From<std::convert::Infallible> for ReadError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// What a record was.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Accepted(Box<Record>),
    Loser,
}

#[derive(Debug, Clone)]
pub struct Reader {
    identity: Identity,
    head: Head,
    losers_at_end: u64,
    known: Definitions,
}

impl Reader {
    /// Stands before the first record.
    pub fn new(identity: Identity, parsers: Parsers) -> Self {
        Self {
            identity,
            head: chain::before_first(identity),
            losers_at_end: 0,
            known: Definitions::new(parsers),
        }
    }

    /// Which log it expects.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Of the last accepted record.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Records since the last accepted one, none of which follows it.
    pub fn losers_at_end(&self) -> u64 {
        self.losers_at_end
    }

    /// The definitions met so far.
    pub fn known(&self) -> &Definitions {
        &self.known
    }

    /// The same of a record whose place is known: a log may leave out those that do not follow.
    pub fn read_at(&mut self, offset: u64, bytes: &[u8]) -> Result<Step, ReadError> {
        self.head.next_offset = offset;
        self.read(bytes)
    }

    pub fn read(&mut self, bytes: &[u8]) -> Result<Step, ReadError> {
        let after = self.head.seq;
        let unreadable = |source| ReadError::Unreadable { after, source };
        let broken = |source| ReadError::Broken { after, source };
        let opened = match record::open(bytes) {
            Ok(opened) if opened.follows(&self.head.hash) => opened,
            // Of one that does not follow, no more is asked than whether it proves a gap.
            opened => {
                let peek = record::peek(bytes).map_err(unreadable)?;
                if chain::fits(&self.head, &peek).map_err(broken)? {
                    opened.map_err(unreadable)?
                } else {
                    self.head.losers += 1;
                    self.losers_at_end += 1;
                    self.head.next_offset += 1;
                    return Ok(Step::Loser);
                }
            }
        };
        opened.register(&mut self.known).map_err(unreadable)?;
        let record = opened.decode(&self.known).map_err(unreadable)?;
        let next = chain::follow(&self.head, self.identity, &record, record::hash(bytes)).map_err(broken)?;
        self.losers_at_end = 0;
        self.head = Head { next_offset: self.head.next_offset + 1, ..next };
        Ok(Step::Accepted(Box::new(record)))
    }
}

/// The records of a partition, from its first.
pub fn from_log(log: &dyn Log, partition: u32) -> impl Iterator<Item = Result<Vec<u8>, log::Error>> {
    landed(log, partition).map(|landed| landed.map(|landed| landed.bytes))
}

/// The same with their places.
pub(super) fn landed(log: &dyn Log, partition: u32) -> impl Iterator<Item = Result<Landed, log::Error>> {
    let mut next = 0;
    let mut page = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if page.len() == 0 {
            match log.read(partition, next, RECORDS_MAX) {
                Ok(records) => page = records.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        let landed: Landed = page.next()?;
        next = landed.offset + 1;
        Some(Ok(landed))
    })
}

/// Records that came without their places: one after another.
pub(super) fn dense<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
) -> impl Iterator<Item = Result<Landed, ReadError>> {
    (0..).zip(records).map(|(offset, bytes)| Ok(Landed { offset, bytes: bytes.map_err(Into::into)? }))
}
