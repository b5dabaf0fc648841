//! `contract`: the bundle keeps the Open Inference Protocol and its declared signature, for good requests and bad.

use super::{Judgement, Seen, judge_findings};

pub const NAME: &str = "contract";
pub const METHOD: &str = "contract/1";

/// Has no parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract;

impl Contract {
    pub fn judge(&self, seen: Seen<'_>) -> Judgement {
        judge_findings(seen, METHOD)
    }

    pub fn words(&self) -> String {
        "answers have the declared names, types and shapes, batches work, bad requests get 4xx, ids are echoed".into()
    }
}
