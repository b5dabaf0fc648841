//! CloudEvents 1.0 with JSON data: structured and binary mode and batches, by HTTP (`ce-`) and Kafka (`ce_`).
//!
//! **Invariant:** an event has a source and an id. Data is not looked at here.

use crate::fields::{Field, Fields};
use crate::problem::{Notes, Problem, Problems, code};
use crate::tree::Node;

use super::json;

/// The most bytes of one event.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// The most bytes of a batch.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most events of a batch.
pub const BATCH_EVENTS_MAX: usize = 100;

/// The content types of structured mode and of batches.
pub const STRUCTURED: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";

/// An event whose envelope was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    pub source: String,
    pub id: String,
    pub kind: String,
    pub subject: Option<String>,
    /// W3C trace context, an extension of CloudEvents or the header of the same name.
    pub traceparent: Option<String>,
    pub(super) data: Node,
    /// The path of the data in problems: `data`, or `[3].data` in a batch; nothing in binary mode.
    pub(super) data_path: String,
}

/// Reads a request by its content type: structured, batch or binary.
pub fn parse_request<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    body: &[u8],
) -> Result<Vec<CloudEvent>, Problems> {
    let content_type = find(headers.clone(), "content-type").unwrap_or("application/json");
    match media_type(content_type).as_str() {
        STRUCTURED => Ok(vec![with_trace(parse_structured(body)?, find(headers, "traceparent"))]),
        BATCH => parse_batch(body),
        _ => Ok(vec![parse_binary(headers, body)?]),
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
    let mut attributes: Vec<(String, String)> = Vec::new();
    let (mut content_type, mut trace) = (None, None);
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("ce-").or_else(|| name.strip_prefix("ce_")) {
            Some(attribute) => attributes.push((attribute.to_owned(), decoded(value))),
            None if name == "content-type" => content_type = Some(value.to_owned()),
            None if name == "traceparent" => trace = Some(value.to_owned()),
            None => {}
        }
    }
    let mut notes = Notes::default();
    let mut need = |key: &str| {
        let found = attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
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
    json_only(content_type.as_deref(), "content-type", &mut notes);
    let get = |key: &str| attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let data = match bounded(body, EVENT_BYTES_MAX) {
        Ok(data) => Some(data),
        Err(problem) => {
            notes.problem(problem);
            None
        }
    };
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
    if body.len() > most {
        let text = format!("expected at most {most} bytes, but found {}", body.len());
        return Err(Problem::new(code::TOO_LARGE, "", text));
    }
    json::read(body)
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
    if let Some(content_type) = fields.get("datacontenttype") {
        json_only(content_type.text(notes), &content_type.path, notes);
    }
    if let Some(field) = fields.get("data_base64") {
        let text = "expected `data` as JSON, but `data_base64` is not available in this version";
        notes.problem(field.problem(code::NOT_AVAILABLE, text));
        return None;
    }
    let data = fields.need("data", "what was trained", notes)?;
    Some(CloudEvent {
        source: source?,
        id: id?,
        kind: kind?,
        subject,
        traceparent,
        data: data.node.clone(),
        data_path: data.path,
    })
}

fn json_only(content_type: Option<&str>, field: &str, notes: &mut Notes) {
    let Some(content_type) = content_type else { return };
    let charset = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("charset"))
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let media = media_type(content_type);
    if media != "application/json" && !media.ends_with("+json") {
        let text = format!("expected `application/json`, but found `{}`", crate::tree::shortened(&media));
        notes.problem(Problem::new(code::NOT_AVAILABLE, field, text));
    }
    if charset.is_some_and(|charset| charset != "utf-8" && charset != "us-ascii") {
        notes.problem(Problem::new(code::NOT_AVAILABLE, field, "expected UTF-8, but found another charset"));
    }
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
