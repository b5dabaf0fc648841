//! Being written.
use super::{Effect, Run};
pub(super) fn effects(_: &Run) -> Vec<Effect> {
    vec![]
}
