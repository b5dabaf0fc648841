//! The facts that rules can use, by dotted path: which there are, what they mean, and what a typo was meant to be.

use std::collections::BTreeMap;

use super::Value;
use crate::evidence::Text;

/// Known facts. What is not in it is missing, which is not the same as false.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts(BTreeMap<Text, Value>);

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

/// A path that exists for some run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// With `*` for a name that the workflow or the event gives (which may hold dots itself).
    pub pattern: &'static str,
    pub meaning: &'static str,
}

const fn fact(pattern: &'static str, meaning: &'static str) -> Fact {
    Fact { pattern, meaning }
}

/// All facts there are.
pub const FACTS: &[Fact] = &[
    fact("model.name", "the model's name"),
    fact("model.version", "the version that the run brings, a text"),
    fact("model.risk_tier", "the risk tier that training states"),
    fact("model.owner", "who answers for the model"),
    fact("run.id", "the run's id"),
    fact("run.age", "seconds since the run started"),
    fact("artifact.format", "the format found in the artifact's bytes, such as `onnx`"),
    fact("artifact.size", "the artifact's size in bytes"),
    fact("artifact.sha256", "the artifact's digest in hexadecimal"),
    fact("lineage.code.commit", "the commit that the model was trained from"),
    fact("lineage.data", "where the training data is"),
    fact("lineage.run", "the training run's id"),
    fact("lineage.features.view", "the feature view"),
    fact("lineage.features.schema_version", "the version of the features' schema"),
    fact("lineage.environment", "the training environment, as its lock or image"),
    fact("change.model", "`same`, `changed` or `unknown` against the live release"),
    fact("change.code", "`same`, `changed` or `unknown` against the live release"),
    fact("change.data", "`same`, `changed` or `unknown` against the live release"),
    fact("change.features", "`same`, `changed` or `unknown` against the live release"),
    fact("change.config", "`same`, `changed` or `unknown` against the live release"),
    fact("change.runtime", "`same`, `changed` or `unknown` against the live release"),
    fact("checks.*.*.verdict", "`pass`, `fail`, `inconclusive` or `no_data`, by stage and check"),
    fact("checks.*.*.value", "what the check estimated"),
    fact("checks.*.*.lower", "the lower bound of the estimate"),
    fact("checks.*.*.upper", "the upper bound of the estimate"),
    fact("checks.*.*.n", "how many observations the check rests on"),
    fact("claims.*", "a metric as training claims it; never measured"),
    fact("target.live.version", "the version that serves now"),
    fact("plan.hours", "how long the rollout will take at today's traffic"),
    fact("plan.requests_exposed", "requests that the candidate answers before the last step"),
    fact("plan.detectable", "the smallest difference of a rate that the rollout can show, 0 to 1"),
];

/// The most segments of a path that a suggestion is looked for.
const SEGMENTS_MAX: usize = 12;

/// Whether a rule may use the fact `path`.
pub fn known(path: &str) -> bool {
    let path: Vec<&str> = path.split('.').collect();
    FACTS.iter().any(|fact| {
        let pattern: Vec<&str> = fact.pattern.split('.').collect();
        matches(&pattern, &path)
    })
}

/// The known path that is nearest to `path`, with the names that `path` gives: what a typo was meant to be.
/// Nothing when none is near.
pub fn nearest(path: &str) -> Option<String> {
    if known(path) {
        return Some(path.to_owned());
    }
    let segments: Vec<&str> = path.split('.').collect();
    if segments.len() > SEGMENTS_MAX {
        return None;
    }
    let suggestions = FACTS.iter().map(|fact| aligned(fact.pattern, &segments));
    let nearest = suggestions.min_by_key(|suggestion| suggestion.distance)?;
    (nearest.distance * 3 <= path.chars().count()).then(|| nearest.segments.join("."))
}

/// A `*` stands for one or more segments, none of them empty.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["*", rest @ ..], [first, left @ ..]) if !first.is_empty() => {
            matches(rest, left) || matches(pattern, left)
        }
        ([expected, rest @ ..], [first, left @ ..]) => expected == first && matches(rest, left),
        ([], _) | (_, []) => false,
    }
}

#[derive(Debug, Clone)]
struct Suggestion {
    distance: usize,
    segments: Vec<String>,
}

impl Suggestion {
    fn with(&self, distance: usize, segment: Option<&str>) -> Self {
        let mut next = self.clone();
        next.distance += distance;
        next.segments.extend(segment.map(str::to_owned));
        next
    }
}

/// The cheapest way to make `path` fit `pattern`: changing, leaving out and adding segments.
fn aligned(pattern: &str, path: &[&str]) -> Suggestion {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let length = |segment: &str| segment.chars().count().max(1);
    // `row[j]`: the pattern so far against the first j segments.
    let mut row = vec![Suggestion { distance: 0, segments: vec![] }];
    for segment in path {
        let last = row[row.len() - 1].with(length(segment), None);
        row.push(last);
    }
    for expected in pattern {
        let added = if expected == "*" { "NAME" } else { expected };
        let mut next = vec![row[0].with(length(expected), Some(added))];
        for (index, segment) in path.iter().enumerate() {
            let changed = if expected == "*" && !segment.is_empty() {
                row[index].with(0, Some(segment))
            } else {
                row[index].with(distance(expected, segment), Some(added))
            };
            let left_out = next[index].with(length(segment), None);
            let added = row[index + 1].with(length(expected), Some(added));
            let ways = [changed, left_out, added].into_iter().min_by_key(|way| way.distance);
            next.extend(ways);
        }
        row = next;
    }
    row.swap_remove(row.len() - 1)
}

/// How many characters to change, add or leave out (Levenshtein); a name begun or overlong counts as one.
fn distance(left: &str, right: &str) -> usize {
    let begun = |start: &str, whole: &str| start.len() >= 3 && start != whole && whole.starts_with(start);
    if begun(left, right) || begun(right, left) {
        return 1;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
