//! Evaluation of a rule over facts, three-valued after Kleene.
//!
//! A missing fact makes what needs it unknown; `&&`, `||` and `in` over a written list are known all the same
//! when the other side decides. A mistake (a text compared with a number, a division by zero) is unknown too,
//! with a word on why: it is never true, and a gate waits visibly rather than passing or failing by accident.
//!
//! **Invariant:** no input makes it panic, loop, or answer differently on another machine; NaN never arises.
//! Both sides of everything are evaluated, so that each sub-term has a value to show.

use super::{Comparison, Expression, Facts, Operator, RULE_NODES_MAX, Rule, Value};
use crate::evidence::Text;
use crate::verdict::Verdict;

/// The most list elements that one evaluation compares.
pub const RULE_ELEMENTS_MAX: usize = 4_096;
/// The most sub-terms that an answer keeps.
pub const RULE_TERMS_MAX: usize = 64;

/// A sub-term with its value, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// As CEL.
    pub text: Text,
    /// Nothing when it could not be told.
    pub value: Option<Value>,
}

/// What a rule says: `Pass` for true, `Fail` for false, `NoData` when a fact is missing that decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub verdict: Verdict,
    /// The facts and the sub-terms that are true or false by themselves, in reading order, each once.
    pub terms: Vec<Term>,
    /// With `NoData`: the paths of the facts that are missing, and in words what could not be computed.
    pub missing: Vec<Text>,
}

/// Says what `rule` says of `facts`.
pub fn evaluate(rule: &Rule, facts: &Facts) -> Answer {
    let mut evaluation = Evaluation { facts, steps: 0, terms: vec![] };
    let result = if rule.expression.nodes() > RULE_NODES_MAX {
        Err(Unknown::because(format!("the rule has more than {RULE_NODES_MAX} parts")))
    } else {
        evaluation.value(&rule.expression)
    };
    let (verdict, missing) = match result {
        Ok(Value::Bool(true)) => (Verdict::Pass, vec![]),
        Ok(Value::Bool(false)) => (Verdict::Fail, vec![]),
        Ok(other) => {
            let why = format!("the rule says {other}, which is {}, not true or false", kind(&other));
            (Verdict::NoData, vec![why.into()])
        }
        Err(Unknown(missing)) => (Verdict::NoData, missing),
    };
    Answer { verdict, terms: evaluation.terms, missing }
}

/// Why a value is not known: paths of missing facts and sentences. Never empty.
#[derive(Debug, Clone, PartialEq)]
struct Unknown(Vec<Text>);

type Known<T> = Result<T, Unknown>;

impl Unknown {
    fn because(why: impl Into<Text>) -> Self {
        Self(vec![why.into()])
    }

    fn and(mut self, other: Self) -> Self {
        for why in other.0 {
            if !self.0.contains(&why) {
                self.0.push(why);
            }
        }
        self
    }
}

struct Evaluation<'a> {
    facts: &'a Facts,
    steps: usize,
    terms: Vec<Term>,
}

