//! Why a registry did not do as asked: what was asked, what it answered, and what may mend it.

use engine::port::blobs;
use reqwest::Url;
use serde::Deserialize;

/// Bytes of a refusal that are shown.
const TEXT_CHARACTERS_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to prepare calls to the registry")]
    Prepare(#[source] reqwest::Error),
    #[error(
        "failed to {what} at {url}; hint: see whether the registry is up, and `blobs.registry` its address"
    )]
    Unreachable { what: &'static str, url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to {what} at {url}, which answered {status}{said}; hint: {}", hint(*.status))]
    Answered { what: &'static str, url: String, status: u16, said: String },
    #[error("failed to {what} at {url}: {why}")]
    Strange { what: &'static str, url: String, why: String },
}

/// What a registry says with a status that is no success.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errors: Vec<Reason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
}

impl Error {
    pub(crate) fn answered(what: &'static str, url: &Url, status: u16, body: &[u8]) -> Self {
        let reasons = serde_json::from_slice::<Refusal>(body).unwrap_or_default().errors;
        let said: Vec<String> =
            reasons.iter().map(|reason| format!("{} ({})", reason.code, reason.message)).collect();
        let said = said.join(", ");
        let said: String =
            said.chars().filter(|letter| !letter.is_control()).take(TEXT_CHARACTERS_MAX).collect();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Self::Answered { what, url: shown(url), status, said }
    }

    pub(crate) fn strange(what: &'static str, url: &Url, why: impl Into<String>) -> Self {
        Self::Strange { what, url: shown(url), why: why.into() }
    }

    pub(crate) fn unreachable(
        what: &'static str,
        url: &Url,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreachable { what, url: shown(url), source: source.into() }
    }
}

impl From<Error> for blobs::Error {
    fn from(error: Error) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

/// Whether these are a registry's own words: a proxy or another kind of server has none of them.
pub(crate) fn is_said_by_a_registry(body: &[u8]) -> bool {
    serde_json::from_slice::<Refusal>(body)
        .is_ok_and(|refusal| refusal.errors.iter().any(|reason| !reason.code.is_empty()))
}

/// Without what stands behind a question mark: signatures of somebody's storage, states of uploads.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    format!("`{url}`")
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => "the registry wants another user or password: see `blobs.user` and `blobs.password`",
        403 => "this user may not: it has to pull and push in this repository",
        404 => "there is no such repository, or no registry: see `blobs.registry`",
        405 => "the registry is only read, or is none: see `blobs.registry`",
        413 => "what stands in front of the registry bounds a request: it has to let 8 MiB pass",
        429 | 500.. => "the registry is in trouble; it is asked again later",
        _ => "see the registry's own log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_was_asked_and_what_to_do() {
        let url = Url::parse("https://registry.example/v2/models/blobs/uploads/x?_state=secret").unwrap();
        let body =
            br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        let text = Error::answered("put a blob", &url, 403, body).to_string();
        assert_eq!(
            text,
            "failed to put a blob at `https://registry.example/v2/models/blobs/uploads/x`, which answered 403: \
             DENIED (requested access to the resource is denied); hint: this user may not: it has to pull and push in \
             this repository"
        );
        assert!(is_said_by_a_registry(body));
        let long = format!(r#"{{"errors":[{{"code":"X","message":"{}"}}]}}"#, "x".repeat(10_000));
        assert!(Error::answered("x", &url, 500, long.as_bytes()).to_string().len() < 500);
        let coloured = br#"{"errors":[{"code":"X","message":"a\u001b[31mb\n"}]}"#;
        let told = Error::answered("x", &url, 500, coloured).to_string();
        assert!(told.contains("X (a[31mb)"), "{told}");
        for strange in ["", "<html>", "{}", r#"{"errors":[]}"#, r#"{"errors":[{}]}"#] {
            assert!(!is_said_by_a_registry(strange.as_bytes()), "{strange}");
        }
    }
}
