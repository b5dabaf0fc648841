//! Expressions as CEL text with no more brackets than needed, so that people see each part of a rule beside its
//! value; and which facts an expression uses.
//!
//! **Invariant:** what is written here parses as CEL to the same tree. Numbers are written as they are kept, so
//! `1.0` comes back as `1`.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Comparison, Expression, Operator, Value};
use crate::evidence::Text;

impl Comparison {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Operator {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

/// How tightly CEL binds, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Choose,
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
    Primary,
}

impl Expression {
    /// The paths of the facts it uses, in reading order, each as often as it is used.
    pub fn facts(&self) -> Vec<&Text> {
        let mut found = vec![];
        self.walk(&mut |part| {
            if let Self::Fact(path) | Self::Has(path) = part {
                found.push(path);
            }
        });
        found
    }

    /// How many nodes it has; at most [`super::RULE_NODES_MAX`] are accepted.
    pub fn nodes(&self) -> usize {
        let mut count = 0;
        self.walk(&mut |_| count += 1);
        count
    }

    /// Visits each node in reading order, without recursion: it also measures trees that are too deep.
    fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        let mut left = vec![self];
        while let Some(next) = left.pop() {
            visit(next);
            left.extend(next.parts().into_iter().rev());
        }
    }

    /// Its direct parts, in reading order.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Literal(_) | Self::Fact(_) | Self::Has(_) => vec![],
            Self::List(elements) => elements.iter().collect(),
            Self::Not(inner) | Self::Negate(inner) | Self::Size(inner) => vec![inner],
            Self::And(left, right)
            | Self::Or(left, right)
            | Self::Compare(_, left, right)
            | Self::Arithmetic(_, left, right)
            | Self::In(left, right)
            | Self::StartsWith(left, right)
            | Self::EndsWith(left, right) => vec![left, right],
            Self::Choose { condition, then, otherwise } => vec![condition, then, otherwise],
        }
    }

    fn binding(&self) -> Binding {
        match self {
            Self::Choose { .. } => Binding::Choose,
            Self::Or(..) => Binding::Or,
            Self::And(..) => Binding::And,
            Self::Compare(..) | Self::In(..) => Binding::Relation,
            Self::Arithmetic(Operator::Add | Operator::Subtract, ..) => Binding::Sum,
            Self::Arithmetic(Operator::Multiply | Operator::Divide, ..) => Binding::Product,
            Self::Not(_) | Self::Negate(_) => Binding::Unary,
            Self::Literal(Value::Number(number)) if number.is_sign_negative() => Binding::Unary,
            Self::Literal(_)
            | Self::Fact(_)
            | Self::List(_)
            | Self::Size(_)
            | Self::Has(_)
            | Self::StartsWith(..)
            | Self::EndsWith(..) => Binding::Primary,
        }
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let own = self.binding();
        // CEL groups to the left: a right side that binds as tightly needs brackets.
        let infix = |f: &mut Formatter<'_>, left: &Self, sign: &str, right: &Self| {
            bracketed(f, left, left.binding() < own)?;
            write!(f, " {sign} ")?;
            bracketed(f, right, right.binding() <= own)
        };
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::Fact(path) => write_path(f, path),
            Self::List(elements) => write_list(f, elements),
            Self::Not(inner) => prefixed(f, '!', inner),
            Self::Negate(inner) => prefixed(f, '-', inner),
            Self::And(left, right) => infix(f, left, "&&", right),
            Self::Or(left, right) => infix(f, left, "||", right),
            Self::Choose { condition, then, otherwise } => {
                bracketed(f, condition, condition.binding() <= own)?;
                f.write_str(" ? ")?;
                bracketed(f, then, then.binding() <= own)?;
                write!(f, " : {otherwise}")
            }
            Self::Compare(comparison, left, right) => infix(f, left, comparison.as_str(), right),
            Self::Arithmetic(operator, left, right) => infix(f, left, operator.as_str(), right),
            Self::In(element, list) => infix(f, element, "in", list),
            Self::Size(inner) => write!(f, "size({inner})"),
            Self::Has(path) => {
                f.write_str("has(")?;
                write_path(f, path)?;
                f.write_char(')')
            }
            Self::StartsWith(text, start) => call(f, text, "startsWith", start),
            Self::EndsWith(text, end) => call(f, text, "endsWith", end),
        }
    }
}

/// `!x`, `-x`; anything but a primary in brackets, since CEL does not mix `!` and `-`.
fn prefixed(f: &mut Formatter<'_>, sign: char, inner: &Expression) -> fmt::Result {
    f.write_char(sign)?;
    bracketed(f, inner, inner.binding() < Binding::Primary)
}

fn call(f: &mut Formatter<'_>, receiver: &Expression, name: &str, argument: &Expression) -> fmt::Result {
    bracketed(f, receiver, receiver.binding() < Binding::Primary)?;
    write!(f, ".{name}({argument})")
}

fn bracketed(f: &mut Formatter<'_>, part: &Expression, brackets: bool) -> fmt::Result {
    if brackets { write!(f, "({part})") } else { write!(f, "{part}") }
}

fn write_list<T: Display>(f: &mut Formatter<'_>, elements: &[T]) -> fmt::Result {
    f.write_char('[')?;
    for (index, element) in elements.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{element}")?;
    }
    f.write_char(']')
}

/// `checks.staging.quality.lower`; a segment that is no identifier as `checks.staging["error-rate"].lower`.
fn write_path(f: &mut Formatter<'_>, path: &str) -> fmt::Result {
    for (index, segment) in path.split('.').enumerate() {
        let starts_well = segment.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !(starts_well && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            f.write_char('[')?;
            write_text(f, segment)?;
            f.write_char(']')?;
        } else if index > 0 {
            write!(f, ".{segment}")?;
        } else {
            f.write_str(segment)?;
        }
    }
    Ok(())
}

fn write_text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// As a CEL literal.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(number) => {
                let size = number.abs();
                let plain = size <= 0.0 || (1e-6..1e15).contains(&size);
                if plain { write!(f, "{number}") } else { write!(f, "{number:e}") }
            }
            Self::Text(text) => write_text(f, text),
            Self::List(elements) => write_list(f, elements),
        }
    }
}
