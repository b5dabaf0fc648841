//! A target: the place where a model serves production traffic. It owns the slot, the route table and what was
//! observed of gateways and servers. At most one run moves its traffic at any time; a run asks and hears.

mod decide;
mod effects;
mod event;
mod evolve;
mod input;
mod rejection;
mod state;

pub type Effect = crate::effect::Effect<Input>;
pub use event::Event;
pub use input::Input;
pub use rejection::Rejection;
pub use state::*;

use std::sync::Arc;

use crate::chapter::{Chapter, Chaptered, HEARD_MAX};
use crate::decider::{Decider, Decision, IllegalEvent, Tell};
use crate::quarantine::{Holding, Holds, Origin, Quarantine};
use crate::refusal::Refusal;
use crate::time::Timestamp;

impl Decider for Target {
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

impl Holds for Target {
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
        vec![]
    }

    fn refusal(rejection: &Rejection) -> Refusal {
        rejection.refusal()
    }
}

impl Chaptered for Target {
    fn chapter(&self) -> Chapter {
        self.chapter
    }

    fn is_at_rest(&self) -> bool {
        let idle = self.prepare.open.is_none() && self.apply.open.is_none();
        let small = self.gateways.len() + self.servers.len() <= HEARD_MAX;
        self.id.is_some() && self.holding.is_none() && idle && small
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
