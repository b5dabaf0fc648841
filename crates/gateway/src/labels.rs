//! Takes labels: a JSON array, or JSON lines, of `{"id", "label" | "value", "time"?}`.
//!
//! Invariant: all labels of a request are taken or none, and a refusal names line and field. Whether the id was
//! ever answered is not asked: a label may come before its prediction is written.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use domain::name::TargetId;
use domain::time::Timestamp;
use engine::port::predictions::Label;
use hyper::body::Bytes;
use hyper::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::gateway::Shared;
use crate::instant;
use crate::protocol::ID_BYTES_MAX;
use crate::refusal::{Answer, Refusal, json, text_with_causes};

/// How much is repeated of what was wrong.
const FOUND_CHARS_MAX: usize = 200;

const HINT: &str =
    "send {\"id\": the request's id, \"label\": a number or boolean, \"time\": RFC 3339 or Unix ms}";

/// Takes the labels of `body` for `target`.
pub(crate) async fn take(shared: &Arc<Shared>, target: &TargetId, body: Bytes) -> Result<Answer, Refusal> {
    let labels = read(target, &body, shared.limits.labels_max, instant::now())?;
    let number = labels.len();
    let predictions = Arc::clone(&shared.predictions);
    let kept = tokio::task::spawn_blocking(move || predictions.label(&labels)).await;
    let error = match kept {
        Ok(Ok(())) => {
            shared.counts.labels.fetch_add(number as u64, Relaxed);
            return Ok(json(StatusCode::OK, &serde_json::json!({ "labels": number })));
        }
        Ok(Err(error)) => text_with_causes(&error),
        Err(panicked) => panicked.to_string(),
    };
    tracing::error!(%target, error, "failed to keep labels");
    let text = "failed to keep the labels";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "LABELS_NOT_KEPT", text).hint("send them again later"))
}

/// Reads all labels, or says what is wrong with the first wrong one.
pub(crate) fn read(
    target: &TargetId,
    body: &[u8],
    labels_max: usize,
    now: Timestamp,
) -> Result<Vec<Label>, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|_| refused("LABELS_MALFORMED", "expected to read labels as UTF-8, but they are not"))?;
    let entries: Vec<(usize, &str)> = if text.trim_start().starts_with('[') {
        let entries: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
            refused("LABELS_MALFORMED", format!("expected to read an array of labels, but {error}"))
                .at(error.line(), None)
        })?;
        let (mut line, mut seen) = (1, 0);
        let mut with_line = |entry: &RawValue| {
            let at = entry.get().as_ptr().addr() - text.as_ptr().addr();
            line += text[seen..at].matches('\n').count();
            seen = at;
            line
        };
        entries.iter().take(labels_max + 1).map(|entry| (with_line(entry), entry.get())).collect()
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.take(labels_max + 1).map(|(place, line)| (place + 1, line)).collect()
    };
    if entries.is_empty() {
        return Err(refused("LABELS_MALFORMED", "expected to take labels, but there are none").hint(HINT));
    }
    if entries.len() > labels_max {
        let text = format!("expected to take at most {labels_max} labels at once, but there are more");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "LABELS_TOO_MANY", text));
    }
    entries.into_iter().map(|(line, entry)| label(target, line, entry, now)).collect()
}

fn refused(code: &'static str, text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, text)
}

/// One label as it is sent. A key twice is refused: two readers must not take two labels from the same bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, deserialize_with = "as_written")]
    id: Option<Value>,
    #[serde(default, deserialize_with = "as_written")]
    label: Option<Value>,
    #[serde(default, deserialize_with = "as_written")]
    value: Option<Value>,
    #[serde(default, deserialize_with = "as_written")]
    time: Option<Value>,
}

/// Tells `null` from nothing, which an `Option` would not.
fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn label(target: &TargetId, line: usize, entry: &str, now: Timestamp) -> Result<Label, Refusal> {
    let wrong = |field: Option<&'static str>, what: &str| {
        let subject = field.map_or_else(|| "a label".to_owned(), |field| format!("`{field}`"));
        let text = format!("expected to read {subject} in line {line}, but {what}");
        refused("LABEL_INVALID", text).at(line, field).hint(HINT)
    };
    let is_object = entry.trim_start().starts_with('{');
    let entry: Entry = serde_json::from_str(entry).map_err(|error| {
        let found: String = error.to_string().chars().take(FOUND_CHARS_MAX).collect();
        wrong(None, &if error.is_data() { found } else { format!("it is no JSON: {found}") })
    })?;
    // serde takes a list for an object, by the order of its fields.
    if !is_object {
        return Err(wrong(None, "it is no object"));
    }
    let request_id = match &entry.id {
        Some(Value::String(id)) if !id.is_empty() && id.len() <= ID_BYTES_MAX => id.clone(),
        Some(Value::String(_)) => return Err(wrong(Some("id"), "it has not 1 to 256 bytes")),
        Some(_) => return Err(wrong(Some("id"), "it is no text")),
        None => return Err(wrong(Some("id"), "it is missing")),
    };
    let (field, value) = match (&entry.label, &entry.value) {
        (Some(value), None) => ("label", value),
        (None, Some(value)) => ("value", value),
        (Some(_), Some(_)) => return Err(wrong(Some("value"), "`label` is there too")),
        (None, None) => return Err(wrong(Some("label"), "it is missing")),
    };
    let value = match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(value) => value
            .as_f64()
            .filter(|value| value.is_finite())
            .ok_or_else(|| wrong(Some(field), "it is out of range"))?,
        _ => return Err(wrong(Some(field), "it is no number or boolean")),
    };
    let at = match &entry.time {
        None => now,
        Some(Value::Number(ms)) => {
            Timestamp(ms.as_u64().ok_or_else(|| wrong(Some("time"), "it is no count of milliseconds"))?)
        }
        Some(Value::String(text)) => {
            instant::parse(text).ok_or_else(|| wrong(Some("time"), "it is no RFC 3339 time"))?
        }
        Some(_) => return Err(wrong(Some("time"), "it is no text or number")),
    };
    Ok(Label { target: target.clone(), request_id, at, value })
}
