//! Reading a tree field by field: each value typed, each mistake noted with its path and place, and the reading
//! goes on, so that all of them are told at once.
//!
//! **Invariant:** a getter that gives nothing for a value that is there has noted why.

use domain::evidence::Text;

use crate::problem::{Notes, PROBLEMS_MAX, Place, Problem, code};
use crate::tree::{Entry, Node, Value, shortened};

/// The most characters of a text that is not a definition.
pub(crate) const TEXT_CHARS_MAX: usize = 1024;
/// The most elements of a list, and entries of a map that may have any keys.
pub(crate) const LIST_MAX: usize = 4_096;

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) node: &'a Node,
}

impl<'a> Field<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { path: String::new(), node }
    }

    /// A problem at this field.
    pub(crate) fn problem(&self, code: &'static str, text: impl Into<String>) -> Problem {
        Problem::new(code, &self.path, text).at(self.node.place)
    }

    /// Notes `expected {expected}, but found {what is there}`.
    pub(crate) fn wrong(&self, code: &'static str, expected: &str, notes: &mut Notes) {
        notes.problem(self.unexpected(code, expected));
    }

    pub(crate) fn unexpected(&self, code: &'static str, expected: &str) -> Problem {
        self.problem(code, format!("expected {expected}, but found {}", self.node.value.words()))
    }

    pub(crate) fn map(&self, notes: &mut Notes) -> Option<Fields<'a>> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong(code::WRONG_TYPE, "a map", notes);
            return None;
        };
        Some(Fields { path: self.path.clone(), place: self.node.place, entries, known: vec![] })
    }

    pub(crate) fn list(&self, notes: &mut Notes) -> Option<Vec<Field<'a>>> {
        let Value::List(items) = &self.node.value else {
            self.wrong(code::WRONG_TYPE, "a list", notes);
            return None;
        };
        if items.len() > LIST_MAX {
            let words = format!("expected at most {LIST_MAX} elements, but found {}", items.len());
            notes.problem(self.problem(code::TOO_LARGE, words));
            return None;
        }
        let path = |index: usize| format!("{}[{index}]", self.path);
        Some(items.iter().enumerate().map(|(index, node)| Field { path: path(index), node }).collect())
    }

    /// A text as it is written; numbers and the like are none.
    pub(crate) fn text(&self, notes: &mut Notes) -> Option<&'a str> {
        self.text_as("a text", notes)
    }

    pub(crate) fn text_as(&self, expected: &str, notes: &mut Notes) -> Option<&'a str> {
        let Value::Text(text) = &self.node.value else {
            self.wrong(code::WRONG_TYPE, expected, notes);
            return None;
        };
        if text.is_empty() {
            self.wrong(code::OUT_OF_RANGE, expected, notes);
            return None;
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            let words = format!("expected at most {TEXT_CHARS_MAX} characters, but found more");
            notes.problem(self.problem(code::TOO_LARGE, words));
            return None;
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            let words = format!("expected {expected}, but found control characters in it");
            notes.problem(self.problem(code::OUT_OF_RANGE, words));
            return None;
        }
        Some(text)
    }

    pub(crate) fn shared_text(&self, notes: &mut Notes) -> Option<Text> {
        self.text(notes).map(Text::from)
    }

    pub(crate) fn bool(&self, notes: &mut Notes) -> Option<bool> {
        let Value::Bool(value) = self.node.value else {
            self.wrong(code::WRONG_TYPE, "`true` or `false`", notes);
            return None;
        };
        Some(value)
    }

    /// A whole number between two bounds, both allowed.
    pub(crate) fn count(&self, least: u64, most: u64, notes: &mut Notes) -> Option<u64> {
        let expected = if most == u64::MAX {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let Value::Whole(value) = self.node.value else {
            self.wrong(code::WRONG_TYPE, &expected, notes);
            return None;
        };
        let fits = u64::try_from(value).ok().filter(|value| (least..=most).contains(value));
        if fits.is_none() {
            self.wrong(code::OUT_OF_RANGE, &expected, notes);
        }
        fits
    }

    /// Any finite number.
    pub(crate) fn number(&self, notes: &mut Notes) -> Option<f64> {
        match self.node.value {
            Value::Whole(value) => Some(value as f64),
            Value::Real(value) if value.is_finite() => Some(value),
            _ => {
                self.wrong(code::WRONG_TYPE, "a number", notes);
                None
            }
        }
    }

    /// A text that some parser understands, such as a name.
    pub(crate) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, domain::name::BadName>,
        notes: &mut Notes,
    ) -> Option<T> {
        // `1` and `true` are fine names and versions; YAML and JSON read them as something else.
        let text = match &self.node.value {
            Value::Text(text) => text,
            Value::List(_) | Value::Map(_) | Value::Null => {
                self.wrong(code::WRONG_TYPE, "a text", notes);
                return None;
            }
            Value::Bool(_) | Value::Whole(_) | Value::Real(_) => {
                let problem = self.unexpected(code::WRONG_TYPE, "a text");
                notes.problem(problem.hint("put it in quotes"));
                return None;
            }
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let found =
                    if text.is_empty() { "an empty text".into() } else { format!("`{}`", shortened(text)) };
                let words = format!("expected {}, but found {found}", error.expected);
                notes.problem(self.problem(code::OUT_OF_RANGE, words));
                None
            }
        }
    }

    /// One of some names.
    pub(crate) fn one_of<T: Copy>(&self, known: &[(&'static str, T)], notes: &mut Notes) -> Option<T> {
        let names = || known.iter().map(|(name, _)| *name);
        let expected = alternatives(names());
        let text = self.text_as(&expected, notes)?;
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            notes.problem(self.unexpected(code::UNKNOWN_NAME, &expected).suggest(text, names()));
        }
        found
    }
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn alternatives<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let Some(last) = names.pop() else { return "nothing".into() };
    if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) }
}

