//! Reads the outputs of an answer and holds them against a signature.

use domain::model::{Signature, Tensor};
use serde_json::Value;

/// The output of that name.
pub(super) fn output<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let outputs = body.get("outputs")?.as_array()?;
    outputs.iter().find(|output| output.get("name").and_then(Value::as_str) == Some(name))
}

/// The numbers of an output, flat; booleans are 0 and 1.
pub(super) fn numbers(output: &Value) -> Option<Vec<f64>> {
    let mut flat = Vec::new();
    flatten(output.get("data")?, &mut flat).then_some(flat)
}

fn flatten(value: &Value, flat: &mut Vec<f64>) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| flatten(item, flat)),
        Value::Bool(truth) => {
            flat.push(f64::from(u8::from(*truth)));
            true
        }
        other => other.as_f64().map(|number| flat.push(number)).is_some(),
    }
}

/// What is wrong with an answer to `rows` rows, as a code and words.
pub(crate) fn complaints(body: &Value, signature: &Signature, rows: usize) -> Vec<(&'static str, String)> {
    let mut complaints = Vec::new();
    for wanted in &signature.outputs {
        let name = &wanted.name;
        match output(body, name) {
            None => complaints.push(("OUTPUT_MISSING", format!("the answer has no output `{name}`"))),
            Some(found) => complaints.extend(complaint(found, wanted, rows)),
        }
    }
    complaints
}

fn complaint(found: &Value, wanted: &Tensor, rows: usize) -> Option<(&'static str, String)> {
    let (name, declared) = (&wanted.name, &wanted.shape);
    let datatype = found.get("datatype").and_then(Value::as_str).unwrap_or("none");
    if datatype != &*wanted.datatype {
        let text = format!("output `{name}` is {datatype}, and declared {}", wanted.datatype);
        return Some(("OUTPUT_DATATYPE", text));
    }
    let shape: Option<Vec<i64>> =
        found.get("shape").and_then(Value::as_array).map(|it| it.iter().filter_map(Value::as_i64).collect());
    let shape = shape.unwrap_or_default();
    let fits = |(place, (found, declared)): (usize, (&i64, &i64))| match (*declared, place) {
        (-1, 0) => *found == rows as i64,
        (-1, _) => *found >= 0,
        (declared, _) => *found == declared,
    };
    if shape.len() != declared.len() || !shape.iter().zip(declared).enumerate().all(fits) {
        let text =
            format!("output `{name}` has shape {shape:?} for {rows} rows, and is declared {declared:?}");
        return Some(("OUTPUT_SHAPE", text));
    }
    let wanted_count = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).product::<usize>();
    let count = count(found.get("data").unwrap_or(&Value::Null));
    (count != wanted_count)
        .then(|| ("OUTPUT_SHAPE", format!("output `{name}` says shape {shape:?} and has {count} elements")))
}

fn count(data: &Value) -> usize {
    match data {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Null => 0,
        _ => 1,
    }
}
