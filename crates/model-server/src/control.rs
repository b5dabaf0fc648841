//! The control surface: loads and unloads over HTTP, for whoever has its credential.
//!
//! ```text
//! GET    /control/v1/models                               what is loaded, and the bounds of a load
//! PUT    /control/v1/models/{model}/versions/{version}    loads and keeps: the declared signature or `null` as one
//!                                                         line of JSON, then the bytes of the ONNX file
//! PUT    /control/v1/models/{model}/kept                  keeps these versions and no others, as a list in JSON;
//!                                                         what nobody keeps is unloaded
//! ```
//!
//! Each `PUT` names who asks, `?keeper=K&attempt=N`. 409 says that a later attempt of the keeper was here: see [`crate::keep`].
//!
//! Invariant: nothing is read of a body before the credential was compared; 422 says that the model is at fault, and
//! no other status does. At most [`LOADS_MAX`] bodies are in memory, the others wait for their turn.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, put};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::error::LoadError;
use crate::keep::{KeepError, Keeper, Kept, Superseded};
use crate::routes::{is_too_large, json_of, refuse, route_unknown, text_with_causes};
use crate::server::{LoadOutcome, Server};
use crate::signature::{Datatype, Signature, Tensor};

/// Loads at the same time: the files of so many are in memory.
const LOADS_MAX: usize = 2;
/// Bytes of the line with the declared signature.
const SIGNATURE_BYTES_MAX: usize = 256 << 10;
/// Bytes of a list of versions.
const VERSIONS_BYTES_MAX: usize = 64 << 10;
/// How long the body of a load may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What opens the control surface. Only its digest is held.
#[derive(Clone)]
pub struct Credential([u8; 32]);

