//! Runs that no record touched for long, laid aside while a whole log is read: what is kept of each is where its
//! records are and digests of what it came to. So memory does not grow with the states of all runs that ever were.
//!
//! ```text
//!  states   the runs touched last, whole            at most `kept_max`
//!  shelf    every run: offsets, and when laid aside a digest of its state and one of its row
//! ```
//!
//! **Invariant:** a run that is touched again is folded again from its own records, and comes to the state that was
//! laid aside.

use std::collections::BTreeMap;

use domain::name::{Digest, RunId, StreamId};
use wire::codec::{Resolve, state_digest};
use wire::record::{self, Body};

use super::{ReadError, States};
use crate::fold::{self, Folded};
use crate::port::row::{RunRow, Withheld};

/// How many runs are kept whole while a log is verified.
pub(super) const RUNS_KEPT_MAX: usize = 4_096;

/// Gives a record of the log again, by its offset.
pub(super) type Again<'a> = &'a dyn Fn(u64) -> Result<Vec<u8>, ReadError>;

pub(super) struct Shelf<'a> {
    partition: u32,
    kept_max: usize,
    again: Again<'a>,
    runs: BTreeMap<RunId, Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// Of its records.
    offsets: Vec<u64>,
    laid: Option<Laid>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    pub(super) state: Digest,
    pub(super) row: Option<Digest>,
    pub(super) withheld: Option<Box<Withheld>>,
}

/// The digest of a row, as it is compared.
pub(super) fn row_digest(row: &RunRow) -> Digest {
    Digest::of(&row.to_bytes())
}

impl std::fmt::Debug for Shelf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shelf({} runs, {} whole at most)", self.runs.len(), self.kept_max)
    }
}

impl<'a> Shelf<'a> {
    pub(super) fn new(partition: u32, kept_max: usize, again: Again<'a>) -> Self {
        Self { partition, kept_max, again, runs: BTreeMap::new() }
    }

    /// Has the run at hand, whose next record is at this offset.
    pub(super) fn touch(
        &mut self,
        states: &mut States,
        known: &dyn Resolve,
        run: RunId,
        offset: u64,
    ) -> Result<(), ReadError> {
        let place = self.runs.entry(run).or_default();
        if let Some(laid) = place.laid.take() {
            let folded = fold_again(run, &place.offsets, known, self.again)?;
            if state_digest(&*folded.state) != laid.state {
                return Err(ReadError::Changed { run, at: offset });
            }
            states.runs.insert(run, folded);
        }
        place.offsets.push(offset);
        Ok(())
    }

    /// Lays aside the runs that were not touched for longest, when there are too many.
    pub(super) fn shrink(&mut self, states: &mut States) {
        if states.runs.len() <= self.kept_max {
            return;
        }
        let mut touched: Vec<u64> = states.runs.values().map(|folded| folded.last_seq).collect();
        touched.sort_unstable_by(|a, b| b.cmp(a));
        // A quarter at once: it is rare, then.
        let kept_from = touched.get(self.kept_max * 3 / 4).map_or(0, |seq| seq + 1);
        for (run, folded) in states.runs.extract_if(.., |_, folded| folded.last_seq < kept_from) {
            let place = self.runs.entry(run).or_default();
            place.offsets.shrink_to_fit();
            place.laid = Some(laid(self.partition, &folded));
        }
    }

    /// What all those came to that are not at hand.
    pub(super) fn into_laid(self) -> BTreeMap<RunId, Laid> {
        self.runs.into_iter().filter_map(|(run, place)| Some((run, place.laid?))).collect()
    }
}

fn laid(partition: u32, folded: &Folded<domain::run::Run>) -> Laid {
    let withheld = super::withheld(folded);
    Laid {
        state: state_digest(&*folded.state),
        row: fold::run_row(partition, folded).as_ref().map(row_digest),
        withheld: (withheld != Withheld::default()).then(|| Box::new(withheld)),
    }
}

fn fold_again(
    run: RunId,
    offsets: &[u64],
    known: &dyn Resolve,
    again: Again<'_>,
) -> Result<Folded<domain::run::Run>, ReadError> {
    let stream = StreamId::Run(run);
    let mut folded = Folded::default();
    for offset in offsets {
        let unreadable = |source| ReadError::Unreadable { after: *offset, source };
        let record = record::decode(&again(*offset)?, known).map_err(unreadable)?;
        let Body::Transition(recorded) = record.body else {
            return Err(ReadError::Changed { run, at: *offset });
        };
        folded = folded
            .and(&stream, record.seq, &recorded, |state, steps, now| fold::run_after(state, run, steps, now));
    }
    Ok(folded)
}
