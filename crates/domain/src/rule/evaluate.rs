//! Being written.
use super::{Facts, Rule, Value};
use crate::evidence::Text;
use crate::verdict::Verdict;

/// A sub-term with its value, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    pub text: Text,
    pub value: Option<Value>,
}

/// What a rule says: `Pass` for true, `Fail` for false, `NoData` when a fact is missing that decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub verdict: Verdict,
    pub terms: Vec<Term>,
    pub missing: Vec<Text>,
}

pub fn evaluate(_rule: &Rule, _facts: &Facts) -> Answer {
    Answer { verdict: Verdict::NoData, terms: vec![], missing: vec![] }
}
