//! The library's tree to ours: what is allowed, and what is said of the rest.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo};
use domain::rule::{Comparison, Expression, Operator, RULE_NODES_MAX, Value};

use super::facts::{self, FactUse, Known};
use crate::problem::{Place, Problem, Problems, code};

const ALLOWED: &str = "allowed are literals, facts, comparison, arithmetic, `&&`, `||`, `!`, `?:`, `in` over \
                       lists, `size`, `has`, `startsWith` and `endsWith`";

/// Converts the whole tree, or tells everything in it that is not allowed.
pub(super) fn convert(
    tree: &IdedExpr,
    source: &SourceInfo,
    text: &str,
) -> Result<(Expression, Vec<FactUse>), Problems> {
    let mut conversion = Conversion { source, text, nodes: 0, facts: vec![], problems: vec![] };
    let expression = conversion.expression(tree);
    if conversion.nodes > RULE_NODES_MAX {
        let words = format!("expected a rule of at most {RULE_NODES_MAX} terms, but found more");
        conversion.problems.insert(0, Problem::new(code::TOO_LARGE, "", words));
    }
    match expression {
        Some(expression) if conversion.problems.is_empty() => Ok((expression, conversion.facts)),
        _ => Err(Problems(conversion.problems)),
    }
}

struct Conversion<'a> {
    source: &'a SourceInfo,
    text: &'a str,
    nodes: usize,
    facts: Vec<FactUse>,
    problems: Vec<Problem>,
}

