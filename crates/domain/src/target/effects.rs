//! Being written.
use super::{Effect, Target};
pub(super) fn effects(_: &Target) -> Vec<Effect> {
    vec![]
}
