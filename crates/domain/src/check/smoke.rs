//! `smoke`: the bundle can be served, is ready, describes itself and answers one request.

use super::{Judgement, Seen, judge_findings};

pub const NAME: &str = "smoke";
pub const METHOD: &str = "smoke/1";

/// Has no parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoke;

impl Smoke {
    pub fn judge(&self, seen: Seen<'_>) -> Judgement {
        judge_findings(seen, METHOD)
    }

    pub fn words(&self) -> String {
        "the bundle loads, is ready, describes itself and answers a request".into()
    }
}
