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

use crate::decider::{Decider, Decision, IllegalEvent};
use crate::time::Timestamp;

impl Decider for Target {
    type Input = Input;
    type Event = Event;
    type Effect = Effect;
    type Rejection = Rejection;

    fn decide(&self, input: &Input, now: Timestamp) -> Result<Decision<Event>, Rejection> {
        decide::decide(self, input, now)
    }

    fn evolve(self, event: &Event) -> Result<Self, IllegalEvent> {
        evolve::evolve(self, event)
    }

    fn effects(&self) -> Vec<Effect> {
        effects::effects(self)
    }
}
