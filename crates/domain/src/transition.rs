//! One transition: one outside input, all that follows from it inside, and the events decided.
//!
//! A run asks its target and hears the answer within the same transition, so the two never disagree in the log.
//! Tells run first in, first out, each on the state after all before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::decider::{Decider, IllegalEvent, Tell};
use crate::definition::{self, Definitions};
use crate::name::{RunId, StreamId, TargetId};
use crate::refusal::{Kind, Refusal};
use crate::run::{self, Run};
use crate::target::{self, Target};
use crate::time::Timestamp;

/// The most inputs in one transition. The runs under way at a target are bounded, and so is what one input can
/// lead to; more than this is a defect, and nothing of it is written.
pub const STEPS_MAX: usize = 64;

/// Something said to one stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Define(definition::Define),
    Run(RunId, run::Input),
    Target(TargetId, target::Input),
}

impl Input {
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Define(_) => StreamId::Definitions,
            Self::Run(run, _) => StreamId::Run(*run),
            Self::Target(target, _) => StreamId::Target(target.clone()),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Define(_) => "Define",
            Self::Run(_, input) => input.name(),
            Self::Target(_, input) => input.name(),
        }
    }
}

/// One stream's part: what it was told, and what it decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Definitions { input: definition::Define, events: Vec<definition::Event> },
    Run { run: RunId, input: run::Input, events: Vec<run::Event> },
    Target { target: TargetId, input: target::Input, events: Vec<target::Event> },
}

impl Step {
    pub fn stream(&self) -> StreamId {
        match self {
            Self::Definitions { .. } => StreamId::Definitions,
            Self::Run { run, .. } => StreamId::Run(*run),
            Self::Target { target, .. } => StreamId::Target(target.clone()),
        }
    }

    pub fn input_name(&self) -> &'static str {
        match self {
            Self::Definitions { .. } => "Define",
            Self::Run { input, .. } => input.name(),
            Self::Target { input, .. } => input.name(),
        }
    }

    pub fn event_names(&self) -> Vec<&'static str> {
        match self {
            Self::Definitions { events, .. } => events.iter().map(|_| "DefinitionRecorded").collect(),
            Self::Run { events, .. } => events.iter().map(run::Event::name).collect(),
            Self::Target { events, .. } => events.iter().map(target::Event::name).collect(),
        }
    }
}

/// All that one outside input led to. `refused` when the outside input itself was rejected; its step then has no
/// events.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub steps: Vec<Step>,
    pub refused: Option<Refusal>,
}

/// Where the streams are read from.
pub trait Streams {
    type Error;
    fn definitions(&mut self) -> Result<Arc<Definitions>, Self::Error>;
    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Self::Error>;
    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Self::Error>;
}

/// What a transition leaves behind, by stream; what it did not touch is absent.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    pub definitions: Option<Arc<Definitions>>,
    pub runs: BTreeMap<RunId, Arc<Run>>,
    pub targets: BTreeMap<TargetId, Arc<Target>>,
}

/// Why no transition came of an input.
#[derive(Debug, thiserror::Error)]
pub enum Failure<E> {
    #[error("failed to read a stream")]
    Read(#[source] E),
    /// `decide` emitted what `evolve` does not accept: a defect. The stream is quarantined, nothing is written.
    #[error("decided an event that does not fit, in {stream}")]
    Illegal {
        stream: StreamId,
        #[source]
        source: IllegalEvent,
    },
    /// Too much followed: a defect, never written.
    #[error("more than {STEPS_MAX} inputs follow from {input}")]
    TooWide { input: &'static str },
}

/// Decides one outside input and everything that follows from it.
pub fn transact<S: Streams>(
    streams: &mut S,
    outside: Input,
    now: Timestamp,
) -> Result<(Transition, Changed), Failure<S::Error>> {
    let name = outside.name();
    let mut changed = Changed::default();
    let mut steps = Vec::with_capacity(4);
    let mut waiting = VecDeque::from([outside]);
    while let Some(input) = waiting.pop_front() {
        if steps.len() == STEPS_MAX {
            return Err(Failure::TooWide { input: name });
        }
        let first = steps.is_empty();
        match one(streams, &mut changed, input, now)? {
            (step, Ok(tells)) => {
                steps.push(step);
                waiting.extend(tells.into_iter().map(|tell| match tell {
                    Tell::Run(run, input) => Input::Run(run, input),
                    Tell::Target(target, input) => Input::Target(target, input),
                }));
            }
            (step, Err(refusal)) if first => {
                return Ok((Transition { steps: vec![step], refused: Some(refusal) }, Changed::default()));
            }
            // A `no` to an inner input is an answer of its own; a stream that has nothing to say to it says nothing.
            (step, Err(_)) => steps.push(step),
        }
    }
    Ok((Transition { steps, refused: None }, changed))
}

type Answer = Result<Vec<Tell>, Refusal>;

fn one<S: Streams>(
    streams: &mut S,
    changed: &mut Changed,
    input: Input,
    now: Timestamp,
) -> Result<(Step, Answer), Failure<S::Error>> {
    match input {
        Input::Define(input) => {
            let state = match &changed.definitions {
                Some(state) => Arc::clone(state),
                None => streams.definitions().map_err(Failure::Read)?,
            };
            let (events, answer) = match state.decide(&input) {
                Ok(events) => (events, Ok(vec![])),
                Err(rejection) => (vec![], Err(rejection.refusal())),
            };
            let state = events.iter().fold(Definitions::clone(&state), Definitions::evolve);
            changed.definitions = Some(Arc::new(state));
            Ok((Step::Definitions { input, events }, answer))
        }
        Input::Run(id, input) => {
            let state = match changed.runs.get(&id) {
                Some(state) => Arc::clone(state),
                None => streams.run(id).map_err(Failure::Read)?,
            };
            let (events, answer) = split(state.decide(&input, now).map_err(|no| no.refusal()));
            let state = fold(&state, &events)
                .map_err(|source| Failure::Illegal { stream: StreamId::Run(id), source })?;
            changed.runs.insert(id, Arc::new(state));
            Ok((Step::Run { run: id, input, events }, answer))
        }
        Input::Target(id, input) => {
            let state = match changed.targets.get(&id) {
                Some(state) => Arc::clone(state),
                None => streams.target(&id).map_err(Failure::Read)?,
            };
            let (events, answer) = split(state.decide(&input, now).map_err(|no| no.refusal()));
            let state = fold(&state, &events)
                .map_err(|source| Failure::Illegal { stream: StreamId::Target(id.clone()), source })?;
            changed.targets.insert(id.clone(), Arc::new(state));
            Ok((Step::Target { target: id, input, events }, answer))
        }
    }
}

fn split<E>(decision: Result<crate::decider::Decision<E>, Refusal>) -> (Vec<E>, Answer) {
    match decision {
        Ok(decision) => (decision.events, Ok(decision.tells)),
        Err(refusal) => (vec![], Err(refusal)),
    }
}

fn fold<D: Decider>(state: &Arc<D>, events: &[D::Event]) -> Result<D, IllegalEvent> {
    events.iter().try_fold(D::clone(state), super::decider::Decider::evolve)
}

impl definition::Rejection {
    fn refusal(&self) -> Refusal {
        let (kind, code, hint) = match self {
            Self::TooLarge(_) => (Kind::Malformed, "TOO_LARGE", "cut the text into smaller workflows"),
            Self::NotEntitled(_) => (Kind::NotEntitled, "NOT_ENTITLED", "ask a holder of the role admin"),
        };
        Refusal { kind, code: code.into(), text: self.to_string(), hint: Some(hint.into()) }
    }
}
