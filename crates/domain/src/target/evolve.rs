//! Being written.
use super::{Event, Target};
use crate::decider::IllegalEvent;
pub(super) fn evolve(state: Target, _: &Event) -> Result<Target, IllegalEvent> {
    Ok(state)
}
