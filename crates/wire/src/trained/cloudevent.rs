//! CloudEvents 1.0 with JSON or Protobuf data: structured and binary mode, by HTTP (`ce-`, and batches) and Kafka (`ce_`).
//!
//! **Invariant:** an event has a source and an id. What data says is not looked at here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json;
use crate::fields::{Field, Fields};
use crate::problem::{Notes, Problem, Problems, code};
use crate::tree::{Node, Value};

/// The most bytes of one event.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// The most bytes of a batch.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most events of a batch.
pub const BATCH_EVENTS_MAX: usize = 100;

/// The content types of structured mode and of batches.
pub const STRUCTURED: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";
/// What the content types of all events as a whole begin with, in whatever format.
const WHOLE: &str = "application/cloudevents";
/// The content type of data as `modelrail.v1.ModelTrained`.
pub const PROTOBUF: &str = "application/protobuf";

/// An event whose envelope was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    pub source: String,
    pub id: String,
    pub kind: String,
    pub subject: Option<String>,
    /// W3C trace context, an extension of CloudEvents or the header of the same name.
    pub traceparent: Option<String>,
    pub(super) data: Content,
    /// The path of the data in problems: `data`, or `[3].data` in a batch; nothing in binary mode.
    pub(super) data_path: String,
}

/// What happened, as it came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Json(Node),
    /// Of which message, the event's type says.
    Protobuf(Vec<u8>),
}

/// Reads a request by its content type: structured, batch or binary.
pub fn parse_request<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    body: &[u8],
) -> Result<Vec<CloudEvent>, Problems> {
    match media_type(find(headers.clone(), "content-type").unwrap_or_default()).as_str() {
        BATCH => parse_batch(body),
        _ => Ok(vec![parse_one(headers, body)?]),
    }
}

/// Reads a record of a topic: structured or binary. A record without a value has no data, whatever its headers say.
pub fn parse_record<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    value: Option<&[u8]>,
) -> Result<CloudEvent, Problems> {
    let Some(value) = value else {
        let text = "expected an event, but the record has no value";
        return Err(Problem::new(code::MISSING, "", text)
            .hint("an event is not withdrawn by a tombstone: abort its run")
            .into());
    };
    parse_one(headers, value)
}

fn parse_one<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    body: &[u8],
) -> Result<CloudEvent, Problems> {
    match media_type(find(headers.clone(), "content-type").unwrap_or_default()).as_str() {
        STRUCTURED => Ok(with_trace(parse_structured(body)?, find(headers, "traceparent"))),
        other if other.starts_with(WHOLE) => {
            let text = format!(
                "expected one event as `{STRUCTURED}`, but found `{}`",
                crate::tree::shortened(other)
            );
            Err(Problem::new(code::NOT_AVAILABLE, "content-type", text)
                .hint("a record of a topic is one event; a batch goes by HTTP")
                .into())
        }
        _ => parse_binary(headers, body),
    }
}

/// A trace context of the transport stands in when the event has none of its own.
fn with_trace(mut event: CloudEvent, header: Option<&str>) -> CloudEvent {
    event.traceparent = event.traceparent.or_else(|| header.map(str::to_owned));
    event
}

/// Reads an event in structured mode.
pub fn parse_structured(body: &[u8]) -> Result<CloudEvent, Problems> {
    let root = bounded(body, EVENT_BYTES_MAX)?;
    let mut notes = Notes::default();
    let event = envelope(&Field::root(&root), &mut notes);
    notes.conclude(event).map(|(event, _)| event)
}

