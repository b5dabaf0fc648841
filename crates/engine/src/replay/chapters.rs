//! Whether chapters begin with what is true: the chapter before folded to its end, against what the next one carries.
//!
//! Every other reader believes a chapter, or it could not begin there.

use std::sync::Arc;

use domain::chapter::Chaptered;
use domain::name::{Digest, StreamId};
use domain::run::Run;
use domain::target::Target;
use domain::transition::Step;
use wire::codec::{Canonical, state_digest};
use wire::record::Recorded;

use super::{DIFFERENCES_MAX, States};
use crate::UNFENCED_SINCE;
use crate::fold::{self, Folded};

/// What verifying the chapters of a partition found.
#[derive(Debug, Clone, Default)]
pub struct Chapters {
    /// Chapters whose former one was folded, and compared.
    pub compared: u64,
    pub broken: u64,
    /// The first of them.
    pub broken_first: Vec<BrokenChapter>,
}

/// A chapter that does not begin with what the one before ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenChapter {
    pub seq: u64,
    pub stream: StreamId,
    /// As people count them.
    pub number: u32,
    /// Digests of the state that it carries, and of the one that the chapter before folds to.
    pub carried: Digest,
    pub folded: Digest,
}

impl Chapters {
    /// Compares the chapters that the record opens; `states` are those before it.
    pub(super) fn compare(&mut self, states: &States, seq: u64, recorded: &Recorded) {
        let (steps, now) = (&recorded.transition.steps, recorded.now);
        for (place, step) in steps.iter().enumerate() {
            match step {
                Step::Definitions { .. } => {}
                Step::Run { run, events, .. } => {
                    for (until, carried) in opened::<Run>(events) {
                        let Some(state) = readable(states.runs.get(run)) else { continue };
                        let state = fold::run_after(&state, *run, &before(steps, place, until), now);
                        self.add(seq, step, carried, &*state);
                    }
                }
                Step::Target { target, events, .. } => {
                    for (until, carried) in opened::<Target>(events) {
                        let Some(state) = readable(states.targets.get(target)) else { continue };
                        let mut state = fold::target_after(&state, target, &before(steps, place, until), now);
                        if recorded.decide_revision < UNFENCED_SINCE {
                            Arc::make_mut(&mut state).unfenced = None;
                        }
                        self.add(seq, step, carried, &*state);
                    }
                }
            }
        }
    }

    fn add<D: Chaptered + Canonical>(&mut self, seq: u64, step: &Step, carried: &D, ended: &D) {
        let (number, carried) = (carried.chapter().number(), state_digest(carried));
        let folded = state_digest(&ended.carried());
        self.compared += 1;
        if carried == folded {
            return;
        }
        self.broken += 1;
        if self.broken_first.len() < DIFFERENCES_MAX {
            self.broken_first.push(BrokenChapter { seq, stream: step.stream(), number, carried, folded });
        }
    }
}

/// The chapters among events: their places, and what they carry.
fn opened<'a, D: Chaptered + 'a>(events: &'a [D::Event]) -> impl Iterator<Item = (usize, &'a D)> {
    events.iter().enumerate().filter_map(|(place, event)| Some((place, D::carried_by(event)?)))
}

/// Of a chapter that this binary cannot read it cannot tell how it ends.
fn readable<D: Chaptered>(folded: Option<&Folded<D>>) -> Option<Arc<D>> {
    match folded {
        None => Some(Arc::default()),
        Some(folded) => folded.parked.is_none().then(|| Arc::clone(&folded.state)),
    }
}

/// The steps up to an event of the one at `place`.
fn before(steps: &[Step], place: usize, until: usize) -> Vec<Step> {
    let mut steps = steps[..=place].to_vec();
    match steps.last_mut() {
        Some(Step::Run { events, .. }) => events.truncate(until),
        Some(Step::Target { events, .. }) => events.truncate(until),
        Some(Step::Definitions { .. }) | None => {}
    }
    steps
}
