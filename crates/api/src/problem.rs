//! Error answers: RFC 9457 problems with a stable code, what to do, and the offending field.
//!
//! **Invariant:** every answer of a status from 400 on is one of these. What went wrong inside is logged in full
//! and shown as a code only.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::name::BadName;
use domain::refusal::{Kind, Refusal};
use engine::port::{blobs, log, store};

use crate::ports::NotSubmitted;
use crate::view::{Fault, ProblemBody};

/// After how many seconds to try again what was refused as busy.
const RETRY_AFTER_SECONDS: u32 = 1;

/// After how many seconds to try again when nothing is decided for now.
const RETRY_SUSPENDED_SECONDS: u32 = 5;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub body: Box<ProblemBody>,
    retry_after_seconds: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let body = ProblemBody {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.into(),
            hint: None,
            field: None,
            problems: vec![],
            candidates: vec![],
        };
        Self { status, body: Box::new(body), retry_after_seconds: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn candidates(mut self, candidates: Vec<String>) -> Self {
        self.body.candidates = candidates;
        self
    }

    #[must_use]
    pub fn retry_later(self) -> Self {
        self.retry_after(RETRY_AFTER_SECONDS)
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// A text that is not the name or id it should be.
    pub fn bad_id(field: &str, why: &BadName) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_ID", why.to_string()).field(field)
    }

    /// A field of a request that is missing or wrong.
    pub fn malformed(field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "MALFORMED", detail).field(field)
    }

    /// A defect or a broken disk: the cause is logged, not shown.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = causes(cause), "failed to answer a request");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "failed to answer; the log of this server says why",
        )
        .hint("look at the server's log, then try again")
    }

    /// What is kept cannot be read: its code says what, its text why.
    fn damaged(code: &'static str, cause: &(dyn std::error::Error + 'static)) -> Self {
        let causes = causes(cause);
        tracing::error!(code, error = causes, "failed to read what is kept");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, causes)
            .hint("look at the disk; run `modelrail verify`, and restore the data folder from a copy if it is broken")
    }

    /// All that is wrong with a text.
    pub fn of_faults(status: StatusCode, faults: Vec<wire::problem::Problem>) -> Self {
        let faults: Vec<Fault> = faults.into_iter().map(fault).collect();
        let Some(first) = faults.first().cloned() else {
            return Self::new(status, "MALFORMED", "expected a text that can be read");
        };
        let mut problem = Self::new(status, &first.code, first.text);
        problem.body.hint = first.hint;
        problem.body.field = first.field;
        problem.body.problems = faults;
        problem
    }
}

fn fault(problem: wire::problem::Problem) -> Fault {
    Fault {
        code: problem.code.into(),
        text: problem.text,
        hint: problem.hint,
        field: Some(problem.field).filter(|field| !field.is_empty()),
        line: problem.line,
        column: problem.column,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.body.code, self.body.detail)
    }
}

impl std::error::Error for Problem {}

/// An error with all that led to it.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        causes.push_str(": ");
        causes.push_str(&next.to_string());
        source = next.source();
    }
    causes
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            Kind::State | Kind::Late => StatusCode::CONFLICT,
            Kind::NotEntitled => StatusCode::FORBIDDEN,
            Kind::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let field = refusal.field().map(str::to_owned);
        let mut problem = Self::new(status, &refusal.code, refusal.text);
        problem.body.hint = refusal.hint;
        problem.body.field = field;
        if refusal.kind == Kind::Busy { problem.retry_later() } else { problem }
    }
}

impl From<NotSubmitted> for Problem {
    fn from(why: NotSubmitted) -> Self {
        let (code, hint) = match &why {
            NotSubmitted::Busy => ("BUSY", "try again later".to_owned()),
            NotSubmitted::Suspended { code, hint, .. } => (*code, (*hint).to_owned()),
            NotSubmitted::Stopped(stopped) => (stopped.code.as_str(), stopped.code.hint().to_owned()),
            NotSubmitted::Closing => ("CLOSING", "try again when it runs".to_owned()),
        };
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, why.to_string()).hint(hint);
        match why {
            NotSubmitted::Suspended { .. } => problem.retry_after(RETRY_SUSPENDED_SECONDS),
            NotSubmitted::Busy | NotSubmitted::Stopped(_) | NotSubmitted::Closing => problem.retry_later(),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            store::Error::Foreign { .. } | store::Error::OutOfOrder { .. } | store::Error::Corrupt(_) => {
                "VIEW_DAMAGED"
            }
            store::Error::Io(_) => "STORE_FAILED",
        };
        Self::damaged(code, &error)
    }
}

impl From<log::Error> for Problem {
    fn from(error: log::Error) -> Self {
        let code = match &error {
            log::Error::NoSuchPartition { .. } => "WRONG_PARTITION",
            log::Error::Mirror | log::Error::Io(_) => "LOG_UNREADABLE",
        };
        Self::damaged(code, &error)
    }
}

impl From<blobs::Error> for Problem {
    fn from(error: blobs::Error) -> Self {
        match &error {
            blobs::Error::Missing(digest) => {
                Self::not_found("MISSING", format!("expected bytes of {digest}, but there are none"))
                    .hint("evidence expires; the digest stays in the log")
            }
            blobs::Error::Corrupt(_) => Self::damaged("BLOB_CORRUPT", &error),
            blobs::Error::Io(_) => Self::damaged("BLOBS_UNREACHABLE", &error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.body).expect("a problem consists of texts and numbers");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"modelrail\""));
        }
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so nothing can follow it.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
