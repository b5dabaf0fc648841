//! Reading a log for its history: folding to any record, verifying all of it, and one run's part.
//!
//! **Invariant:** nothing is done outside. Effects of a replayed state are shown, never sent out.
//!
//! Generic over where the records come from: a log, a view, an exported file.

mod chapters;
mod history;
mod read;
mod verify;

pub use chapters::{BrokenChapter, Chapters};
pub use history::{Entry, history};
pub use read::{ReadError, Reader, Step, from_log};
pub use verify::{DIFFERENCES_MAX, Difference, Report, verify, verify_with};

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chapter;
use domain::decider::Decider;
use domain::definition::Definitions;
use domain::name::{Digest, RunId, StreamId, TargetId};
use domain::quarantine::Holds;
use domain::run::Run;
use domain::target::Target;
use domain::transition;

use wire::codec::state_digest;

use crate::fold::{self, Folded};
use crate::port::row::Withheld;

/// Every stream of a partition at some record.
#[derive(Debug, Clone, Default)]
pub struct States {
    pub definitions: Arc<Definitions>,
    pub runs: BTreeMap<RunId, Folded<Run>>,
    pub targets: BTreeMap<TargetId, Folded<Target>>,
    /// When streams are cut, where inputs are decided on these states.
    pub chapters: chapter::Bounds,
}

impl States {
    /// Applies the record's events. A stream with one that does not fit is quarantined from here on.
    pub fn apply(&mut self, seq: u64, recorded: &wire::record::Recorded) {
        let steps = &recorded.transition.steps;
        let unread = recorded.unread.iter().map(|(stream, _)| stream.clone());
        let mut touched: Vec<StreamId> = steps.iter().map(transition::Step::stream).chain(unread).collect();
        touched.sort();
        touched.dedup();
        for stream in touched {
            match &stream {
                StreamId::Definitions => {
                    self.definitions = fold::definitions_after(&self.definitions, steps);
                }
                StreamId::Run(run) => {
                    let folded = self.runs.entry(*run).or_default();
                    *folded = folded.and(&stream, seq, recorded, |state, steps, now| {
                        fold::run_after(state, *run, steps, now)
                    });
                }
                StreamId::Target(target) => {
                    let folded = self.targets.entry(target.clone()).or_default();
                    *folded = folded.and(&stream, seq, recorded, |state, steps, now| {
                        fold::target_after(state, target, steps, now)
                    });
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

    /// A digest of all states: the same for the same history, in every build. Shown and compared, never recorded.
    pub fn hash(&self) -> Digest {
        let runs = self.runs.iter().map(|(run, folded)| [Digest::of(&run.0), state_digest(&*folded.state)]);
        let targets = self.targets.iter().map(|(target, folded)| {
            [Digest::of(target.to_string().as_bytes()), state_digest(&*folded.state)]
        });
        let definitions = [state_digest(&*self.definitions)];
        let parts: Vec<Digest> = definitions.into_iter().chain(runs.chain(targets).flatten()).collect();
        Digest::of_parts(parts.iter().map(|part| &part.0[..]))
    }
}

fn withheld<D: Holds>(folded: &Folded<D>) -> Withheld {
    fold::withheld(&*folded.state, folded.parked.as_deref())
}

/// This binary cannot read one of the stream's records.
#[derive(Debug, thiserror::Error)]
#[error("the stream needs an upgrade: {0}")]
pub struct Parked(Arc<str>);

fn readable<D: Decider>(folded: Option<&Folded<D>>) -> Result<Arc<D>, Parked> {
    match folded {
        None => Ok(Arc::default()),
        Some(Folded { parked: Some(why), .. }) => Err(Parked(Arc::clone(why))),
        Some(folded) => Ok(Arc::clone(&folded.state)),
    }
}

impl transition::Streams for States {
    type Error = Parked;

    fn is_parked(_: &Parked) -> bool {
        true
    }

    fn definitions(&mut self) -> Result<Arc<Definitions>, Self::Error> {
        Ok(Arc::clone(&self.definitions))
    }

    fn chapters(&self) -> chapter::Bounds {
        self.chapters
    }

    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Self::Error> {
        readable(self.runs.get(&run))
    }

    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Self::Error> {
        readable(self.targets.get(target))
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
