//! The facts that rules can use, by dotted path.

use std::collections::BTreeMap;

use super::Value;
use crate::evidence::Text;

/// Known facts. What is not in it is missing, which is not the same as false.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts(BTreeMap<Text, Value>);

/// A path that exists for some run: its first segments and whether more follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// With `*` for a segment that the workflow names.
    pub pattern: &'static str,
    pub meaning: &'static str,
}

impl Facts {
    pub fn set(&mut self, path: &str, value: Value) {
        self.0.insert(path.into(), value);
    }
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.0.iter()
    }
}
