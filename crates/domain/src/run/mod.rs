//! A run: one model version travelling one workflow to one target.
//!
//! ```text
//!  Absent -> Active ---------------------> Live ---------> Standby ---> Ended{retired}
//!              |  (waits inside: slot,      |  (replaced)     |
//!              |   freeze, person)          |                 +--> Live   (rolled back to)
//!              |                            | (cause)
//!              |--- a generation raised? ---+---> Leaving --> Ended{rolled_back|aborted|failed|blocked}
//!              +--- none raised ----------------> Ended{blocked|failed|refused|superseded|aborted}
//! ```

mod decide;
mod effects;
mod event;
mod evolve;
mod facts;
mod input;
mod rejection;
mod schedule;
mod state;
mod why;

pub type Effect = crate::effect::Effect<Input>;
pub(crate) use decide::outcome_name;
pub use decide::{EXPOSURE, REQUIRABLE};
pub use event::Event;
pub use event::PolicyTerm;
pub use input::{Input, ShiftRefusal, Start};
pub use rejection::Rejection;
pub use state::*;
pub use why::{Waiting, why, why_of};

use std::sync::Arc;

use crate::chapter::{Chapter, Chaptered};
use crate::decider::{Decider, Decision, IllegalEvent, Tell};
use crate::quarantine::{Holding, Holds, Origin, Quarantine};
use crate::refusal::Refusal;
use crate::time::Timestamp;

impl Decider for Run {
    type Input = Input;
    type Event = Event;
    type Effect = Effect;
    type Rejection = Rejection;

    fn decide(&self, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
        decide::decide(self, input, now)
    }

    fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        evolve::evolve(self, event)
    }

    fn effects(&self) -> Vec<Effect> {
        effects::effects(self)
    }
}

impl Holds for Run {
    fn holding(&self) -> Option<&Holding<Input>> {
        self.holding.as_deref()
    }

    fn origin(input: &Input) -> Origin {
        input.origin()
    }

    fn input_name(input: &Input) -> &'static str {
        input.name()
    }

    fn decide_ordinarily(&self, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
        decide::ordinary(self, input, now)
    }

    fn quarantined(quarantine: Quarantine) -> Event {
        let Quarantine { why, since, holds_cause } = quarantine;
        Event::StreamQuarantined { why, holds_cause, at: since }
    }

    fn quarantine_tells(&self) -> Vec<Tell> {
        let note = |start: &Start| {
            let input = crate::target::Input::NoteQuarantine { run: start.run, quarantined: true };
            Tell::Target(start.target.clone(), input)
        };
        self.start.iter().filter(|_| self.phase == Phase::Active).map(|start| note(start)).collect()
    }

    fn refusal(rejection: &Rejection) -> Refusal {
        rejection.refusal()
    }
}

impl Chaptered for Run {
    fn chapter(&self) -> Chapter {
        self.chapter
    }

    fn is_at_rest(&self) -> bool {
        let under_way = !matches!(self.phase, Phase::Absent | Phase::Ended(_));
        under_way && self.holding.is_none() && self.attempts_open.is_empty()
    }

    fn carried(&self) -> Self {
        Self { chapter: self.chapter.next(), ..self.clone() }
    }

    fn opened(carried: Arc<Self>, at: Timestamp) -> Event {
        Event::ChapterOpened { carried, at }
    }

    fn carried_by(event: &Event) -> Option<&Self> {
        match event {
            Event::ChapterOpened { carried, .. } => Some(carried),
            _ => None,
        }
    }
}
