//! Where a model comes from, as far as its event says.

use domain::evidence::Text;
use domain::model::{Lineage, TrainingSet};
use domain::name::Digest;

use crate::fields::{Field, Fields, LIST_MAX, TEXT_CHARS_MAX};
use crate::problem::{Notes, code};
use crate::tree::Value;

/// Reads the lineage fields of an event's data. Problems are noted.
pub(super) fn read(fields: &mut Fields<'_>, notes: &mut Notes) -> Lineage {
    let mut lineage = Lineage::default();
    if let Some(mut run) = fields.get("run").and_then(|field| field.map(notes)) {
        lineage.run_system = text(&mut run, "system", notes);
        lineage.run_id = text(&mut run, "id", notes);
        lineage.run_url = text(&mut run, "url", notes);
        run.warn_of_others(notes);
    }
    if let Some(mut code) = fields.get("code").and_then(|field| field.map(notes)) {
        lineage.code_repo = text(&mut code, "repo", notes);
        lineage.code_commit = text(&mut code, "commit", notes);
        lineage.code_dirty = code.get("dirty").and_then(|field| field.bool(notes));
        code.warn_of_others(notes);
    }
    let sets = fields.get("data").and_then(|field| field.list(notes)).unwrap_or_default();
    lineage.training_sets = sets.iter().filter_map(|item| training_set(item, notes)).collect();
    if let Some(mut features) = fields.get("features").and_then(|field| field.map(notes)) {
        lineage.features_view = text(&mut features, "view", notes);
        lineage.features_schema_version = text(&mut features, "schema_version", notes);
        features.warn_of_others(notes);
    }
    if let Some(settings) = fields.get("hyperparameters") {
        lineage.hyperparameters = hyperparameters(&settings, notes).unwrap_or_default();
    }
    if let Some(mut environment) = fields.get("environment").and_then(|field| field.map(notes)) {
        lineage.environment_lock = text(&mut environment, "lock_sha256", notes);
        lineage.environment_image = text(&mut environment, "image_digest", notes);
        environment.warn_of_others(notes);
    }
    lineage
}

fn hyperparameters(settings: &Field<'_>, notes: &mut Notes) -> Option<Vec<(Text, Text)>> {
    let fields = settings.map(notes)?;
    let found = fields.entries().count();
    if found > LIST_MAX {
        let words = format!("expected at most {LIST_MAX} hyperparameters, but found {found}");
        notes.problem(settings.problem(code::TOO_LARGE, words));
        return None;
    }
    let all = fields.entries().filter_map(|(entry, field)| {
        if entry.key.chars().count() > TEXT_CHARS_MAX {
            let words =
                format!("expected names of at most {TEXT_CHARS_MAX} characters, but found a longer one");
            notes.problem(settings.problem(code::TOO_LARGE, words));
            return None;
        }
        Some((Text::from(entry.key.as_str()), scalar(&field, notes)?))
    });
    let mut all: Vec<(Text, Text)> = all.collect();
    all.sort();
    Some(all)
}

fn text(fields: &mut Fields<'_>, key: &'static str, notes: &mut Notes) -> Option<Text> {
    fields.get(key).and_then(|field| field.shared_text(notes))
}

/// A setting as text, however it was written.
fn scalar(field: &Field<'_>, notes: &mut Notes) -> Option<Text> {
    match &field.node.value {
        Value::Text(text) if text.chars().count() <= TEXT_CHARS_MAX => Some(text.as_str().into()),
        Value::Null => Some("null".into()),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Whole(value) => Some(value.to_string().into()),
        Value::Real(value) => Some(value.to_string().into()),
        Value::Text(_) | Value::List(_) | Value::Map(_) => {
            field.wrong(code::WRONG_TYPE, "a text of at most 1024 characters, a number or a bool", notes);
            None
        }
    }
}

fn training_set(field: &Field<'_>, notes: &mut Notes) -> Option<TrainingSet> {
    let mut fields = field.map(notes)?;
    let uri = fields.need("uri", "the data's address", notes).and_then(|field| field.shared_text(notes));
    let version = text(&mut fields, "version", notes);
    let sha256 = fields.get("sha256").and_then(|field| field.parsed(Digest::parse, notes));
    let rows = fields.get("rows").and_then(|field| field.count(0, u64::MAX, notes));
    fields.warn_of_others(notes);
    Some(TrainingSet { uri: uri?, version, sha256, rows })
}
