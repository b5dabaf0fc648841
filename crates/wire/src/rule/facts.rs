//! The facts that a rule may name, as patterns: `*` stands for one segment that the workflow or the model names.

use domain::evidence::Text;

use crate::problem::nearest;

/// What a check tells, in the last segment of `checks.<stage>.<check>.*`.
pub const CHECK_FACTS: [&str; 5] = ["verdict", "value", "lower", "upper", "n"];

/// Every fact but those of checks.
pub const FACTS: [&str; 32] = [
    "model.name",
    "model.version",
    "model.risk_tier",
    "model.owner",
    "run.id",
    "run.number",
    "run.age",
    "artifact.format",
    "artifact.size",
    "artifact.sha256",
    "lineage.code.commit",
    "lineage.data",
    "lineage.run",
    "lineage.features.view",
    "lineage.features.schema_version",
    "lineage.environment",
    "change.model",
    "change.code",
    "change.data",
    "change.features",
    "change.config",
    "change.runtime",
    "checks.*.*.*",
    "claims.*",
    "target.live.version",
    "target.live.since",
    "target.frozen",
    "incidents.open",
    "plan.hours",
    "plan.requests_exposed",
    "plan.detectable",
    "signature",
];

/// A fact in a rule, and where it stands in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactUse {
    pub path: Text,
    /// From 1, in characters.
    pub column: u32,
}

/// Whether some run has a fact of this path.
pub fn is_known(path: &str) -> bool {
    FACTS.iter().any(|pattern| fits(pattern, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), path.split('.').collect());
    if pattern.len() != path.len() {
        return false;
    }
    let alike = pattern.iter().zip(&path).all(|(expected, found)| *expected == "*" || expected == found);
    let is_check = pattern[0] == "checks";
    alike && (!is_check || CHECK_FACTS.contains(&path[path.len() - 1]))
}

/// What may have been meant by an unknown fact, as a sentence.
pub(super) fn hint(path: &str) -> String {
    let segments: Vec<&str> = path.split('.').collect();
    if segments[0] == "checks" {
        let last = segments[segments.len() - 1];
        return match (segments.len(), nearest(last, CHECK_FACTS)) {
            (4, Some(near)) => format!("did you mean `{near}`?"),
            _ => format!("a check's fact is `checks.<stage>.<check>.` and one of {}", CHECK_FACTS.join(", ")),
        };
    }
    if let Some(near) = nearest(path, FACTS) {
        return format!("did you mean `{near}`?");
    }
    let root = segments[0];
    let roots =
        ["model", "run", "artifact", "lineage", "change", "checks", "claims", "target", "incidents", "plan"];
    if roots.contains(&root) {
        let known: Vec<&str> =
            FACTS.into_iter().filter(|fact| fact.split('.').next() == Some(root)).collect();
        return format!("known are {}", known.join(", "));
    }
    match nearest(root, roots) {
        Some(near) => format!("did you mean `{near}.…`?"),
        None => format!(
            "facts begin with {}; a name with a hyphen is written `checks[\"error-rate\"]`",
            roots.join(", ")
        ),
    }
}
