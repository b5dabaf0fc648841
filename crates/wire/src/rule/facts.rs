//! What is said of a fact that no run has. Which facts there are, the core knows.

use domain::evidence::Text;
use domain::rule::{FACTS, known, nearest};

/// A fact in a rule, and where it stands in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactUse {
    pub path: Text,
    /// From 1, in characters.
    pub column: u32,
}

/// Facts of the design that this version does not have.
const PLANNED: [&str; 4] = ["run.number", "target.live.since", "target.frozen", "incidents.open"];

/// What a path is to this version.
pub(super) enum Known {
    Yes,
    NotYet,
    /// With a hint at what may have been meant.
    No(String),
}

pub(super) fn lookup(path: &str) -> Known {
    if known(path) {
        return Known::Yes;
    }
    if PLANNED.contains(&path) {
        return Known::NotYet;
    }
    if let Some(near) = nearest(path) {
        return Known::No(format!("did you mean `{near}`?"));
    }
    let root = |path: &str| path.split('.').next().unwrap_or("").to_owned();
    let family: Vec<&str> =
        FACTS.iter().map(|fact| fact.pattern).filter(|pattern| root(pattern) == root(path)).collect();
    if !family.is_empty() {
        return Known::No(format!("known are {}", family.join(", ")));
    }
    let mut roots: Vec<String> = FACTS.iter().map(|fact| root(fact.pattern)).collect();
    roots.dedup();
    Known::No(format!("facts begin with {}", roots.join(", ")))
}