impl Evaluation<'_> {
    fn value(&mut self, expression: &Expression) -> Known<Value> {
        self.step()?;
        let place = self.reserve(expression);
        let value = self.compute(expression);
        if let Some(place) = place {
            self.terms[place].value = value.as_ref().ok().cloned();
        }
        value
    }

    fn compute(&mut self, expression: &Expression) -> Known<Value> {
        match expression {
            Expression::Literal(value) => usable(value, &|| "a literal".to_owned()),
            Expression::Fact(path) => match self.facts.get(path) {
                Some(value) => usable(value, &|| format!("`{path}`")),
                None => Err(Unknown(vec![path.clone()])),
            },
            Expression::List(elements) => {
                let values = elements.iter().map(|element| self.value(element)).collect::<Vec<_>>();
                let values = gather(values)?;
                Ok(Value::List(values))
            }
            Expression::Not(inner) => self.truth(inner).map(|truth| Value::Bool(!truth)),
            Expression::Negate(inner) => self.number(inner).map(|number| Value::Number(-number)),
            Expression::And(left, right) => self.joined(left, right, false),
            Expression::Or(left, right) => self.joined(left, right, true),
            Expression::Choose { condition, then, otherwise } => {
                let (condition, then, otherwise) =
                    (self.truth(condition), self.value(then), self.value(otherwise));
                if condition? { then } else { otherwise }
            }
            Expression::Compare(comparison, left, right) => {
                let (left, right) = both(self.value(left), self.value(right))?;
                self.compare(*comparison, &left, &right).map_err(|why| at(expression, why)).map(Value::Bool)
            }
            Expression::Arithmetic(operator, left, right) => {
                let (left, right) = both(self.number(left), self.number(right))?;
                arithmetic(*operator, left, right).map_err(|why| at(expression, why)).map(Value::Number)
            }
            Expression::In(element, list) => self.contained(expression, element, list).map(Value::Bool),
            Expression::Size(inner) => match self.value(inner)? {
                Value::Text(text) => Ok(Value::Number(text.chars().count() as f64)),
                Value::List(elements) => Ok(Value::Number(elements.len() as f64)),
                other => Err(at(expression, format!("{} has no size", kind(&other)))),
            },
            Expression::Has(path) => Ok(Value::Bool(self.facts.get(path).is_some())),
            Expression::StartsWith(text, start) => {
                let (text, start) = both(self.text(text), self.text(start))?;
                Ok(Value::Bool(text.starts_with(&*start)))
            }
            Expression::EndsWith(text, end) => {
                let (text, end) = both(self.text(text), self.text(end))?;
                Ok(Value::Bool(text.ends_with(&*end)))
            }
        }
    }

    /// `&&` (decided by a false side) or `||` (decided by a true one).
    fn joined(&mut self, left: &Expression, right: &Expression, decides: bool) -> Known<Value> {
        let (left, right) = (self.truth(left), self.truth(right));
        if left == Ok(decides) || right == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        both(left, right).map(|_| Value::Bool(!decides))
    }

    /// `element in list`; of a written list each element counts by itself, so a match beside a missing fact is one.
    fn contained(&mut self, whole: &Expression, element: &Expression, list: &Expression) -> Known<bool> {
        let element = self.value(element);
        let candidates = if let Expression::List(written) = list {
            self.step()?;
            written.iter().map(|candidate| self.value(candidate)).collect::<Vec<_>>()
        } else {
            match self.value(list) {
                Ok(Value::List(values)) => values.into_iter().map(Ok).collect(),
                Ok(other) => return Err(at(whole, format!("{} is no list", kind(&other)))),
                Err(unknown) => {
                    return Err(match element {
                        Ok(_) => unknown,
                        Err(own) => own.and(unknown),
                    });
                }
            }
        };
        let element = match element {
            Ok(element) => element,
            Err(unknown) => {
                let more = candidates.into_iter().filter_map(Result::err);
                return Err(more.fold(unknown, Unknown::and));
            }
        };
        let mut unknown = Ok(());
        for candidate in candidates {
            let same = candidate
                .and_then(|candidate| self.equal(&element, &candidate).map_err(|why| at(whole, why)));
            match same {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => unknown = both(unknown, Err::<(), _>(why)).map(|_| ()),
            }
        }
        unknown.map(|()| false)
    }

    fn compare(&mut self, comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (comparison, left, right) {
            (Comparison::Equal, ..) => return self.equal(left, right),
            (Comparison::NotEqual, ..) => return self.equal(left, right).map(|same| !same),
            (_, Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
            (_, Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            _ => None,
        };
        match (comparison, order) {
            (_, None) => Err(format!("{} has no order to {}", kind(left), kind(right))),
            (Comparison::Less, Some(order)) => Ok(order == Less),
            (Comparison::LessOrEqual, Some(order)) => Ok(order != Greater),
            (Comparison::Greater, Some(order)) => Ok(order == Greater),
            (Comparison::GreaterOrEqual, Some(order)) => Ok(order != Less),
            (Comparison::Equal, Some(order)) => Ok(order == Equal),
            (Comparison::NotEqual, Some(order)) => Ok(order != Equal),
        }
    }

    /// Whether two values are the same; an error when they are of different kinds.
    fn equal(&mut self, left: &Value, right: &Value) -> Result<bool, String> {
        self.step().map_err(|Unknown(why)| why.join("; "))?;
        match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
            // Both are finite; -0 equals 0.
            (Value::Number(left), Value::Number(right)) => {
                Ok(left.partial_cmp(right).is_some_and(std::cmp::Ordering::is_eq))
            }
            (Value::Text(left), Value::Text(right)) => Ok(left == right),
            (Value::List(left), Value::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                let mut same = true;
                for (left, right) in left.iter().zip(right) {
                    same &= self.equal(left, right)?;
                }
                Ok(same)
            }
            _ => Err(format!("{} is not comparable with {}", kind(left), kind(right))),
        }
    }

    fn truth(&mut self, expression: &Expression) -> Known<bool> {
        match self.value(expression)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(at(expression, format!("is {}, not true or false", kind(&other)))),
        }
    }

    fn number(&mut self, expression: &Expression) -> Known<f64> {
        match self.value(expression)? {
            Value::Number(number) => Ok(number),
            other => Err(at(expression, format!("is {}, not a number", kind(&other)))),
        }
    }

    fn text(&mut self, expression: &Expression) -> Known<Text> {
        match self.value(expression)? {
            Value::Text(text) => Ok(text),
            other => Err(at(expression, format!("is {}, not a text", kind(&other)))),
        }
    }

    /// Takes a place for the sub-term, before its parts, if it is one to show and not there yet.
    fn reserve(&mut self, expression: &Expression) -> Option<usize> {
        let shown = match expression {
            Expression::Fact(_)
            | Expression::Compare(..)
            | Expression::In(..)
            | Expression::Has(_)
            | Expression::StartsWith(..)
            | Expression::EndsWith(..) => true,
            Expression::Literal(_)
            | Expression::List(_)
            | Expression::Not(_)
            | Expression::Negate(_)
            | Expression::And(..)
            | Expression::Or(..)
            | Expression::Choose { .. }
            | Expression::Arithmetic(..)
            | Expression::Size(_) => false,
        };
        if !shown || self.terms.len() >= RULE_TERMS_MAX {
            return None;
        }
        let text: Text = expression.to_string().into();
        if self.terms.iter().any(|term| term.text == text) {
            return None;
        }
        self.terms.push(Term { text, value: None });
        Some(self.terms.len() - 1)
    }

    /// Counts a node or a comparison of elements.
    fn step(&mut self) -> Known<()> {
        self.steps += 1;
        if self.steps > RULE_NODES_MAX + RULE_ELEMENTS_MAX {
            let most = RULE_NODES_MAX + RULE_ELEMENTS_MAX;
            return Err(Unknown::because(format!("the rule takes more than {most} steps")));
        }
        Ok(())
    }
}