impl Credential {
    pub fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Takes the same time wherever the two differ: digests are compared, each byte.
    fn is(&self, secret: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let pairs = self.0.iter().zip(&other);
        std::hint::black_box(pairs.fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

#[derive(Debug, Clone)]
struct Control {
    kept: Kept,
    loading: Arc<Semaphore>,
}

/// The routes of the control surface, each behind the credential.
pub fn control(server: Server, credential: Credential) -> Router {
    let control = Control { kept: Kept::new(server), loading: Arc::new(Semaphore::new(LOADS_MAX)) };
    Router::new()
        .route("/control/v1/models", get(loaded))
        .route("/control/v1/models/{model}/versions/{version}", put(load))
        .route("/control/v1/models/{model}/kept", put(keep))
        .route("/control/{*unknown}", any(route_unknown))
        .method_not_allowed_fallback(async || {
            let text = "this route does not take that method".to_owned();
            refuse(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text)
        })
        .layer(from_fn_with_state(credential, check))
        .with_state(control)
}

async fn check(State(credential): State<Credential>, request: Request, next: Next) -> Response {
    if given(request.headers()).is_some_and(|secret| credential.is(secret)) {
        return next.run(request).await;
    }
    let text = "expected the credential of the control surface, but it is missing or another";
    refuse(StatusCode::UNAUTHORIZED, "CREDENTIAL_WRONG", text.to_owned())
}

fn given(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn loaded(State(control): State<Control>) -> Response {
    let models: Vec<_> = control.kept.server().loaded();
    let models: Vec<_> = models
        .iter()
        .map(|it| json!({ "name": it.model, "version": it.version, "sha256": it.sha256 }))
        .collect();
    let model_bytes_max = control.kept.server().limits().model_bytes_max;
    json_of(StatusCode::OK, &json!({ "models": models, "model_bytes_max": model_bytes_max }))
}

/// Who asks.
#[derive(Deserialize)]
struct By {
    keeper: String,
    attempt: u32,
}

impl By {
    fn keeper(&self) -> Keeper<'_> {
        Keeper { name: &self.keeper, attempt: self.attempt }
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let Query(by) = Query::try_from_uri(&parts.uri).map_err(|why| {
            let text = format!("expected who keeps it, and by which attempt: {}", why.body_text());
            refuse(StatusCode::BAD_REQUEST, "QUERY_MALFORMED", text)
        })?;
        Ok(by)
    }
}

async fn keep(State(control): State<Control>, Path(model): Path<String>, by: By, body: Body) -> Response {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, VERSIONS_BYTES_MAX)).await;
    let read = read.map(|read| read.map(|body| serde_json::from_slice::<Vec<String>>(&body)));
    let Ok(Ok(Ok(versions))) = read else {
        let text = "expected the versions to keep as a list of texts in JSON, but the body is none";
        return refuse(StatusCode::BAD_REQUEST, "VERSIONS_MALFORMED", text.to_owned());
    };
    match control.kept.keep(by.keeper(), &model, versions.iter().map(String::as_str)) {
        Ok(()) => json_of(StatusCode::OK, &json!({ "outcome": "kept" })),
        Err(superseded) => is_superseded(&superseded),
    }
}

fn is_superseded(superseded: &Superseded) -> Response {
    refuse(StatusCode::CONFLICT, "SUPERSEDED", superseded.to_string())
}

async fn load(
    State(control): State<Control>,
    Path((model, version)): Path<(String, String)>,
    by: By,
    body: Body,
) -> Response {
    let _turn = control.loading.acquire().await.expect("the semaphore is never closed");
    let body = match read(control.kept.server(), body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let kept = control.kept.clone();
    // Milliseconds for small models, more for large ones: not on a thread that answers callers.
    let loaded = tokio::task::spawn_blocking(move || {
        let (signature, onnx) = body.split_at(body.iter().position(|byte| *byte == b'\n').unwrap_or(0));
        let declared = match declared(signature) {
            Ok(declared) => declared,
            Err(unread) => return unread.response(),
        };
        match kept.load(by.keeper(), &model, &version, onnx.get(1..).unwrap_or_default(), declared.as_ref()) {
            Ok(LoadOutcome::Loaded) => json_of(StatusCode::OK, &json!({ "outcome": "loaded" })),
            Ok(LoadOutcome::AlreadyLoaded) => {
                json_of(StatusCode::OK, &json!({ "outcome": "already_loaded" }))
            }
            Err(KeepError::Superseded(superseded)) => is_superseded(&superseded),
            Err(KeepError::Load(error)) => at_fault(&error),
        }
    });
    loaded.await.unwrap_or_else(|panicked| {
        tracing::error!(%panicked, "a load broke");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "LOAD_BROKE", "failed to load".to_owned())
    })
}

/// The model cannot be served, however often it is tried.
fn at_fault(error: &LoadError) -> Response {
    let body = json!({ "error": text_with_causes(error), "code": error.code(), "hint": error.hint() });
    json_of(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

async fn read(server: &Server, body: Body) -> Result<axum::body::Bytes, Response> {
    let model_bytes_max = server.limits().model_bytes_max;
    let bytes_max = model_bytes_max.saturating_add(SIGNATURE_BYTES_MAX);
    let too_large = |bytes| at_fault(&LoadError::TooLarge { bytes, bytes_max: model_bytes_max });
    let said = body.size_hint().lower() as usize;
    if said > bytes_max {
        return Err(too_large(said));
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large(bytes_max + 1)),
        Ok(Err(error)) => {
            let text = format!("failed to read the body: {}", text_with_causes(&error));
            Err(refuse(StatusCode::BAD_REQUEST, "BODY_BROKEN", text))
        }
        Err(_) => {
            let text = format!(
                "expected to read the body within {} s, but it had not ended",
                BODY_TIMEOUT.as_secs()
            );
            Err(refuse(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", text))
        }
    }
}

/// The signature as it is sent: datatypes by name, also those that are not known here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    inputs: Vec<DeclaredTensor>,
    outputs: Vec<DeclaredTensor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredTensor {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

/// Why the first line is no signature.
enum Unread {
    /// Of whoever sent it.
    Malformed(String),
    /// Of the model.
    Unknown(LoadError),
}

impl Unread {
    fn response(self) -> Response {
        match self {
            Self::Malformed(why) => {
                let text = format!("expected a signature or `null` as the first line, but {why}");
                refuse(StatusCode::BAD_REQUEST, "SIGNATURE_MALFORMED", text).into_response()
            }
            Self::Unknown(error) => at_fault(&error),
        }
    }
}

fn declared(line: &[u8]) -> Result<Option<Signature>, Unread> {
    if line.len() > SIGNATURE_BYTES_MAX {
        return Err(Unread::Malformed(format!("it has more than {SIGNATURE_BYTES_MAX} bytes")));
    }
    let declared: Option<Declared> =
        serde_json::from_slice(line).map_err(|error| Unread::Malformed(error.to_string()))?;
    let tensors = |tensors: Vec<DeclaredTensor>| -> Result<Vec<Tensor>, Unread> {
        let tensor = |DeclaredTensor { name, datatype, shape }| match Datatype::named(&datatype) {
            Some(datatype) => Ok(Tensor { name, datatype, shape }),
            None => Err(Unread::Unknown(LoadError::DatatypeUnsupported { tensor: name, actual: datatype })),
        };
        tensors.into_iter().map(tensor).collect()
    };
    let signature = |Declared { inputs, outputs }| -> Result<Signature, Unread> {
        Ok(Signature { inputs: tensors(inputs)?, outputs: tensors(outputs)? })
    };
    declared.map(signature).transpose()
}
