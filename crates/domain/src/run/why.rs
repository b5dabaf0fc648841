//! What a run waits for, for people: whom, which samples, which timer, which limit. (Being written.)

use super::Run;
use crate::time::Timestamp;

/// One thing a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `command`, `timer`, `people`, `slot`, `thaw`, `prepare`, `facts`, `samples`.
    pub kind: &'static str,
    pub text: String,
    pub until: Option<Timestamp>,
}

/// All that the run waits for; empty for an ended run.
pub fn why(_run: &Run) -> Vec<Waiting> {
    vec![]
}