/// The entries of a map; what is asked for counts as known.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) path: String,
    pub(crate) place: Option<Place>,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A field that may be missing; `null` is missing too.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (entry.node.value != Value::Null).then(|| Field { path: self.path_of(key), node: &entry.node })
    }

    /// A field that must be there.
    pub(crate) fn need(&mut self, key: &'static str, expected: &str, notes: &mut Notes) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let text = format!("expected `{key}` ({expected}), but it is missing");
            notes.problem(Problem::new(code::MISSING, self.path_of(key), text).at(self.place));
        }
        field
    }

    /// A problem at the map as a whole.
    pub(crate) fn problem(&self, code: &'static str, text: impl Into<String>) -> Problem {
        Problem::new(code, &self.path, text).at(self.place)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a Entry, Field<'a>)> + use<'a, '_> {
        self.entries.iter().map(|entry| (entry, Field { path: self.path_of(&entry.key), node: &entry.node }))
    }

    /// Refuses keys that nobody asked for; of some it says that this version does not have them.
    pub(crate) fn no_others(self, not_available: &[&str], notes: &mut Notes) {
        for (entry, problem) in self.others() {
            notes.problem(if not_available.contains(&&*entry.key) {
                let text =
                    format!("expected a key of this version, but `{}` is not available in it", entry.key);
                Problem::new(code::NOT_AVAILABLE, self.path_of(&entry.key), text).at(entry.place)
            } else {
                problem
            });
        }
    }

    /// Warns of keys that nobody asked for.
    pub(crate) fn warn_of_others(self, notes: &mut Notes) {
        for (_, problem) in self.others() {
            notes.warning(problem.hint("it was ignored; a newer version may know it"));
        }
    }

    fn others(&self) -> Vec<(&'a Entry, Problem)> {
        self.entries
            .iter()
            .filter(|entry| !self.known.contains(&&*entry.key))
            // More would not be kept; each costs a look for the nearest name.
            .take(PROBLEMS_MAX)
            .map(|entry| {
                let expected = alternatives(self.known.iter().copied());
                let text = format!("expected {expected}, but found `{}`", shortened(&entry.key));
                let path = self.path_of(&shortened(&entry.key));
                let problem = Problem::new(code::UNKNOWN_KEY, path, text)
                    .at(entry.place)
                    .suggest(&entry.key, self.known.iter().copied());
                (entry, problem)
            })
            .collect()
    }
}
