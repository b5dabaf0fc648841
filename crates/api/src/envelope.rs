//! CloudEvents 1.0 over HTTP: structured, batched, and binary content mode, taken apart into attributes and data.
//!
//! Knows nothing of what the event is about.

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::take;

/// The most events of one batch.
const EVENTS_MAX: usize = 100;

/// One event: its attributes and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// Of the data, in lower case and without parameters.
    pub(crate) content_type: String,
    pub(crate) data: Vec<u8>,
}

/// Takes the events of a request apart. The content type says the mode.
pub(crate) fn envelopes(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Envelope>, Problem> {
    match take::media_type(headers).as_deref() {
        Some("application/cloudevents+json") => Ok(vec![structured(json(body)?, "")?]),
        Some("application/cloudevents-batch+json") => {
            let Value::Array(events) = json(body)? else {
                return Err(malformed("expected a list of events"));
            };
            if events.is_empty() || events.len() > EVENTS_MAX {
                let text = format!("expected a batch of 1 to {EVENTS_MAX} events, but it has {}", events.len());
                return Err(malformed(&text));
            }
            let numbered = events.into_iter().enumerate();
            numbered.map(|(index, event)| structured(event, &format!("[{index}]."))).collect()
        }
        Some(other) if other.starts_with("application/cloudevents") => {
            let text = format!("expected CloudEvents as JSON, but found {other}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text)
                .field("content-type"))
        }
        content_type => Ok(vec![binary(headers, content_type.unwrap_or("application/json"), body)?]),
    }
}

fn malformed(text: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "MALFORMED", text)
}

fn json(body: &[u8]) -> Result<Value, Problem> {
    take::bounded_depth(body)?;
    serde_json::from_slice(body).map_err(|error| malformed(&format!("expected JSON, but {error}")))
}

fn structured(event: Value, at: &str) -> Result<Envelope, Problem> {
    let Value::Object(mut attributes) = event else { return Err(malformed("expected an event as an object")) };
    let needed = |name: &str| match attributes.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(malformed(&format!("expected `{name}` as a text")).field(format!("{at}{name}"))),
        None => Err(missing(name).field(format!("{at}{name}"))),
    };
    version(&needed("specversion")?)?;
    let (id, source, kind) = (needed("id")?, needed("source")?, needed("type")?);
    let (subject, traceparent) = (text(&attributes, "subject"), text(&attributes, "traceparent"));
    let content_type = text(&attributes, "datacontenttype").unwrap_or_else(|| "application/json".to_owned());
    let data = match (attributes.remove("data_base64"), attributes.remove("data")) {
        (Some(Value::String(encoded)), None) => STANDARD
            .decode(encoded)
            .map_err(|error| malformed(&format!("expected base64, but {error}")).field(format!("{at}data_base64")))?,
        (None, Some(Value::String(text))) if !is_json(&content_type) => text.into_bytes(),
        (None, Some(data)) => serde_json::to_vec(&data).expect("what was parsed from JSON is JSON"),
        (None, None) => return Err(missing("data").field(format!("{at}data"))),
        (Some(_), _) => {
            return Err(malformed("expected one of `data` and `data_base64`").field(format!("{at}data_base64")));
        }
    };
    Ok(Envelope { id, source, kind, subject, traceparent, content_type: plain(&content_type), data })
}

fn binary(headers: &HeaderMap, content_type: &str, body: &[u8]) -> Result<Envelope, Problem> {
    let header = |name: &str| -> Result<Option<String>, Problem> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| malformed("expected ASCII in a header").field(name))?;
        Ok(Some(unescaped(text)).filter(|text| !text.is_empty()))
    };
    let needed = |name: &str| header(name)?.ok_or_else(|| missing(name).field(name));
    version(&needed("ce-specversion")?)?;
    let traceparent = header("ce-traceparent")?.or_else(|| take::traceparent(headers));
    Ok(Envelope {
        id: needed("ce-id")?,
        source: needed("ce-source")?,
        kind: needed("ce-type")?,
        subject: header("ce-subject")?,
        traceparent,
        content_type: content_type.to_owned(),
        data: body.to_vec(),
    })
}

fn missing(name: &str) -> Problem {
    let text = format!("expected the attribute `{name}` of a CloudEvent, but it is missing");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "MISSING", text)
        .hint("send content type `application/cloudevents+json`, or headers `ce-id`, `ce-source`, `ce-type`, `ce-specversion`")
}

fn version(found: &str) -> Result<(), Problem> {
    if found == "1.0" {
        return Ok(());
    }
    let text = format!("expected CloudEvents 1.0, but found `{found}`");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "UNKNOWN_VERSION", text).field("specversion"))
}

fn text(attributes: &Map<String, Value>, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn plain(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(content_type: &str) -> bool {
    let plain = plain(content_type);
    plain == "application/json" || plain.ends_with("+json") || plain == "text/json"
}

/// Header values carry other characters percent-encoded.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn structured_event() -> String {
        r#"{"specversion":"1.0","id":"1","source":"/t","type":"x","subject":"m@1","data":{"a":1}}"#.to_owned()
    }

    #[test]
    fn all_modes_give_the_same_event() {
        let one = envelopes(
            &headers(&[("content-type", "Application/CloudEvents+JSON; charset=UTF-8")]),
            structured_event().as_bytes(),
        )
        .unwrap();
        let batch = envelopes(
            &headers(&[("content-type", "application/cloudevents-batch+json")]),
            format!("[{}]", structured_event()).as_bytes(),
        )
        .unwrap();
        let binary = envelopes(
            &headers(&[
                ("content-type", "application/json"),
                ("ce-specversion", "1.0"),
                ("ce-id", "1"),
                ("ce-source", "%2Ft"),
                ("ce-type", "x"),
                ("ce-subject", "m@1"),
            ]),
            br#"{"a":1}"#,
        )
        .unwrap();
        assert_eq!(one, batch);
        assert_eq!(one, binary);
    }

    #[test]
    fn what_is_no_event_is_named() {
        let json = headers(&[("content-type", "application/cloudevents+json")]);
        let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
        let other = headers(&[("content-type", "application/cloudevents+avro")]);
        let none = headers(&[]);
        for (headers, body, status, code, field) in [
            (&json, "{", 400, "MALFORMED", None),
            (&json, "[]", 400, "MALFORMED", None),
            (&json, r#"{"specversion":"1.0"}"#, 422, "MISSING", Some("id")),
            (&json, r#"{"specversion":"0.3"}"#, 422, "UNKNOWN_VERSION", Some("specversion")),
            (&json, r#"{"specversion":"1.0","id":1}"#, 400, "MALFORMED", Some("id")),
            (&json, r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#, 422, "MISSING", Some("data")),
            (&batch, "[]", 400, "MALFORMED", None),
            (&batch, r#"[{"specversion":"1.0"}]"#, 422, "MISSING", Some("[0].id")),
            (&other, "", 415, "UNSUPPORTED_MEDIA_TYPE", Some("content-type")),
            (&none, "{}", 422, "MISSING", Some("ce-specversion")),
        ] {
            let problem = envelopes(headers, body.as_bytes()).unwrap_err();
            let found = (problem.status.as_u16(), problem.body.code.as_str(), problem.body.field.as_deref());
            assert_eq!(found, (status, code, field), "{body}");
        }
    }
}