/// Reads a batch; a problem in one event refuses them all, with the index of each.
pub fn parse_batch(body: &[u8]) -> Result<Vec<CloudEvent>, Problems> {
    let root = bounded(body, BATCH_BYTES_MAX)?;
    let mut notes = Notes::default();
    let field = Field::root(&root);
    let events = field.list(&mut notes).and_then(|items| {
        if items.len() > BATCH_EVENTS_MAX {
            let text = format!("expected at most {BATCH_EVENTS_MAX} events, but found {}", items.len());
            notes.problem(field.problem(code::TOO_LARGE, text));
            return None;
        }
        let events: Vec<_> = items.iter().map(|item| envelope(item, &mut notes)).collect();
        events.into_iter().collect()
    });
    notes.conclude(events).map(|(events, _)| events)
}

/// Reads an event in binary mode: attributes in headers, data in the body.
pub fn parse_binary<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Result<CloudEvent, Problems> {
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    let (mut content_type, mut trace) = (None, None);
    let mut notes = Notes::default();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        // Only headers of HTTP are percent-encoded; those of a record are UTF-8 as they stand.
        let attribute = match (name.strip_prefix("ce-"), name.strip_prefix("ce_")) {
            (Some(attribute), _) => Some((attribute, decoded(value))),
            (None, Some(attribute)) => Some((attribute, value.to_owned())),
            (None, None) => None,
        };
        match attribute {
            Some((attribute, value)) => {
                let before = attributes.entry(attribute.to_owned()).or_insert_with(|| value.clone());
                if *before != value {
                    let field = format!("ce-{}", crate::tree::shortened(attribute));
                    let text = format!("expected the header `{field}` once, but found it with two values");
                    notes.problem(Problem::new(code::DUPLICATE, field, text));
                }
            }
            None if name == "content-type" && content_type.is_none() => content_type = Some(value.to_owned()),
            None if name == "traceparent" => trace = Some(value.to_owned()),
            None => {}
        }
    }
    let mut need = |key: &str| {
        let found = attributes.get(key).cloned();
        found.filter(|value| !value.is_empty()).unwrap_or_else(|| {
            let text = format!("expected the header `ce-{key}`, but it is missing");
            notes.problem(Problem::new(code::MISSING, format!("ce-{key}"), text));
            String::new()
        })
    };
    let (version, kind) = (need("specversion"), need("type"));
    let (source, id) = (need("source"), need("id"));
    if !version.is_empty() && version != "1.0" {
        let text = format!("expected `1.0`, but found `{}`", crate::tree::shortened(&version));
        notes.problem(Problem::new(code::UNKNOWN_NAME, "ce-specversion", text));
    }
    for (name, value) in [("ce-source", &source), ("ce-id", &id)] {
        if value.chars().count() > crate::fields::TEXT_CHARS_MAX || value.chars().any(char::is_control) {
            let text = "expected at most 1024 characters without control characters, but found others";
            notes.problem(Problem::new(code::OUT_OF_RANGE, name, text));
        }
    }
    let format = format_of(content_type.as_deref(), "content-type", &mut notes);
    let get = |key: &str| attributes.get(key).cloned();
    let data = format.and_then(|format| match data_of(format, body) {
        Ok(data) => Some(data),
        Err(problem) => {
            notes.problem(problem);
            None
        }
    });
    let event = data.map(|data| CloudEvent {
        source,
        id,
        kind,
        subject: get("subject"),
        traceparent: get("traceparent").or(trace),
        data,
        data_path: String::new(),
    });
    notes.conclude(event).map(|(event, _)| event)
}

fn bounded(body: &[u8], most: usize) -> Result<Node, Problem> {
    at_most(body, most)?;
    json::read(body)
}

fn at_most(body: &[u8], most: usize) -> Result<(), Problem> {
    if body.len() > most {
        let text = format!("expected at most {most} bytes, but found {}", body.len());
        return Err(Problem::new(code::TOO_LARGE, "", text));
    }
    Ok(())
}

fn data_of(format: Format, body: &[u8]) -> Result<Content, Problem> {
    at_most(body, EVENT_BYTES_MAX)?;
    match format {
        Format::Json => json::read(body).map(Content::Json),
        Format::Protobuf => Ok(Content::Protobuf(body.to_vec())),
    }
}

