//! Reading a partition from its first record on: the states after each, and at the end what all streams came to.

use std::collections::BTreeMap;

use domain::decider::IllegalEvent;
use domain::name::{Digest, RunId, StreamId};
use domain::transition::{Changed, Step as Said};
use wire::record::{Body, Recorded};

use super::read::{dense, landed};
use super::shelf::{Again, Laid, RUNS_KEPT_MAX, Shelf};
use super::{ReadError, Reader, States, Step};
use crate::chain;
use crate::port::log::{Landed, Log};
use crate::port::row::Withheld;
use crate::port::store::Head;

/// What folding a whole log came to.
#[derive(Debug, Clone)]
pub struct Folding {
    pub head: Head,
    pub transitions: u64,
    /// Streams on which nothing is decided at the end: quarantined, or parked.
    pub withheld: Vec<(StreamId, Withheld)>,
    /// Of all states at the end.
    pub state: Digest,
}

/// Folds the records of a partition up to and including `upto`.
pub fn fold<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    reader: Reader,
    upto: u64,
) -> Result<States, ReadError> {
    let mut walk = Walk::whole(reader);
    for landed in dense(records) {
        if walk.reader.head().seq >= upto {
            break;
        }
        if let Some((seq, recorded)) = walk.read(&landed?)? {
            walk.apply(seq, &recorded, Changed::default());
        }
    }
    Ok(walk.states)
}

/// Folds a partition of a log whole, in bounded memory. `seen` hears the length of each record.
pub fn fold_log(
    log: &dyn Log,
    partition: u32,
    reader: Reader,
    seen: &dyn Fn(usize),
) -> Result<Folding, ReadError> {
    fold_log_keeping(log, partition, reader, RUNS_KEPT_MAX, seen)
}

pub(super) fn fold_log_keeping(
    log: &dyn Log,
    partition: u32,
    reader: Reader,
    kept_max: usize,
    seen: &dyn Fn(usize),
) -> Result<Folding, ReadError> {
    let again = again(log, partition);
    // A record with an event that does not fit leaves its stream as it was. That is rare, and known only afterwards:
    // then all is read once more, keeping each state until the next has come of it.
    let walk = Walk::laying_aside(reader.clone(), kept_max, &again);
    if let Some(folding) = folding(walk, log, partition, seen, quickly)? {
        return Ok(folding);
    }
    let walk = Walk::laying_aside(reader, kept_max, &again);
    let folding = folding(walk, log, partition, &|_| {}, carefully)?;
    Ok(folding.expect("careful folding takes every event"))
}

/// Takes a record's events; whether all fitted.
type Take = fn(&mut Walk<'_>, u64, &Recorded) -> bool;

fn quickly(walk: &mut Walk<'_>, seq: u64, recorded: &Recorded) -> bool {
    walk.take_in(seq, recorded).is_ok()
}

fn carefully(walk: &mut Walk<'_>, seq: u64, recorded: &Recorded) -> bool {
    walk.apply(seq, recorded, Changed::default());
    true
}

/// Nothing when an event did not fit.
fn folding(
    mut walk: Walk<'_>,
    log: &dyn Log,
    partition: u32,
    seen: &dyn Fn(usize),
    take: Take,
) -> Result<Option<Folding>, ReadError> {
    for landed in landed(log, partition) {
        let landed = landed?;
        seen(landed.bytes.len());
        if let Some((seq, recorded)) = walk.read(&landed)?
            && !take(&mut walk, seq, &recorded)
        {
            return Ok(None);
        }
    }
    let Walked { head, losers_at_end, states, laid } = walk.end();
    if log.has_one_writer() {
        chain::one_writer_ends(head.seq, losers_at_end)
            .map_err(|source| ReadError::Broken { after: head.seq, source })?;
    }
    let (state, withheld) = (states.hash_with(&laid), states.withheld_with(&laid));
    Ok(Some(Folding { head, transitions: states.transitions, withheld, state }))
}

/// How one record of a log is got again.
pub(super) fn again(log: &dyn Log, partition: u32) -> impl Fn(u64) -> Result<Vec<u8>, ReadError> {
    move |offset| {
        let landed = log.read(partition, offset, 1)?.into_iter().next();
        let landed = landed.filter(|landed| landed.offset == offset);
        landed.map(|landed| landed.bytes).ok_or(ReadError::Gone { offset })
    }
}

/// A reader and what its records came to so far.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    reader: Reader,
    pub states: States,
    shelf: Option<Shelf<'a>>,
}

/// The end of a walk.
pub(super) struct Walked {
    pub head: Head,
    /// Records behind the last accepted one, none of which follows it.
    pub losers_at_end: u64,
    pub states: States,
    pub laid: BTreeMap<RunId, Laid>,
}

impl<'a> Walk<'a> {
    /// Keeps every run.
    pub(super) fn whole(reader: Reader) -> Self {
        Self { reader, states: States::default(), shelf: None }
    }

    /// Keeps at most so many runs; of others it reads the records again.
    pub(super) fn laying_aside(reader: Reader, kept_max: usize, again: Again<'a>) -> Self {
        let shelf = Shelf::new(reader.identity().partition, kept_max, again);
        Self { reader, states: States::default(), shelf: Some(shelf) }
    }

    /// The next record, when it is a transition that was accepted. The runs that it touches are at hand.
    pub(super) fn read(&mut self, landed: &Landed) -> Result<Option<(u64, Box<Recorded>)>, ReadError> {
        let Step::Accepted(record) = self.reader.read_at(landed.offset, &landed.bytes)? else {
            return Ok(None);
        };
        let Body::Transition(recorded) = record.body else { return Ok(None) };
        if let Some(shelf) = &mut self.shelf {
            let mut touched = touched_runs(&recorded);
            touched.sort_unstable();
            touched.dedup();
            for run in touched {
                shelf.touch(&mut self.states, self.reader.known(), run, landed.offset)?;
            }
        }
        Ok(Some((record.seq, recorded)))
    }

    /// Takes its events, and what deciding them again gave, where that is the same.
    pub(super) fn apply(&mut self, seq: u64, recorded: &Recorded, mut changed: Changed) {
        self.states.apply_decided(seq, recorded, &mut changed);
        if let Some(shelf) = &mut self.shelf {
            shelf.shrink(&mut self.states);
        }
    }

    /// Takes its events, without keeping the states before it.
    fn take_in(&mut self, seq: u64, recorded: &Recorded) -> Result<(), IllegalEvent> {
        self.states.take_in(seq, recorded)?;
        if let Some(shelf) = &mut self.shelf {
            shelf.shrink(&mut self.states);
        }
        Ok(())
    }

    pub(super) fn end(self) -> Walked {
        let laid = self.shelf.map(Shelf::into_laid).unwrap_or_default();
        let (head, losers_at_end) = (self.reader.head().clone(), self.reader.losers_at_end());
        Walked { head, losers_at_end, states: self.states, laid }
    }
}

fn touched_runs(recorded: &Recorded) -> Vec<RunId> {
    let told = recorded.transition.steps.iter().filter_map(|step| match step {
        Said::Run { run, .. } => Some(*run),
        Said::Target { .. } | Said::Definitions { .. } => None,
    });
    let unread = recorded.unread.iter().filter_map(|(stream, _)| match stream {
        StreamId::Run(run) => Some(*run),
        StreamId::Target(_) | StreamId::Definitions => None,
    });
    told.chain(unread).collect()
}
