//! What is wrong with a text that somebody wrote, told so that it can be mended: where, what was expected, what
//! was found, what to do.
//!
//! **Invariant:** a reader collects every problem of a text before it refuses it, up to [`PROBLEMS_MAX`].
//! Codes are stable; texts may change.

use std::fmt;

/// The most problems kept of one text; what comes after them is not kept.
pub const PROBLEMS_MAX: usize = 100;

/// The stable codes.
pub mod code {
    pub const MALFORMED: &str = "MALFORMED";
    pub const TOO_LARGE: &str = "TOO_LARGE";
    pub const TOO_DEEP: &str = "TOO_DEEP";
    pub const MISSING: &str = "MISSING";
    pub const UNKNOWN_KEY: &str = "UNKNOWN_KEY";
    pub const UNKNOWN_NAME: &str = "UNKNOWN_NAME";
    pub const WRONG_TYPE: &str = "WRONG_TYPE";
    pub const WRONG_UNIT: &str = "WRONG_UNIT";
    pub const OUT_OF_RANGE: &str = "OUT_OF_RANGE";
    pub const DUPLICATE: &str = "DUPLICATE";
    pub const CONFLICT: &str = "CONFLICT";
    pub const CYCLE: &str = "CYCLE";
    pub const NOT_AVAILABLE: &str = "NOT_AVAILABLE";
    pub const RULE_SYNTAX: &str = "RULE_SYNTAX";
    pub const RULE_NOT_ALLOWED: &str = "RULE_NOT_ALLOWED";
    pub const UNKNOWN_FACT: &str = "UNKNOWN_FACT";
    pub const UNKNOWN_TYPE: &str = "UNKNOWN_TYPE";
    pub const NO_WORKFLOW: &str = "NO_WORKFLOW";
    pub const AMBIGUOUS_WORKFLOW: &str = "AMBIGUOUS_WORKFLOW";
}

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One of [`code`].
    pub code: &'static str,
    /// The path of the field, such as `stages[1].with.checks[0].metric`; empty for the whole text.
    pub field: String,
    /// Both from 1, where the text has lines.
    pub line: Option<u32>,
    pub column: Option<u32>,
    /// `expected ..., but found ...`
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something to think about in a text that is accepted.
pub type Warning = Problem;

impl Problem {
    pub fn new(code: &'static str, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code, field: field.into(), line: None, column: None, text: text.into(), hint: None }
    }

    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.line = place.map(|place| place.line);
        self.column = place.map(|place| place.column);
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Suggests the nearest of some names, if one is near.
    #[must_use]
    pub fn suggest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(wrong, known) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// `12:7: stages[0].kind: expected ..., but found ... [UNKNOWN_NAME]`, and the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} [{}]", self.text, self.code)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// All that is wrong with one text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// What a reader found so far.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Notes {
    pub(crate) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    pub(crate) fn warning(&mut self, warning: Warning) {
        if self.warnings.len() < PROBLEMS_MAX {
            self.warnings.push(warning);
        }
    }

    /// How many problems there are, to see whether a part added some.
    pub(crate) fn count(&self) -> usize {
        self.problems.len()
    }

    /// The value with the warnings, or all problems in the order of the text.
    pub(crate) fn conclude<T>(mut self, value: Option<T>) -> Result<(T, Vec<Warning>), Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok((value, self.warnings)),
            _ => {
                self.problems.sort_by_key(|problem| (problem.line, problem.column));
                assert!(!self.problems.is_empty(), "what could not be read was named");
                Err(Problems(self.problems))
            }
        }
    }
}

/// The known name that is nearest to a wrong one: at most two edits away, or one for a short name.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = if wrong.chars().count() <= 3 { 1 } else { 2.max(wrong.chars().count() / 4) };
    if wrong.len() > 128 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(edits, name)| *edits <= bound && *edits < name.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Edits (insert, remove, replace, swap neighbours) between two texts, without regard to case, `-` and `_`.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| -> Vec<char> {
        text.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (plain(a), plain(b));
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["quality", "latency", "error-rate", "smoke"];
        for (wrong, near) in [
            ("qualty", Some("quality")),
            ("qaulity", Some("quality")),
            ("Quality", Some("quality")),
            ("error_rate", Some("error-rate")),
            ("latancy", Some("latency")),
            ("zebra", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wrong, known), near, "{wrong}");
        }
    }

    #[test]
    fn a_problem_reads_as_a_line_and_a_hint() {
        let problem = Problem::new(code::UNKNOWN_NAME, "kind", "expected a kind, but found `gat`")
            .at(Some(Place { line: 2, column: 7 }))
            .suggest("gat", ["gate"]);
        assert_eq!(
            problem.to_string(),
            "2:7: kind: expected a kind, but found `gat` [UNKNOWN_NAME]\n  hint: did you mean `gate`?"
        );
    }
}
