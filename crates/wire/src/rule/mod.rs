//! Rules: CEL text to the tree of the core. The text is parsed by the crate `cel`; what we do not allow of CEL
//! is refused here, with its column and a hint. Nothing is evaluated here.
//!
//! **Invariant:** a parsed rule has at most `RULE_NODES_MAX` nodes and names known facts only.

mod convert;
mod facts;
#[cfg(test)]
mod tests;

use cel::parser::Parser;
use domain::rule::Rule;

pub use facts::FactUse;

use crate::problem::{Place, Problem, Problems, code};

/// The most bytes of a rule's text.
pub const RULE_BYTES_MAX: usize = 2048;
/// The most brackets and choices inside each other. The parser uses much stack for each.
pub const RULE_DEPTH_MAX: usize = 16;

/// Parses a rule. Problems carry line and column within `text`.
pub fn parse(text: &str) -> Result<Rule, Problems> {
    parse_with_facts(text).map(|(rule, _)| rule)
}

/// Parses a rule and lists the facts it names.
pub fn parse_with_facts(text: &str) -> Result<(Rule, Vec<FactUse>), Problems> {
    if text.len() > RULE_BYTES_MAX {
        let words = format!("expected a rule of at most {RULE_BYTES_MAX} bytes, but found {}", text.len());
        return Err(Problem::new(code::TOO_LARGE, "", words).into());
    }
    if depth(text) > RULE_DEPTH_MAX {
        let words = format!(
            "expected at most {RULE_DEPTH_MAX} brackets or choices inside each other, but found more"
        );
        return Err(Problem::new(code::TOO_DEEP, "", words).into());
    }
    let (tree, source) = Parser::new()
        .parse_with_source_info(text)
        .map_err(|errors| Problems(errors.errors.iter().map(syntax).collect()))?;
    let (expression, facts) = convert::convert(&tree, &source, text)?;
    Ok((Rule { text: text.into(), expression }, facts))
}

/// Brackets open at once and choices, whatever stands in quotes: an upper bound.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest + text.bytes().filter(|byte| *byte == b'?').count()
}

fn syntax(error: &cel::ParseError) -> Problem {
    let number = |value: isize| u32::try_from(value).unwrap_or(0).max(1);
    let place = Place { line: number(error.pos.0), column: number(error.pos.1) };
    let found = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let problem = Problem::new(code::RULE_SYNTAX, "", format!("expected a rule (CEL), but found: {found}"))
        .at(Some(place));
    if found.contains("'= '") || found.contains("'=") { problem.hint("compare with `==`") } else { problem }
}
