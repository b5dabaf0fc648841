//! One stream folded: its state, what the world must be doing about it, and which records it is made of.

use std::sync::{Arc, OnceLock};

use domain::chapter::Chaptered;
use domain::decider::{Decider, IllegalEvent};
use domain::definition;
use domain::effect::Effect;
use domain::name::{AttemptId, RunId, StreamId, TargetId};
use domain::quarantine::{self, Holding, Holds};
use domain::run::{self, Run};
use domain::target::{self, Target};
use domain::time::Timestamp;
use domain::transition::Step;
use domain::work::Command;

use wire::record::Recorded;

use crate::port::row::{ChapterAt, RunRow, TargetRow, Withheld};

#[derive(Debug, Clone)]
pub struct Folded<D: Decider> {
    pub state: Arc<D>,
    /// Told when first asked for: most states on the way to a later one are never asked.
    effects: OnceLock<Arc<Vec<D::Effect>>>,
    /// When its last record was decided.
    pub updated_at: Timestamp,
    pub last_seq: u64,
    /// How many records touch it.
    pub transitions: u64,
    /// Why it cannot be folded further, here: this binary cannot read one of its records.
    pub parked: Option<Arc<str>>,
    /// Where its last chapter begins; nothing in its first.
    pub chapter: Option<ChapterAt>,
}

impl<D: Decider> Default for Folded<D> {
    fn default() -> Self {
        Self {
            state: Arc::new(D::default()),
            effects: OnceLock::new(),
            updated_at: Timestamp(0),
            last_seq: 0,
            transitions: 0,
            parked: None,
            chapter: None,
        }
    }
}

impl<D: Chaptered> Folded<D> {
    /// Before the records from this chapter on, which are all that is needed.
    pub fn before(chapter: Option<ChapterAt>) -> Self {
        let transitions = chapter.map_or(0, |chapter| chapter.before);
        Self { transitions, chapter, ..Self::default() }
    }

    /// Adds one record: its events, as `fold` applies them, or none from the first on that cannot be read here until
    /// a chapter begins that can.
    #[must_use]
    pub fn and(
        &self,
        stream: &StreamId,
        seq: u64,
        recorded: &Recorded,
        fold: impl FnOnce(&Arc<D>, &[Step], Timestamp) -> Arc<D>,
    ) -> Self {
        let unread = recorded.unread.iter().find(|(unread, _)| unread == stream);
        if unread.is_none() {
            let state = fold(&self.state, &recorded.transition.steps, recorded.now);
            if self.parked.is_none() || self.opens_chapter(&state) {
                return self.with(state, seq, recorded.now);
            }
        }
        let parked = self.parked.clone().or_else(|| unread.map(|(_, why)| why.as_str().into()));
        let (state, effects) = (Arc::clone(&self.state), OnceLock::new());
        let (updated_at, transitions, chapter) = (recorded.now, self.transitions + 1, self.chapter);
        Self { state, effects, updated_at, last_seq: seq, transitions, parked, chapter }
    }

    fn opens_chapter(&self, after: &D) -> bool {
        after.chapter().opened != self.state.chapter().opened
    }

    /// Adds one record whose events gave `state`.
    #[must_use]
    pub fn with(&self, state: Arc<D>, seq: u64, now: Timestamp) -> Self {
        let opened = self.opens_chapter(&state).then_some(ChapterAt { seq, before: self.transitions });
        let (transitions, chapter) = (self.transitions + 1, opened.or(self.chapter));
        let effects = OnceLock::new();
        Self { state, effects, updated_at: now, last_seq: seq, transitions, parked: None, chapter }
    }

    /// Adds one record without keeping the state before it. When an event does not fit, what is left is of no use.
    pub(crate) fn take_in<'a>(
        &mut self,
        seq: u64,
        now: Timestamp,
        events: impl Iterator<Item = &'a D::Event>,
    ) -> Result<(), IllegalEvent>
    where
        D::Event: 'a,
    {
        // Nobody else has it, but for states that were shared before: those are copied once.
        let state = Arc::make_mut(&mut self.state);
        let opened = state.chapter().opened;
        for event in events {
            state.apply(event)?;
        }
        if state.chapter().opened != opened {
            self.chapter = Some(ChapterAt { seq, before: self.transitions });
        }
        (self.updated_at, self.last_seq, self.transitions) = (now, seq, self.transitions + 1);
        self.effects = OnceLock::new();
        Ok(())
    }

    /// What the world must be doing for it. Nobody can tell what is outstanding of a parked stream.
    pub fn effects(&self) -> &Arc<Vec<D::Effect>> {
        self.effects.get_or_init(|| match self.parked {
            None => Arc::new(self.state.effects()),
            Some(_) => Arc::default(),
        })
    }
}

/// Folds the events that a record has for the run. With one that does not fit it stays as it was before the record,
/// quarantined.
pub fn run_after(state: &Arc<Run>, id: RunId, steps: &[Step], now: Timestamp) -> Arc<Run> {
    after(state, run_events(id, steps), now)
}

/// The events that a record has for the run.
pub(crate) fn run_events(id: RunId, steps: &[Step]) -> impl Iterator<Item = &run::Event> + Clone {
    steps.iter().flat_map(move |step| -> &[run::Event] {
        match step {
            Step::Run { run, events, .. } if *run == id => events,
            Step::Run { .. } | Step::Target { .. } | Step::Definitions { .. } => &[],
        }
    })
}

