//! Rules: CEL over recorded facts, as a tree of our own. Three-valued (a missing fact makes `no_data`, not
//! false), deterministic, bounded, with the value of each sub-term kept for people.
//!
//! CEL text is parsed in `wire`; what stands here is the tree, its facts and its evaluation.

mod evaluate;
mod facts;
mod show;
#[cfg(test)]
mod tests;

use crate::evidence::Text;

pub use evaluate::{Answer, RULE_ELEMENTS_MAX, RULE_TERMS_MAX, Term, evaluate};
pub use facts::{FACTS, Fact, Facts, known, nearest};

/// The most nodes of a rule.
pub const RULE_NODES_MAX: usize = 256;

/// A rule with the text it was written as.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub text: Text,
    pub expression: Expression,
}

/// What we allow of CEL.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Literal(Value),
    /// A fact by its dotted path, such as `checks.staging.quality.lower`.
    Fact(Text),
    List(Vec<Expression>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Choose {
        condition: Box<Expression>,
        then: Box<Expression>,
        otherwise: Box<Expression>,
    },
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Arithmetic(Operator, Box<Expression>, Box<Expression>),
    /// `a in [b, c]`
    In(Box<Expression>, Box<Expression>),
    Size(Box<Expression>),
    /// `has(fact)`: whether the fact is known.
    Has(Text),
    StartsWith(Box<Expression>, Box<Expression>),
    EndsWith(Box<Expression>, Box<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A value in a rule. Numbers are binary64, whether written `1` or `1.0`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Text(Text),
    List(Vec<Value>),
}
