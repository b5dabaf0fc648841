//! Being written.
use super::{Event, Input, Rejection, Target};
use crate::decider::Decision;
use crate::time::Timestamp;
pub(super) fn decide(_: &Target, _: &Input, _: Timestamp) -> Result<Decision<Event>, Rejection> {
    Err(Rejection::MomentOver)
}
