//! What several routes take alike: pages, cursors, moments, fields that a kind of request needs.

use axum::http::StatusCode;
use domain::evidence::Text;
use serde::Deserialize;

use crate::clock::parse_timestamp;
use crate::problem::Problem;
use crate::reader::Upto;

/// How many entries a page has unless asked otherwise, and at most.
pub(super) const PAGE: usize = 50;
pub(super) const PAGE_MAX: usize = 500;

/// The most characters of a reason or a rationale.
const WORDS_CHARS_MAX: usize = 4_096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<String>,
}

pub(super) fn page_size(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(PAGE),
        Some(size) if (1..=PAGE_MAX).contains(&size) => Ok(size),
        Some(size) => {
            let text = format!("expected a limit from 1 to {PAGE_MAX}, but found {size}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_QUERY", text).field("limit"))
        }
    }
}

pub(super) fn bad_cursor() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_CURSOR", "expected `next_cursor` of the page before")
        .field("cursor")
}

/// From which record on to read.
pub(crate) fn seq_cursor(text: Option<&str>) -> Result<u64, Problem> {
    text.map_or(Ok(0), |text| text.parse().map_err(|_| bad_cursor()))
}

/// A record's `seq`, or a moment.
pub(crate) fn upto(text: &str) -> Result<Upto, Problem> {
    if let Ok(seq) = text.parse() {
        return Ok(Upto::Seq(seq));
    }
    parse_timestamp(text).map(Upto::Moment).ok_or_else(|| {
        let text = format!("expected a record's number or an RFC 3339 time, but found `{text}`");
        Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field("at")
    })
}

/// What a person says to a request, bounded: it is recorded with it.
pub(super) fn words(field: &str, text: String) -> Result<Text, Problem> {
    let found = text.chars().count();
    if found <= WORDS_CHARS_MAX {
        return Ok(text.into());
    }
    let text = format!("expected at most {WORDS_CHARS_MAX} characters in `{field}`, but found {found}");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", text)
        .hint("say it in short, and link to the rest")
        .field(field))
}

/// A field that this kind of request needs.
pub(super) fn needed<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "MISSING",
            format!("expected `{field}` with a request of this kind, but it is missing"),
        )
        .field(field)
    })
}
