//! A text as a tree of values that know where they stand, whether it came as YAML or as JSON.
//!
//! **Invariant:** no map of a tree has a key twice; no tree is deeper than its reader's bound.

use crate::problem::Place;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Option<Place>,
    /// Where the characters of a text on one line begin: after the quote, if there is one.
    pub(crate) inner: Option<Place>,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Option<Place>,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, for `but found ...`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Whole(value) => format!("`{value}`"),
            Self::Real(value) => format!("`{value}`"),
            Self::Text(text) if text.is_empty() => "an empty text".into(),
            Self::Text(text) => format!("`{}`", shortened(text)),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a map".into(),
        }
    }
}

/// A text for people: at most 80 characters, none of them a control character.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String =
        text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 80 {
        short.push('…');
    }
    short
}