impl Conversion<'_> {
    /// The library counts characters of the whole text.
    fn place(&self, id: u64) -> Option<Place> {
        let (start, _) = self.source.offset_for(id)?;
        let mut place = Place { line: 1, column: 1 };
        for c in self.text.chars().take(start as usize) {
            if c == '\n' {
                place = Place { line: place.line + 1, column: 1 };
            } else {
                place.column += 1;
            }
        }
        Some(place)
    }

    fn refuse<T>(&mut self, id: u64, code: &'static str, found: &str, hint: &str) -> Option<T> {
        let words = format!("expected a term that rules may use, but found {found}");
        self.problems.push(Problem::new(code, "", words).at(self.place(id)).hint(hint));
        None
    }

    fn expression(&mut self, tree: &IdedExpr) -> Option<Expression> {
        self.nodes += 1;
        if self.nodes > RULE_NODES_MAX {
            return None;
        }
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree.id, literal),
            Expr::List(list) => {
                let items: Vec<_> = list.elements.iter().map(|item| self.expression(item)).collect();
                Some(Expression::List(items.into_iter().collect::<Option<_>>()?))
            }
            Expr::Ident(_) | Expr::Select(_) => self.fact(tree),
            Expr::Call(call) if call.func_name == "_[_]" => self.fact(tree),
            Expr::Call(call) => self.call(tree.id, call),
            Expr::Comprehension(_) => self.refuse(
                tree.id,
                code::RULE_NOT_ALLOWED,
                "a macro over a list (`all`, `exists`, `exists_one`, `map` or `filter`)",
                ALLOWED,
            ),
            Expr::Map(_) => self.refuse(tree.id, code::RULE_NOT_ALLOWED, "a map", ALLOWED),
            Expr::Struct(_) => self.refuse(tree.id, code::RULE_NOT_ALLOWED, "a message", ALLOWED),
            Expr::Unspecified => self.refuse(tree.id, code::RULE_SYNTAX, "nothing", ALLOWED),
        }
    }

    fn literal(&mut self, id: u64, literal: &LiteralValue) -> Option<Expression> {
        let value = match literal {
            LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
            LiteralValue::Int(value) => Value::Number(*value.inner() as f64),
            LiteralValue::UInt(value) => Value::Number(*value.inner() as f64),
            LiteralValue::Double(value) if value.inner().is_finite() => Value::Number(*value.inner()),
            LiteralValue::Double(_) => {
                return self.refuse(id, code::RULE_NOT_ALLOWED, "a number beyond all bounds", ALLOWED);
            }
            LiteralValue::String(value) => Value::Text(value.inner().into()),
            LiteralValue::Null => {
                return self.refuse(
                    id,
                    code::RULE_NOT_ALLOWED,
                    "`null`",
                    "a missing fact is asked for with `has(fact)`",
                );
            }
            LiteralValue::Bytes(_) => return self.refuse(id, code::RULE_NOT_ALLOWED, "bytes", ALLOWED),
        };
        Some(Expression::Literal(value))
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Option<Expression> {
        // A method call and a function call are the same, its object the first operand.
        let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let is_method = call.target.is_some();
        let name = call.func_name.as_str();
        let known = match (name, operands.len()) {
            ("!_" | "-_" | "size", 1) | ("_?_:_", 3) => true,
            ("_&&_" | "_||_" | "@in" | "_+_" | "_-_" | "_*_" | "_/_", 2) => true,
            ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_", 2) => true,
            ("startsWith" | "endsWith", 2) => is_method,
            _ => false,
        };
        if !known {
            let found = match name {
                "_%_" => "`%`".to_owned(),
                "size" | "startsWith" | "endsWith" | "has" => format!("a wrong use of `{name}`"),
                _ => format!("the function `{name}`"),
            };
            return self.refuse(id, code::RULE_NOT_ALLOWED, &found, ALLOWED);
        }
        let before = self.problems.len();
        let converted: Vec<Option<Expression>> =
            operands.iter().map(|operand| self.expression(operand)).collect();
        if name == "_-_" && self.problems.len() > before {
            self.hint_at_hyphens(before);
        }
        let mut converted = converted.into_iter().collect::<Option<Vec<_>>>()?.into_iter().map(Box::new);
        let mut next = || converted.next().expect("the number of operands was matched");
        Some(match name {
            "!_" => Expression::Not(next()),
            "-_" => Expression::Negate(next()),
            "size" => Expression::Size(next()),
            "_?_:_" => Expression::Choose { condition: next(), then: next(), otherwise: next() },
            "_&&_" => Expression::And(next(), next()),
            "_||_" => Expression::Or(next(), next()),
            "@in" => Expression::In(next(), next()),
            "startsWith" => Expression::StartsWith(next(), next()),
            "endsWith" => Expression::EndsWith(next(), next()),
            "_+_" => Expression::Arithmetic(Operator::Add, next(), next()),
            "_-_" => Expression::Arithmetic(Operator::Subtract, next(), next()),
            "_*_" => Expression::Arithmetic(Operator::Multiply, next(), next()),
            "_/_" => Expression::Arithmetic(Operator::Divide, next(), next()),
            "_==_" => Expression::Compare(Comparison::Equal, next(), next()),
            "_!=_" => Expression::Compare(Comparison::NotEqual, next(), next()),
            "_<_" => Expression::Compare(Comparison::Less, next(), next()),
            "_<=_" => Expression::Compare(Comparison::LessOrEqual, next(), next()),
            "_>_" => Expression::Compare(Comparison::Greater, next(), next()),
            "_>=_" => Expression::Compare(Comparison::GreaterOrEqual, next(), next()),
            _ => return self.refuse(id, code::RULE_NOT_ALLOWED, &format!("`{name}`"), ALLOWED),
        })
    }

    /// `checks.canary.error-rate.value` is a subtraction to CEL.
    fn hint_at_hyphens(&mut self, from: usize) {
        for problem in self.problems[from..].iter_mut().filter(|problem| problem.code == code::UNKNOWN_FACT) {
            problem.hint =
                Some("a name with a hyphen is written `checks.canary[\"error-rate\"].value`".into());
        }
    }

    fn fact(&mut self, tree: &IdedExpr) -> Option<Expression> {
        let Some((path, is_test)) = path(tree) else {
            return self.refuse(
                tree.id,
                code::RULE_NOT_ALLOWED,
                "a field of something that is not a fact",
                "a fact is written `a.b.c`, or `a[\"b-c\"].d` where a name has a hyphen",
            );
        };
        self.nodes += path.matches('.').count() / 8;
        let place = self.place(root(tree).id);
        match facts::lookup(&path) {
            Known::Yes => {}
            Known::NotYet => {
                let words = format!("expected a fact of this version, but `{path}` is not available in it");
                self.problems.push(Problem::new(code::NOT_AVAILABLE, "", words).at(place));
                return None;
            }
            Known::No(hint) => {
                let words = format!("expected a known fact, but found `{path}`");
                self.problems.push(Problem::new(code::UNKNOWN_FACT, "", words).at(place).hint(hint));
                return None;
            }
        }
        self.facts
            .push(FactUse { path: path.as_str().into(), column: place.map_or(1, |place| place.column) });
        Some(if is_test { Expression::Has(path.into()) } else { Expression::Fact(path.into()) })
    }
}

/// The dotted path that a tree spells, and whether `has` asks for it.
fn path(tree: &IdedExpr) -> Option<(String, bool)> {
    let mut segments: Vec<&str> = Vec::new();
    let mut is_test = false;
    let mut at = tree;
    loop {
        match &at.expr {
            Expr::Ident(name) => {
                segments.push(name);
                segments.reverse();
                return Some((segments.join("."), is_test));
            }
            Expr::Select(select) if !select.test || std::ptr::eq(at, tree) => {
                is_test |= select.test;
                segments.push(&select.field);
                at = &select.operand;
            }
            Expr::Call(CallExpr { func_name, target: None, args }) if func_name == "_[_]" => {
                let [object, index] = args.as_slice() else { return None };
                let Expr::Literal(LiteralValue::String(name)) = &index.expr else { return None };
                segments.push(name.inner());
                at = object;
            }
            _ => return None,
        }
    }
}

/// The identifier that a path begins with; its place is the path's.
fn root(tree: &IdedExpr) -> &IdedExpr {
    let mut at = tree;
    loop {
        at = match &at.expr {
            Expr::Select(select) => &select.operand,
            Expr::Call(call) if !call.args.is_empty() => &call.args[0],
            _ => return at,
        };
    }
}
