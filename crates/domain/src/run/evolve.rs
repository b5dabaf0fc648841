//! Being written.
use super::{Event, Run};
use crate::decider::IllegalEvent;
pub(super) fn evolve(state: Run, _: &Event) -> Result<Run, IllegalEvent> {
    Ok(state)
}
