//! Reading a log for its history: folding to any record, verifying all of it, and one run's part.
//!
//! **Invariant:** nothing is done outside. Effects of a replayed state are shown, never sent out.
//!
//! Generic over where the records come from: a log, a view, an exported file.

mod chapters;
mod copy;
mod history;
mod read;
mod shelf;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

pub use chapters::{BrokenChapter, Chapters};
pub use copy::{Copied, CopyError, copy};
pub use history::{Entry, history};
pub use read::{ReadError, Reader, Step, from_log};
pub use shelf::Laid;
pub use verify::{DIFFERENCES_MAX, Difference, Report, verify, verify_log, verify_with};
pub use walk::{Folding, fold, fold_log};

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chapter;
use domain::decider::{Decider, IllegalEvent};
use domain::definition::Definitions;
use domain::name::{Digest, RunId, StreamId, TargetId};
use domain::quarantine::Holds;
use domain::run::Run;
use domain::target::Target;
use domain::transition;

use wire::codec::state_digest;
use wire::record::Recorded;

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
    /// How many transitions were applied.
    pub transitions: u64,
}

impl States {
    /// Applies the record's events. A stream with one that does not fit is quarantined from here on.
    pub fn apply(&mut self, seq: u64, recorded: &Recorded) {
        self.apply_decided(seq, recorded, &mut transition::Changed::default());
    }

    /// The same, for streams of which it is known already what deciding the same events made of them.
    fn apply_decided(&mut self, seq: u64, recorded: &Recorded, changed: &mut transition::Changed) {
        self.transitions += 1;
        let steps = &recorded.transition.steps;
        for stream in touched(recorded) {
            match &stream {
                StreamId::Definitions => {
                    self.definitions = fold::definitions_after(&self.definitions, steps);
                }
                StreamId::Run(run) => {
                    let folded = self.runs.entry(*run).or_default();
                    let decided = changed.runs.remove(run);
                    *folded = folded.and(&stream, seq, recorded, |state, steps, now| {
                        decided.unwrap_or_else(|| fold::run_after(state, *run, steps, now))
                    });
                }
                StreamId::Target(target) => {
                    let folded = self.targets.entry(target.clone()).or_default();
                    let decided = changed.targets.remove(target);
                    *folded = folded.and(&stream, seq, recorded, |state, steps, now| {
                        decided.unwrap_or_else(|| fold::target_after(state, target, steps, now))
                    });
                }
            }
        }
    }

    /// The same without keeping the states before it. When an event does not fit, what is left is of no use.
    fn take_in(&mut self, seq: u64, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let (now, steps) = (recorded.now, &recorded.transition.steps);
        let streams = touched(recorded);
        let is_parked = |stream: &StreamId| match stream {
            StreamId::Definitions => false,
            StreamId::Run(run) => self.runs.get(run).is_some_and(|folded| folded.parked.is_some()),
            StreamId::Target(target) => {
                self.targets.get(target).is_some_and(|folded| folded.parked.is_some())
            }
        };
        if !recorded.unread.is_empty() || streams.iter().any(is_parked) {
            self.apply(seq, recorded);
            return Ok(());
        }
        self.transitions += 1;
        for stream in streams {
            match stream {
                StreamId::Definitions => {
                    self.definitions = fold::definitions_after(&self.definitions, steps);
                }
                StreamId::Run(run) => {
                    let folded = self.runs.entry(run).or_default();
                    folded.take_in(seq, now, fold::run_events(run, steps))?;
                }
                StreamId::Target(target) => {
                    let events = fold::target_events(&target, steps);
                    self.targets.entry(target.clone()).or_default().take_in(seq, now, events)?;
                }
            }
        }
        Ok(())
    }

    /// Why nothing is decided on some streams, by their names.
    pub fn withheld(&self) -> Vec<(StreamId, Withheld)> {
        self.withheld_with(&BTreeMap::new())
    }

    /// A digest of all states: the same for the same history, in every build. Shown and compared, never recorded.
    pub fn hash(&self) -> Digest {
        self.hash_with(&BTreeMap::new())
    }

    /// The same with runs that are laid aside.
    fn withheld_with(&self, laid: &BTreeMap<RunId, Laid>) -> Vec<(StreamId, Withheld)> {
        let here = self.runs.iter().map(|(run, folded)| (*run, withheld(folded)));
        let laid =
            laid.iter().filter_map(|(run, laid)| Some((*run, Withheld::clone(laid.withheld.as_ref()?))));
        let runs: BTreeMap<RunId, Withheld> =
            here.chain(laid).filter(|(_, withheld)| *withheld != Withheld::default()).collect();
        let targets =
            self.targets.iter().map(|(id, folded)| (StreamId::Target(id.clone()), withheld(folded)));
        let targets = targets.filter(|(_, withheld)| *withheld != Withheld::default());
        runs.into_iter().map(|(run, withheld)| (StreamId::Run(run), withheld)).chain(targets).collect()
    }

    /// The same with runs that are laid aside.
    fn hash_with(&self, laid: &BTreeMap<RunId, Laid>) -> Digest {
        let here = self.runs.iter().map(|(run, folded)| (*run, state_digest(&*folded.state)));
        let runs: BTreeMap<RunId, Digest> =
            here.chain(laid.iter().map(|(run, laid)| (*run, laid.state))).collect();
        let runs = runs.iter().map(|(run, state)| [Digest::of(&run.0), *state]);
        let targets = self.targets.iter().map(|(target, folded)| {
            [Digest::of(target.to_string().as_bytes()), state_digest(&*folded.state)]
        });
        let definitions = [state_digest(&*self.definitions)];
        let parts: Vec<Digest> = definitions.into_iter().chain(runs.chain(targets).flatten()).collect();
        Digest::of_parts(parts.iter().map(|part| &part.0[..]))
    }
}

/// The streams that a record touches, each once.
fn touched(recorded: &Recorded) -> Vec<StreamId> {
    let mut touched = Vec::with_capacity(4);
    let steps = recorded.transition.steps.iter().map(transition::Step::stream);
    for stream in steps.chain(recorded.unread.iter().map(|(stream, _)| stream.clone())) {
        if !touched.contains(&stream) {
            touched.push(stream);
        }
    }
    touched
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
