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

use crate::decider::{Decider, Decision, IllegalEvent};
use crate::time::Timestamp;

impl Decider for Run {
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
