//! The `with` of `gate`, and rules wherever they stand.

use domain::name::Role;
use domain::rule::Rule;
use domain::time::Millis;
use domain::workflow::{Approvals, GateWith, NamedRule};

use crate::fields::{Field, Fields};
use crate::problem::{Notes, Place, Problem, code};
use crate::rule::{self, FactUse};
use crate::tree::Value;

/// The most rules of a gate.
const RULES_MAX: usize = 64;
/// The most people of one role that a gate can ask for.
const APPROVERS_MAX: u64 = 20;

/// A rule, with what must be held against the whole workflow.
#[derive(Debug)]
pub(super) struct RuleDraft {
    pub(super) path: String,
    pub(super) place: Option<Place>,
    inner: Option<Place>,
    pub(super) rule: Rule,
    pub(super) facts: Vec<FactUse>,
}

impl RuleDraft {
    pub(super) fn problem(&self, code: &'static str, text: impl Into<String>) -> Problem {
        Problem::new(code, &self.path, text).at(self.place)
    }

    /// A problem at one of its facts.
    pub(super) fn problem_at(&self, fact: &FactUse, code: &'static str, text: impl Into<String>) -> Problem {
        Problem::new(code, &self.path, text).at(within(self.inner, self.place, 1, fact.column))
    }
}

/// The place of a column of a rule within the file, as far as it can be told.
fn within(inner: Option<Place>, place: Option<Place>, line: u32, column: u32) -> Option<Place> {
    match inner {
        Some(inner) if line == 1 => Some(Place { line: inner.line, column: inner.column + column - 1 }),
        _ => place,
    }
}

/// Reads one rule.
pub(super) fn rule(field: &Field<'_>, notes: &mut Notes) -> Option<RuleDraft> {
    let text = match &field.node.value {
        Value::Bool(value) => {
            if *value {
                "true"
            } else {
                "false"
            }
        }
        _ => field.text_as("a rule (CEL)", notes)?,
    };
    let (place, inner) = (field.node.place, field.node.inner);
    match rule::parse_with_facts(text) {
        Ok((rule, facts)) => Some(RuleDraft { path: field.path.clone(), place, inner, rule, facts }),
        Err(problems) => {
            for mut problem in problems.0 {
                problem.field.clone_from(&field.path);
                let (line, column) = (problem.line.unwrap_or(1), problem.column.unwrap_or(1));
                if problem.column.is_some() && inner.is_none() {
                    problem.text = format!("line {line}, column {column} of the rule: {}", problem.text);
                }
                notes.problem(problem.at(within(inner, place, line, column)));
            }
            None
        }
    }
}

pub(super) fn read(
    mut fields: Fields<'_>,
    rules: &mut Vec<RuleDraft>,
    notes: &mut Notes,
) -> Option<GateWith> {
    let require = fields.get("require").map_or(Some(vec![]), |field| require(&field, rules, notes));
    let approvals = fields.get("approvals").map_or(Some(vec![]), |field| approvals(&field, notes));
    let four_eyes = fields.get("four_eyes").map_or(Some(true), |field| field.bool(notes));
    let expires = fields.get("expires").map_or(Some(Millis::days(7)), |field| field.some_time(notes));
    let place =
        fields.problem(code::CONFLICT, "expected rules or approvals, but found neither: it always passes");
    fields.no_others(&["on_expiry", "escalate", "max_age"], notes);
    let with =
        GateWith { require: require?, approvals: approvals?, four_eyes: four_eyes?, expires: expires? };
    if with.require.is_empty() && with.approvals.is_empty() {
        notes.warning(place);
    }
    Some(with)
}

fn require(field: &Field<'_>, rules: &mut Vec<RuleDraft>, notes: &mut Notes) -> Option<Vec<NamedRule>> {
    let items = field.list(notes)?;
    if items.len() > RULES_MAX {
        let text = format!("expected at most {RULES_MAX} rules, but found {}", items.len());
        notes.problem(field.problem(code::TOO_LARGE, text));
        return None;
    }
    let mut named: Vec<NamedRule> = Vec::new();
    for item in items {
        let Some(one) = named_rule(&item, rules, notes) else { continue };
        if named.iter().any(|before| before.name == one.name) {
            let text = format!("expected each rule's name once, but found `{}` again", one.name);
            notes.problem(item.problem(code::DUPLICATE, text));
        }
        named.push(one);
    }
    Some(named)
}

/// A rule alone, or `{ rule, name, because }`.
fn named_rule(field: &Field<'_>, rules: &mut Vec<RuleDraft>, notes: &mut Notes) -> Option<NamedRule> {
    if !matches!(field.node.value, Value::Map(_)) {
        let draft = rule(field, notes)?;
        let (name, rule) = (draft.rule.text.clone(), draft.rule.clone());
        rules.push(draft);
        return Some(NamedRule { name, rule, because: None });
    }
    let mut fields = field.map(notes)?;
    let draft = fields.need("rule", "a rule (CEL)", notes).and_then(|field| rule(&field, notes));
    let name = fields.get("name").and_then(|field| field.shared_text(notes));
    let because = fields.get("because").and_then(|field| field.shared_text(notes));
    fields.no_others(&[], notes);
    let draft = draft?;
    let (name, rule) = (name.unwrap_or_else(|| draft.rule.text.clone()), draft.rule.clone());
    rules.push(draft);
    Some(NamedRule { name, rule, because })
}

fn approvals(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<Approvals>> {
    let mut approvals: Vec<Approvals> = Vec::new();
    for item in field.list(notes)? {
        let Some(mut fields) = item.map(notes) else { continue };
        let role = fields.need("role", "a role", notes).and_then(|field| field.parsed(Role::parse, notes));
        let count = fields.get("count").map_or(Some(1), |field| field.count(1, APPROVERS_MAX, notes));
        fields.no_others(&[], notes);
        let (Some(role), Some(count)) = (role, count) else { continue };
        if approvals.iter().any(|before| before.role == role) {
            let text = format!("expected each role once, but found `{role}` again");
            notes.problem(item.problem(code::DUPLICATE, text).hint("raise its `count`"));
        }
        approvals.push(Approvals { role, count: count as u32 });
    }
    Some(approvals)
}
