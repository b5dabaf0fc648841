//! What every stage has: its name, its kind, what it needs, its condition, its bounds.

use domain::name::StageName;
use domain::time::Millis;
use domain::workflow::{Retry, StageKind, With};

use super::gate::RuleDraft;
use super::{Defaults, STAGES_MAX, gate, rollout, tests_and_package};
use crate::fields::{Field, Fields};
use crate::problem::{Notes, Place, Problem, code};

const KINDS: [(&str, StageKind); 5] = [
    ("package", StageKind::Package),
    ("stage-test", StageKind::StageTest),
    ("gate", StageKind::Gate),
    ("rollout", StageKind::Rollout),
    ("monitor", StageKind::Monitor),
];

/// A stage as it is written, before it is known what comes before it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: String,
    pub(super) place: Option<Place>,
    pub(super) name: StageName,
    pub(super) kind: StageKind,
    /// Names of stages with the paths they stand at; none: the stage before.
    pub(super) needs: Option<Vec<(StageName, Problem)>>,
    pub(super) when: Option<RuleDraft>,
    pub(super) rules: Vec<RuleDraft>,
    pub(super) timeout: Millis,
    pub(super) retry: Retry,
    /// Nothing when it was not understood; then that was noted.
    pub(super) with: Option<With>,
}

pub(super) fn defaults(field: &Field<'_>, notes: &mut Notes) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(mut fields) = field.map(notes) else { return defaults };
    if let Some(timeout) = fields.get("timeout").and_then(|field| field.some_time(notes)) {
        defaults.timeout = timeout;
    }
    if let Some(field) = fields.get("retry") {
        defaults.retry = retry(&field, defaults.retry, notes);
    }
    if let Some(tick) = fields.get("tick") {
        let within = Millis(100)..=Millis::hours(1);
        defaults.tick = tick.duration(within, notes).unwrap_or(defaults.tick);
    }
    fields.no_others(&[], notes);
    defaults
}

fn retry(field: &Field<'_>, default: Retry, notes: &mut Notes) -> Retry {
    let mut retry = default;
    let Some(mut fields) = field.map(notes) else { return retry };
    if let Some(attempts) = fields.get("attempts").and_then(|field| field.count(1, 100, notes)) {
        retry.attempts = attempts as u32;
    }
    if let Some((least, most)) = fields.get("backoff").and_then(|field| field.range_of_time(notes)) {
        (retry.backoff_min, retry.backoff_max) = (least, most);
    }
    fields.no_others(&[], notes);
    retry
}

pub(super) fn read_all(field: &Field<'_>, defaults: Defaults, notes: &mut Notes) -> Option<Vec<Draft>> {
    let items = field.list(notes)?;
    if items.is_empty() || items.len() > STAGES_MAX {
        let text = format!("expected 1 to {STAGES_MAX} stages, but found {}", items.len());
        notes.problem(field.problem(code::OUT_OF_RANGE, text));
        return None;
    }
    let count = items.len();
    let drafts: Vec<Draft> = items.iter().filter_map(|item| read(item, defaults, notes)).collect();
    for (index, draft) in drafts.iter().enumerate() {
        if drafts[..index].iter().any(|before| before.name == draft.name) {
            let text = format!("expected each stage's name once, but found `{}` again", draft.name);
            notes
                .problem(Problem::new(code::DUPLICATE, format!("{}.name", draft.path), text).at(draft.place));
        }
    }
    // What a stage that was not understood would have been for the others cannot be told.
    (drafts.len() == count).then_some(drafts)
}

fn read(field: &Field<'_>, defaults: Defaults, notes: &mut Notes) -> Option<Draft> {
    let mut fields = field.map(notes)?;
    let name = fields.need("name", "the stage's name", notes).and_then(|field| stage_name(&field, notes));
    let kind = fields
        .need("kind", "package, stage-test, gate, rollout or monitor", notes)
        .and_then(|field| field.one_of(&KINDS, notes));
    let needs = fields.get("needs").and_then(|field| field.list(notes)).map(|items| {
        let named = |item: Field<'_>| {
            let name = item.parsed(StageName::parse, notes)?;
            Some((name, item.unexpected(code::UNKNOWN_NAME, "the name of another stage")))
        };
        items.into_iter().filter_map(named).collect()
    });
    let when = fields.get("when").and_then(|field| gate::rule(&field, notes));
    let timeout = fields.get("timeout");
    let retry_field = fields.get("retry");
    let with = fields.get("with");
    let Some(kind) = kind else {
        fields.no_others(&[], notes);
        return None;
    };
    if let Some(field) = &timeout {
        bounded_otherwise(field, kind, notes);
    }
    if let (Some(field), StageKind::Gate | StageKind::Monitor) = (&retry_field, kind) {
        let text = format!("expected no `retry`, but found one: a {} has no tries", kind.as_str());
        notes.problem(field.problem(code::CONFLICT, text));
    }
    if let (Some(rule), StageKind::Package | StageKind::Rollout) = (&when, kind) {
        let text =
            format!("expected no `when`, but found one: without its {} nothing goes live", kind.as_str());
        notes.problem(rule.problem(code::CONFLICT, text));
    }
    let timeout = timeout.and_then(|field| field.some_time(notes)).unwrap_or(defaults.timeout);
    let retry = retry_field.map_or(defaults.retry, |field| retry(&field, defaults.retry, notes));
    let mut rules = Vec::new();
    let with = with_of(kind, with, &fields, defaults, &mut rules, notes);
    let (path, place) = (fields.path.clone(), fields.place);
    fields.no_others(&["caps", "environment"], notes);
    Some(Draft { path, place, name: name?, kind, needs, when, rules, timeout, retry, with })
}

/// A name without a point: rules name stages within dotted paths.
pub(super) fn stage_name(field: &Field<'_>, notes: &mut Notes) -> Option<StageName> {
    let name = field.parsed(StageName::parse, notes)?;
    if name.as_str().contains('.') {
        field.wrong(code::OUT_OF_RANGE, "a name without a point, so that rules can name it", notes);
        return None;
    }
    Some(name)
}

fn bounded_otherwise(timeout: &Field<'_>, kind: StageKind, notes: &mut Notes) {
    let instead = match kind {
        StageKind::Package | StageKind::StageTest => return,
        StageKind::Gate => "a gate is bounded by `expires`",
        StageKind::Rollout => "a rollout is bounded by the `deadline` of its steps",
        StageKind::Monitor => "a monitor has no end",
    };
    let text = format!("expected no `timeout`, but found one: {instead}");
    notes.problem(timeout.problem(code::CONFLICT, text));
}

fn with_of(
    kind: StageKind,
    field: Option<Field<'_>>,
    stage: &Fields<'_>,
    defaults: Defaults,
    rules: &mut Vec<RuleDraft>,
    notes: &mut Notes,
) -> Option<With> {
    let empty = crate::tree::Node { place: stage.place, inner: None, value: crate::tree::Value::Map(vec![]) };
    let field = field.unwrap_or_else(|| Field { path: format!("{}.with", stage.path), node: &empty });
    let fields = field.map(notes)?;
    match kind {
        StageKind::Package => tests_and_package::package(fields, notes).map(With::Package),
        StageKind::StageTest => tests_and_package::stage_test(fields, notes).map(With::StageTest),
        StageKind::Gate => gate::read(fields, rules, notes).map(With::Gate),
        StageKind::Rollout => rollout::rollout(fields, defaults.tick, notes).map(With::Rollout),
        StageKind::Monitor => rollout::monitor(fields, notes).map(With::Monitor),
    }
}