fn envelope(field: &Field<'_>, notes: &mut Notes) -> Option<CloudEvent> {
    let mut fields = field.map(notes)?;
    if let Some(version) = fields.need("specversion", "`1.0`", notes) {
        version.one_of(&[("1.0", ())], notes);
    }
    let mut need = |fields: &mut Fields<'_>, key, expected: &str| {
        fields.need(key, expected, notes).and_then(|field| field.text(notes).map(str::to_owned))
    };
    let kind = need(&mut fields, "type", "the event's type");
    let source = need(&mut fields, "source", "where the event comes from");
    let id = need(&mut fields, "id", "the event's id at its source");
    let subject = fields.get("subject").and_then(|field| field.text(notes)).map(str::to_owned);
    let traceparent = fields.get("traceparent").and_then(|field| field.text(notes)).map(str::to_owned);
    let content_type = fields.get("datacontenttype");
    let format = match &content_type {
        Some(field) => field.text(notes).and_then(|text| format_of(Some(text), &field.path, notes)),
        None => Some(Format::Json),
    };
    let (data, data_path) = enveloped(&mut fields, format, notes)?;
    Some(CloudEvent { source: source?, id: id?, kind: kind?, subject, traceparent, data, data_path })
}

/// The data inside of an event: as JSON in it, or any bytes as Base64; and its path.
fn enveloped(
    fields: &mut Fields<'_>,
    format: Option<Format>,
    notes: &mut Notes,
) -> Option<(Content, String)> {
    let Some(base64) = fields.get("data_base64") else {
        let data = fields.need("data", "what was trained", notes)?;
        return match format? {
            Format::Json => Some((Content::Json(data.node.clone()), data.path)),
            Format::Protobuf => {
                let text = format!("expected `data_base64` for `{PROTOBUF}`, but found `data`");
                notes.problem(data.problem(code::CONFLICT, text));
                None
            }
        };
    };
    if let Some(data) = fields.get("data") {
        let text = "expected one of `data` and `data_base64`, but found both";
        notes.problem(data.problem(code::CONFLICT, text));
        return None;
    }
    let Value::Text(text) = &base64.node.value else {
        base64.wrong(code::WRONG_TYPE, "bytes as Base64", notes);
        return None;
    };
    let Ok(bytes) = STANDARD.decode(text) else {
        base64.wrong(code::MALFORMED, "bytes as Base64", notes);
        return None;
    };
    let path = base64.path.trim_end_matches("_base64").to_owned();
    match data_of(format?, &bytes) {
        Ok(data) => Some((data, path)),
        Err(problem) => {
            // Its line and column are those of the data, not of the event.
            notes.problem(Problem { field: base64.path, ..problem });
            None
        }
    }
}

/// In what data may come.
#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Protobuf,
}

/// JSON where nothing is said.
fn format_of(content_type: Option<&str>, field: &str, notes: &mut Notes) -> Option<Format> {
    let Some(content_type) = content_type else { return Some(Format::Json) };
    let media = media_type(content_type);
    if media == PROTOBUF {
        return Some(Format::Protobuf);
    }
    if media != "application/json" && !media.ends_with("+json") {
        let found = crate::tree::shortened(&media);
        let text = format!("expected `application/json` or `{PROTOBUF}`, but found `{found}`");
        notes.problem(Problem::new(code::NOT_AVAILABLE, field, text));
        return None;
    }
    let charset = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("charset"))
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    if charset.is_some_and(|charset| charset != "utf-8" && charset != "us-ascii") {
        notes.problem(Problem::new(code::NOT_AVAILABLE, field, "expected UTF-8, but found another charset"));
        return None;
    }
    Some(Format::Json)
}

/// The type without its parameters, in lower case.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn find<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>, name: &str) -> Option<&'a str> {
    headers.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Undoes the percent-encoding of header values; what is not UTF-8 then stays as it came.
fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| (*byte as char).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| value.to_owned())
}
