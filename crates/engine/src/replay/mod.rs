//! Reading a log for its history: folding to any record, verifying all of it, and one run's part.
//!
//! **Invariant:** nothing is done outside. Effects of a replayed state are shown, never sent out.
//!
//! Generic over where the records come from: a log, a view, an exported file.

mod history;
mod read;
mod verify;

pub use history::{Entry, history};
pub use read::{ReadError, Reader, Step, from_log};
pub use verify::{DIFFERENCES_MAX, Difference, Report, verify};

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::definition::Definitions;
use domain::name::{Digest, RunId, StreamId, TargetId};
use domain::quarantine::Holds;
use domain::run::Run;
use domain::target::Target;
use domain::transition;

use crate::fold::{self, Folded};
use crate::port::row::Withheld;

/// Every stream of a partition at some record.
#[derive(Debug, Clone, Default)]
pub struct States {
    pub definitions: Arc<Definitions>,
    pub runs: BTreeMap<RunId, Folded<Run>>,
    pub targets: BTreeMap<TargetId, Folded<Target>>,
}

impl States {
    /// Applies the record's events. A stream with one that does not fit is quarantined from here on.
    pub fn apply(&mut self, seq: u64, recorded: &wire::record::Recorded) {
        let steps = &recorded.transition.steps;
        let mut touched: Vec<StreamId> = steps.iter().map(transition::Step::stream).collect();
        touched.sort();
        touched.dedup();
        for stream in touched {
            match &stream {
                StreamId::Definitions => {
                    self.definitions = fold::definitions_after(&self.definitions, steps);
                }
                StreamId::Run(run) => {
                    let folded = self.runs.entry(*run).or_default();
                    let state = fold::run_after(&folded.state, *run, steps, recorded.now);
                    *folded = folded.with(state, seq, recorded.now);
                }
                StreamId::Target(target) => {
                    let folded = self.targets.entry(target.clone()).or_default();
                    let state = fold::target_after(&folded.state, target, steps, recorded.now);
                    *folded = folded.with(state, seq, recorded.now);
                }
            }
        }
    }

    /// Why nothing is decided on some streams, by their names.
    pub fn withheld(&self) -> Vec<(StreamId, Withheld)> {
        let runs = self.runs.iter().map(|(run, folded)| (StreamId::Run(*run), withheld(folded)));
        let targets =
            self.targets.iter().map(|(id, folded)| (StreamId::Target(id.clone()), withheld(folded)));
        runs.chain(targets).filter(|(_, withheld)| *withheld != Withheld::default()).collect()
    }

    /// A digest of all states: the same for the same history, in every build of this release. Shown and compared,
    /// never recorded.
    pub fn hash(&self) -> Digest {
        let definitions = format!("{:?}", self.definitions);
        let runs = self.runs.iter().map(|(run, folded)| format!("{run} {:?}", folded.state));
        let targets = self.targets.iter().map(|(target, folded)| format!("{target} {:?}", folded.state));
        let parts: Vec<String> = std::iter::once(definitions).chain(runs).chain(targets).collect();
        Digest::of_parts(parts.iter().map(String::as_bytes))
    }
}

fn withheld<D: Holds>(folded: &Folded<D>) -> Withheld {
    fold::withheld(&*folded.state, folded.parked.as_deref())
}

impl transition::Streams for States {
    type Error = std::convert::Infallible;

    fn definitions(&mut self) -> Result<Arc<Definitions>, Self::Error> {
        Ok(Arc::clone(&self.definitions))
    }

    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Self::Error> {
        Ok(self.runs.get(&run).map(|folded| Arc::clone(&folded.state)).unwrap_or_default())
    }

    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Self::Error> {
        Ok(self.targets.get(target).map(|folded| Arc::clone(&folded.state)).unwrap_or_default())
    }
}

/// Folds the records of a partition up to and including `upto`.
pub fn fold<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    mut reader: Reader,
    upto: u64,
) -> Result<States, ReadError> {
    let mut states = States::default();
    for bytes in records {
        if reader.head().seq >= upto {
            break;
        }
        if let Step::Accepted(record) = reader.read(&bytes.map_err(Into::into)?)?
            && let wire::record::Body::Transition(recorded) = &record.body
        {
            states.apply(record.seq, recorded);
        }
    }
    Ok(states)
}
