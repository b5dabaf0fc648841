//! One transition: one outside input, all that follows from it inside, and the events decided.
//!
//! A run asks its target and hears the answer within the same transition, so the two never disagree in the log.
//! Tells run first in, first out, each on the state after all before it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::chapter::{self, Bounds};
use crate::decider::{Decider, Decision, IllegalEvent, Tell};
use crate::definition::{self, Definitions};
use crate::evidence::Text;
use crate::name::{RunId, StreamId, TargetId};
use crate::quarantine::{HELD_FULL, Holds, Origin, Quarantine};
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

    /// Whether a stream decides what it held.
    fn releases(&self) -> bool {
        match self {
            Self::Define(_) => false,
            Self::Run(_, input) => Run::origin(input) == Origin::Release,
            Self::Target(_, input) => Target::origin(input) == Origin::Release,
        }
    }

    /// Whether it takes traffic away and must never wait.
    fn lowers(&self) -> bool {
        match self {
            Self::Define(_) => false,
            Self::Run(_, input) => matches!(input, run::Input::Abort { .. }),
            Self::Target(_, input) => {
                matches!(input, target::Input::Kill { .. } | target::Input::RollBack { .. })
            }
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

    /// Why the stream was quarantined in this step.
    pub fn quarantined(&self) -> Option<&Text> {
        match self {
            Self::Definitions { .. } => None,
            Self::Run { events, .. } => events.iter().find_map(|event| match event {
                run::Event::StreamQuarantined { why, .. } => Some(why),
                _ => None,
            }),
            Self::Target { events, .. } => events.iter().find_map(|event| match event {
                target::Event::StreamQuarantined { why, .. } => Some(why),
                _ => None,
            }),
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
    /// Whether the stream cannot be read by this binary, and is well otherwise.
    fn is_parked(error: &Self::Error) -> bool;
    fn definitions(&mut self) -> Result<Arc<Definitions>, Self::Error>;
    fn run(&mut self, run: RunId) -> Result<Arc<Run>, Self::Error>;
    fn target(&mut self, target: &TargetId) -> Result<Arc<Target>, Self::Error>;
    /// When streams are cut into chapters.
    fn chapters(&self) -> Bounds {
        Bounds::default()
    }
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
    /// A stream that should hear of it is quarantined and holds as much as it may.
    #[error("{refusal}")]
    Full { stream: StreamId, refusal: Refusal },
    /// Too much followed: a defect, never written.
    #[error("more than {STEPS_MAX} inputs follow from {input}")]
    TooWide { input: &'static str },
}

/// Sees each input before its stream decides it, but for those that a quarantined stream holds. For tests: a defect
/// of the core is what panics here.
pub type Watch<'a> = &'a dyn Fn(&StreamId, &'static str);

/// Decides one outside input and everything that follows from it. A stream whose decision fails is quarantined in
/// this transition; the others go on.
pub fn transact<S: Streams>(
    streams: &mut S,
    outside: Input,
    now: Timestamp,
) -> Result<(Transition, Changed), Failure<S::Error>> {
    transact_watched(streams, outside, now, None)
}

pub fn transact_watched<S: Streams>(
    streams: &mut S,
    outside: Input,
    now: Timestamp,
    watch: Option<Watch<'_>>,
) -> Result<(Transition, Changed), Failure<S::Error>> {
    let name = outside.name();
    let lowers = outside.lowers();
    let releasing = outside.releases().then(|| outside.stream());
    let scene = Scene { now, watch, releasing };
    let mut changed = Changed::default();
    let mut steps = Vec::with_capacity(4);
    let mut waiting = VecDeque::from([outside]);
    while let Some(input) = waiting.pop_front() {
        if steps.len() == STEPS_MAX {
            return Err(Failure::TooWide { input: name });
        }
        let first = steps.is_empty();
        let told_run = !first && matches!(input, Input::Run(..));
        let decided = match one(streams, &mut changed, input, &scene) {
            // A run that cannot be read cannot hear of it. Its target and the others go on.
            Err(Failure::Read(error)) if told_run && S::is_parked(&error) => continue,
            decided => decided?,
        };
        match decided {
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
            // Lowering comes first: it does not wait for who cannot hear it.
            (step, Err(refusal)) if refusal.code == HELD_FULL && !lowers => {
                return Err(Failure::Full { stream: step.stream(), refusal });
            }
            // A `no` to an inner input is an answer of its own; a stream that has nothing to say to it says nothing.
            (step, Err(_)) => steps.push(step),
        }
    }
    open_chapters(streams.chapters(), &mut steps, &mut changed, now);
    Ok((Transition { steps, refused: None }, changed))
}

type Answer = Result<Vec<Tell>, Refusal>;

/// What is the same for every step of a transition.
struct Scene<'a> {
    now: Timestamp,
    watch: Option<Watch<'a>>,
    /// The stream whose held input this transition releases.
    releasing: Option<StreamId>,
}

fn one<S: Streams>(
    streams: &mut S,
    changed: &mut Changed,
    input: Input,
    scene: &Scene<'_>,
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
            let (events, answer, state) = decided(&state, &input, &StreamId::Run(id), scene);
            changed.runs.insert(id, state);
            Ok((Step::Run { run: id, input, events }, answer))
        }
        Input::Target(id, input) => {
            let state = match changed.targets.get(&id) {
                Some(state) => Arc::clone(state),
                None => streams.target(&id).map_err(Failure::Read)?,
            };
            let (events, answer, state) = decided(&state, &input, &StreamId::Target(id.clone()), scene);
            changed.targets.insert(id.clone(), state);
            Ok((Step::Target { target: id, input, events }, answer))
        }
    }
}

/// Cuts the streams that are long and came to rest: the last of what they decided is a chapter.
fn open_chapters(bounds: Bounds, steps: &mut [Step], changed: &mut Changed, now: Timestamp) {
    for (id, state) in &mut changed.runs {
        let Some((carried, opened)) = chapter::begin(&**state, bounds.run_events_max, now) else { continue };
        *state = carried;
        let last = steps.iter_mut().rev().find_map(|step| match step {
            Step::Run { run, events, .. } if run == id => Some(events),
            Step::Run { .. } | Step::Target { .. } | Step::Definitions { .. } => None,
        });
        last.expect("what changed has a step").push(opened);
    }
    for (id, state) in &mut changed.targets {
        let Some((carried, opened)) = chapter::begin(&**state, bounds.target_events_max, now) else {
            continue;
        };
        *state = carried;
        let last = steps.iter_mut().rev().find_map(|step| match step {
            Step::Target { target, events, .. } if target == id => Some(events),
            Step::Run { .. } | Step::Target { .. } | Step::Definitions { .. } => None,
        });
        last.expect("what changed has a step").push(opened);
    }
}

/// One stream's decision, and its state after it. One that fails quarantines the stream, which then takes the input
/// as any quarantined stream does: it holds it, or lowers.
fn decided<D: Holds>(
    state: &Arc<D>,
    input: &D::Input,
    stream: &StreamId,
    scene: &Scene<'_>,
) -> (Vec<D::Event>, Answer, Arc<D>) {
    let now = scene.now;
    let seen = |name| scene.watch.map_or((), |watch| watch(stream, name));
    let origin = D::origin(input);
    let goes_on = state.holding().is_some_and(|holding| holding.quarantine.is_none());
    if goes_on && origin == Origin::Tell && scene.releasing.as_ref() == Some(stream) {
        let tried = attempt(|| {
            seen(D::input_name(input));
            folded(state, state.decide_ordinarily(input, now))
        });
        // What fails is held, and fails again when it is released: then the stream is quarantined.
        match tried {
            Ok(Ok((decision, after))) => return (decision.events, Ok(decision.tells), after),
            Ok(Err(refusal)) => return (vec![], Err(refusal), Arc::clone(state)),
            Err(_) => {}
        }
    }
    // The input that is decided as ordinary inputs are: not one that is about to be held.
    let ordinary = match (state.holding(), origin) {
        (None, _) => Some(input),
        (Some(holding), Origin::Release) => holding.held.first(),
        (Some(_), _) => None,
    };
    let tried = attempt(|| {
        if let Some(input) = ordinary {
            seen(D::input_name(input));
        }
        decide(state, input, now)
    });
    let why = match tried {
        Ok(Ok((decision, after))) => return (decision.events, Ok(decision.tells), after),
        Ok(Err(refusal)) => return (vec![], Err(refusal), Arc::clone(state)),
        Err(why) => format!("{} failed: {why}", D::input_name(ordinary.unwrap_or(input))),
    };
    if state.holding().is_some() && origin != Origin::Release {
        return (vec![], Err(still_fails(&why)), Arc::clone(state));
    }
    let quarantine =
        |holds_cause| D::quarantined(Quarantine { why: why.as_str().into(), since: now, holds_cause });
    let fold = |events: &[D::Event]| after(state, events);
    if origin == Origin::Release {
        let events = vec![quarantine(true)];
        return match fold(&events) {
            Ok(after) => (events, Ok(after.quarantine_tells()), after),
            Err(_) => (vec![], Err(still_fails(&why)), Arc::clone(state)),
        };
    }
    let mut events = vec![quarantine(false)];
    let taken = fold(&events).map_err(|illegal| illegal.to_string());
    let taken = taken.and_then(|after| attempt(|| decide(&after, input, now)));
    let mut tells = vec![];
    if let Ok(Ok((decision, after))) = taken {
        let holds_cause = after.holding().is_some_and(|holding| !holding.held.is_empty());
        events = vec![quarantine(holds_cause)];
        events.extend(decision.events);
        tells = decision.tells;
    }
    match fold(&events) {
        Ok(after) => {
            tells.extend(after.quarantine_tells());
            (events, Ok(tells), after)
        }
        Err(_) => (vec![], Err(still_fails(&why)), Arc::clone(state)),
    }
}

/// What a stream decides, and its state after it; or its refusal.
type Decides<D> = Result<(Decision<<D as Decider>::Event>, Arc<D>), Refusal>;

fn decide<D: Holds>(state: &Arc<D>, input: &D::Input, now: Timestamp) -> Result<Decides<D>, IllegalEvent> {
    folded(state, state.decide(input, now))
}

fn folded<D: Holds>(
    state: &Arc<D>,
    decided: Result<Decision<D::Event>, D::Rejection>,
) -> Result<Decides<D>, IllegalEvent> {
    match decided {
        Ok(decision) => {
            let after = after(state, &decision.events)?;
            Ok(Ok((decision, after)))
        }
        Err(rejection) => Ok(Err(D::refusal(&rejection))),
    }
}

/// The state after some events: the same one without any.
fn after<D: Decider>(state: &Arc<D>, events: &[D::Event]) -> Result<Arc<D>, IllegalEvent> {
    let mut after = Arc::clone(state);
    events.iter().try_for_each(|event| Arc::make_mut(&mut after).apply(event))?;
    Ok(after)
}

/// A panic and an illegal event are the same: a defect, in words.
fn attempt<T>(work: impl FnOnce() -> Result<T, IllegalEvent>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|illegal| illegal.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(format!("panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

fn still_fails(why: &str) -> Refusal {
    Refusal {
        kind: Kind::State,
        code: "STILL_FAILS".into(),
        text: format!("expected to decide on a quarantined stream, but {why}"),
        hint: Some("report this as a defect; a newer binary may decide it".into()),
    }
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