/// Both values, or all that is missing of either.
fn both<A, B>(left: Known<A>, right: Known<B>) -> Known<(A, B)> {
    match (left, right) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Err(left), Err(right)) => Err(left.and(right)),
        (Err(unknown), Ok(_)) | (Ok(_), Err(unknown)) => Err(unknown),
    }
}

/// All values, or all that is missing of any.
fn gather(values: Vec<Known<Value>>) -> Known<Vec<Value>> {
    let mut known = Ok(vec![]);
    for value in values {
        known = both(known, value).map(|(mut all, value)| {
            all.push(value);
            all
        });
    }
    known
}

/// A value with finite numbers only.
fn usable(value: &Value, name: &dyn Fn() -> String) -> Known<Value> {
    let finite = |number: &f64| number.is_finite();
    let fine = match value {
        Value::Number(number) => finite(number),
        Value::List(elements) => elements.iter().all(|element| usable(element, &String::new).is_ok()),
        Value::Bool(_) | Value::Text(_) => true,
    };
    if fine { Ok(value.clone()) } else { Err(Unknown::because(format!("{} is not a finite number", name()))) }
}

fn arithmetic(operator: Operator, left: f64, right: f64) -> Result<f64, String> {
    let value = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right.abs() > 0.0 => left / right,
        Operator::Divide => return Err("divides by zero".into()),
    };
    if value.is_finite() { Ok(value) } else { Err("is too large a number".into()) }
}

fn at(expression: &Expression, why: impl std::fmt::Display) -> Unknown {
    Unknown::because(format!("`{expression}`: {why}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
    }
}
