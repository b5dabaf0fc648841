//! What comes in with a request: names in the path, questions after it, headers, a bounded JSON body.
//!
//! **Invariant:** everything is bounded before it is parsed, and what cannot be taken is a problem that names the
//! field.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::api::Api;
use crate::auth::Caller;
use crate::ports::Origin;
use crate::problem::Problem;

/// How deep JSON may nest.
const DEPTH_MAX: usize = 64;
/// The most characters of an `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 128;

/// The one name in a path.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "BAD_ID",
                "expected a name in the path, but it is not UTF-8",
            )),
        }
    }
}

/// The questions after the path.
#[derive(Debug)]
pub(crate) struct Asking<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asking<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_QUERY", rejection.body_text()).field("query"))
            }
        }
    }
}

/// The whole body, within its bounds.
pub(crate) async fn bytes(api: &Api, body: Body) -> Result<Bytes, Problem> {
    let most = api.config.body_bytes_max;
    let too_large = || {
        let text = format!("expected a body of at most {most} bytes, but it is longer");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", text)
            .hint("send less at once: events name files by address and digest")
    };
    // What says that it is too large is not even read.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(api.config.body_wait_max, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large()),
        Ok(Err(_)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "MALFORMED", "expected a whole body, but it broke off"))
        }
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "TOO_SLOW",
            "expected the body within the time for it, but it did not come",
        )),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A JSON body as one of the views.
pub(crate) async fn json<T: DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    if let Some(found) = media_type(headers)
        && found != "application/json"
    {
        let text = format!("expected content of type application/json, but found {found}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text)
            .field("content-type"));
    }
    let bytes = bytes(api, body).await?;
    parse(&bytes)
}

/// JSON as one of the views: bounded, each key once, nothing after it.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    bounded_depth(bytes)?;
    // serde takes a list for an object, by the order of its fields.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let text = "expected a JSON object, but it is a list";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "MALFORMED", text));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let malformed = error.inner().is_syntax() || error.inner().is_eof() || is_repeated_key(error.inner());
        let status = if malformed { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
        let problem = Problem::new(status, "MALFORMED", error.inner().to_string());
        if malformed || field == "." { problem } else { problem.field(field) }
    })?;
    match reader.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, "MALFORMED", error.to_string())),
    }
}

/// A key twice is no JSON that two readers would understand alike; serde has no kind of its own for it.
fn is_repeated_key(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with("duplicate field `")
}

/// Refuses JSON that nests too deep, before anything parses it.
pub(crate) fn bounded_depth(bytes: &[u8]) -> Result<(), Problem> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    let text = format!("expected JSON of at most {DEPTH_MAX} levels, but it nests deeper");
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "TOO_DEEP", text));
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Under which id a request is made: as the caller says, else a new one. Keys of two callers never meet.
pub(crate) fn request_id(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(Uuid::now_v7().to_string()) };
    let text = value.to_str().unwrap_or_default();
    // The header is a quoted text by its standard, and comes without quotes from most.
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(key.to_owned());
    }
    let text = format!("expected a key of 1 to {KEY_CHARS_MAX} visible ASCII characters");
    Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field("Idempotency-Key"))
}

/// The id as the engine knows it, in the caller's trace.
pub(crate) fn origin(caller: &Caller, request_id: &str, headers: &HeaderMap) -> Origin {
    Origin { input_id: format!("{}/{request_id}", caller.user.subject), traceparent: traceparent(headers) }
}

/// W3C trace context of the caller, when it has the form of one.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    (text.len() == 55 && text.bytes().all(plain)).then(|| text.to_owned())
}

/// How long to wait for the decision: `Prefer: wait=SECONDS`, within the bound.
pub(crate) fn wait(api: &Api, headers: &HeaderMap) -> Duration {
    let asked = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        text.split([',', ';']).find_map(|part| {
            let (name, seconds) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then_some(seconds.trim())?.parse::<u64>().ok()
        })
    });
    asked.map_or(api.config.wait_default, Duration::from_secs).min(api.config.wait_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_nest_so_deep_and_no_deeper() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(bounded_depth(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(bounded_depth(nested(DEPTH_MAX + 1).as_bytes()).is_err());
        let text = format!(r#"{{"a": "{}\" {}"}}"#, "[".repeat(100), "{".repeat(100));
        assert!(bounded_depth(text.as_bytes()).is_ok(), "brackets in a text do not count");
    }

    #[test]
    fn a_key_is_taken_quoted_or_not_and_has_a_form() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", value.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(with("abc").unwrap(), "abc");
        assert_eq!(with("\"abc\"").unwrap(), "abc");
        assert!(with("").is_err());
        assert!(with("a b").is_err());
        assert_ne!(request_id(&HeaderMap::new()).unwrap(), request_id(&HeaderMap::new()).unwrap());
    }
}
