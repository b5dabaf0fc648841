//! Being written.
use super::{Event, Input, Rejection, Run};
use crate::decider::Decision;
use crate::time::Timestamp;
pub(super) fn decide(_: &Run, _: &Input, _: Timestamp) -> Result<Decision<Event>, Rejection> {
    Err(Rejection::MomentOver)
}
