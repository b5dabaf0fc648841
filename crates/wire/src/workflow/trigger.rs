//! `trigger`: which models start a run, where it goes, and what it does about those under way.

use domain::evidence::Text;
use domain::name::{Environment, ModelName};
use domain::workflow::{Trigger, WhileRunning};

use crate::fields::Field;
use crate::problem::{Notes, code};

const WHILE_RUNNING: [(&str, WhileRunning); 3] = [
    ("supersede", WhileRunning::Supersede),
    ("queue", WhileRunning::Queue),
    ("refuse", WhileRunning::Refuse),
];

pub(super) fn read(field: &Field<'_>, notes: &mut Notes) -> Option<Trigger> {
    let mut fields = field.map(notes)?;
    let models =
        fields.need("models", "names, or prefixes that end in `*`; `[]`: only when an event names it", notes);
    let models = models.and_then(|field| field.list(notes)).map(|items| {
        let mut models: Vec<Text> = Vec::new();
        for item in items {
            if let Some(model) = model(&item, notes) {
                if models.contains(&model) {
                    item.wrong(code::DUPLICATE, "each model once", notes);
                }
                models.push(model);
            }
        }
        models
    });
    let environment = fields
        .get("target")
        .map_or_else(|| Environment::parse("production").ok(), |field| environment(&field, notes));
    let while_running = fields
        .get("while_running")
        .map_or(Some(WhileRunning::default()), |field| field.one_of(&WHILE_RUNNING, notes));
    fields.no_others(&[], notes);
    Some(Trigger { models: models?, environment: environment?, while_running: while_running? })
}

fn model(field: &Field<'_>, notes: &mut Notes) -> Option<Text> {
    let text = field.text_as("a model, or a prefix that ends in `*`", notes)?;
    let plain = text.strip_suffix('*').unwrap_or(text);
    if text != "*" && ModelName::parse(plain).is_err() {
        field.wrong(code::OUT_OF_RANGE, "a model such as `fraud`, or a prefix such as `churn-*`", notes);
        return None;
    }
    Some(text.into())
}

/// `{model}@production`
fn environment(field: &Field<'_>, notes: &mut Notes) -> Option<Environment> {
    let text = field.text(notes)?;
    let Some(name) = text.strip_prefix("{model}@") else {
        let problem = field.unexpected(code::OUT_OF_RANGE, "a target of the form `{model}@environment`");
        notes.problem(problem.hint("the target's model is the trained one"));
        return None;
    };
    let environment = Environment::parse(name).ok();
    if environment.is_none() {
        field.wrong(code::OUT_OF_RANGE, "a target of the form `{model}@environment`", notes);
    }
    environment
}
