//! The `with` of `package` and `stage-test`.

use domain::evidence::Text;
use domain::name::Environment;
use domain::workflow::{PackageWith, StageTestWith};

use super::checks::{self, Where};
use crate::fields::{Field, Fields};
use crate::problem::{Notes, code};

/// The formats that can be packed.
const FORMATS: [(&str, ()); 1] = [("onnx", ())];

/// Lineage that `require` can demand.
const LINEAGE: [(&str, ()); 11] = [
    ("signature", ()),
    ("code.repo", ()),
    ("code.commit", ()),
    ("data", ()),
    ("run", ()),
    ("features.view", ()),
    ("features.schema_version", ()),
    ("hyperparameters", ()),
    ("environment", ()),
    ("evaluation", ()),
    ("baseline_profile", ()),
];

pub(super) fn package(mut fields: Fields<'_>, notes: &mut Notes) -> Option<PackageWith> {
    let formats = fields.get("formats").map_or_else(
        || Some(vec!["onnx".into()]),
        |field| {
            let formats = names(&field, &FORMATS, notes);
            if formats.as_ref().is_some_and(Vec::is_empty) {
                field.wrong(code::OUT_OF_RANGE, "at least one format", notes);
            }
            formats
        },
    );
    let size_max_bytes = fields.get("size_max").map_or(Some(2 << 30), |field| field.size(notes));
    if let Some(field) = fields.get("pickle") {
        match field.text(notes) {
            Some("refuse") | None => {}
            Some("exec") => {
                let text = "expected `refuse`, but `exec` is not available in this version";
                notes.problem(field.problem(code::NOT_AVAILABLE, text));
            }
            Some(_) => field.wrong(code::UNKNOWN_NAME, "`refuse`", notes),
        }
    }
    let require = fields.get("require").map_or(Some(vec![]), |field| names(&field, &LINEAGE, notes));
    let sign = fields.get("sign").map_or(Some(true), |field| field.bool(notes));
    fields.no_others(&[], notes);
    Some(PackageWith { formats: formats?, size_max_bytes: size_max_bytes?, require: require?, sign: sign? })
}

/// A list of known names, each once.
fn names(field: &Field<'_>, known: &[(&'static str, ())], notes: &mut Notes) -> Option<Vec<Text>> {
    let mut names: Vec<Text> = Vec::new();
    for item in field.list(notes)? {
        item.one_of(known, notes);
        let Some(name) = item.text(notes) else { continue };
        if names.iter().any(|before| &**before == name) {
            item.wrong(code::DUPLICATE, "each name once", notes);
        }
        names.push(name.into());
    }
    Some(names)
}

pub(super) fn stage_test(mut fields: Fields<'_>, notes: &mut Notes) -> Option<StageTestWith> {
    let environment = fields
        .get("environment")
        .map_or_else(|| Environment::parse("staging").ok(), |field| field.parsed(Environment::parse, notes));
    let checks = fields.need("checks", "a list of checks", notes);
    let checks = checks.and_then(|field| checks::read_all(&field, Where::StageTest, notes));
    fields.no_others(&["faults", "golden", "slices"], notes);
    Some(StageTestWith { environment: environment?, checks: checks? })
}