/// Folds the events that a record has for the target. With one that does not fit it stays as it was before the
/// record, quarantined.
pub fn target_after(state: &Arc<Target>, id: &TargetId, steps: &[Step], now: Timestamp) -> Arc<Target> {
    after(state, target_events(id, steps), now)
}

/// The events that a record has for the target.
pub(crate) fn target_events<'a>(
    id: &TargetId,
    steps: &'a [Step],
) -> impl Iterator<Item = &'a target::Event> + Clone {
    steps.iter().flat_map(move |step| -> &[target::Event] {
        match step {
            Step::Target { target, events, .. } if target == id => events,
            Step::Run { .. } | Step::Target { .. } | Step::Definitions { .. } => &[],
        }
    })
}

/// Folds the definitions that a record has.
pub fn definitions_after(
    state: &Arc<definition::Definitions>,
    steps: &[Step],
) -> Arc<definition::Definitions> {
    let mut state = Arc::clone(state);
    for step in steps {
        if let Step::Definitions { events, .. } = step {
            for event in events {
                state = Arc::new(definition::Definitions::clone(&state).evolve(event));
            }
        }
    }
    state
}

/// What a chapter carries replaces all before it, so folding may begin there, within a record too.
fn after<'a, D: Holds + Chaptered>(
    state: &Arc<D>,
    events: impl Iterator<Item = &'a D::Event> + Clone,
    now: Timestamp,
) -> Arc<D>
where
    D::Event: 'a,
{
    let begins = events.clone().enumerate().filter(|(_, event)| D::carried_by(event).is_some()).last();
    let mut events = events.skip(begins.map_or(0, |(place, _)| place)).peekable();
    if events.peek().is_none() {
        return Arc::clone(state);
    }
    let mut folded = D::clone(state);
    Arc::new(match events.try_for_each(|event| folded.apply(event)) {
        Ok(()) => folded,
        Err(illegal) => quarantine::broken(&**state, &illegal, now),
    })
}

/// The commands among some effects.
pub fn commands<Input>(effects: &[Effect<Input>]) -> impl Iterator<Item = &Command> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Command(command) => Some(&**command),
        Effect::WakeAt { .. } => None,
    })
}

/// The moments among some effects.
pub fn moments<Input>(effects: &[Effect<Input>]) -> impl Iterator<Item = (Timestamp, &Input)> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Command(_) => None,
        Effect::WakeAt { at, input } => Some((*at, input)),
    })
}

/// The commands that are new in `after`, and the attempts that are gone.
pub fn difference<Input>(
    before: &[Effect<Input>],
    after: &[Effect<Input>],
) -> (Vec<Command>, Vec<AttemptId>) {
    let among = |effects, attempt: &AttemptId| commands(effects).any(|command| command.attempt == *attempt);
    let new = commands(after).filter(|command| !among(before, &command.attempt)).cloned().collect();
    let gone = commands(before).filter(|command| !among(after, &command.attempt));
    (new, gone.map(|command| command.attempt.clone()).collect())
}

/// The run's summary row; nothing for a run that was never started.
pub fn run_row(partition: u32, folded: &Folded<Run>) -> Option<RunRow> {
    let run = &*folded.state;
    let start = run.start.as_ref()?;
    let waits: Vec<String> = match &folded.parked {
        Some(why) => vec![format!("a newer binary: {why}")],
        None => run::why_of(run, folded.effects()).into_iter().map(|waiting| waiting.text).collect(),
    };
    Some(RunRow {
        run: start.run,
        partition,
        target: start.target.clone(),
        model: start.trained.model.clone(),
        version: start.trained.version.clone(),
        workflow: start.workflow.name.clone(),
        workflow_digest: start.workflow.digest,
        state: run.phase.as_str().to_owned(),
        ended: matches!(run.phase, run::Phase::Ended(_)),
        paused: run.paused_at.is_some(),
        started_at: run.started_at,
        updated_at: folded.updated_at,
        last_seq: folded.last_seq,
        transitions: folded.transitions,
        waits: waits.join("; "),
        outstanding: commands(folded.effects()).count() as u32,
        wake_at: moments(folded.effects()).map(|(at, _)| at).min(),
        withheld: withheld(&*folded.state, folded.parked.as_deref()),
        chapter: folded.chapter,
    })
}

/// The target's summary row; nothing for one that no record touches.
pub fn target_row(partition: u32, id: &TargetId, folded: &Folded<Target>) -> Option<TargetRow> {
    let target = &*folded.state;
    (folded.transitions > 0).then(|| TargetRow {
        target: id.clone(),
        partition,
        live: target.live.as_ref().map(|live| (live.release.version.clone(), live.release.bundle)),
        slot: target.slot,
        under_way: target.under_way.len() as u32,
        frozen: target.frozen.is_some(),
        generation: target.table.as_ref().map_or(0, |table| table.generation.0),
        updated_at: folded.updated_at,
        last_seq: folded.last_seq,
        transitions: folded.transitions,
        outstanding: commands(folded.effects()).count() as u32,
        wake_at: moments(folded.effects()).map(|(at, _)| at).min(),
        withheld: withheld(&*folded.state, folded.parked.as_deref()),
        chapter: folded.chapter,
    })
}

/// Whether and why nothing is decided on a stream.
pub fn withheld<D: Holds>(state: &D, parked: Option<&str>) -> Withheld {
    let holding = state.holding();
    Withheld {
        quarantined: holding.and_then(|holding| Some(holding.quarantine.as_ref()?.why.to_string())),
        parked: parked.map(ToOwned::to_owned),
        held: holding.map_or(0, |holding: &Holding<D::Input>| holding.held.len() as u32),
    }
}
