//! The routes of the Open Inference Protocol v2 over a [`Server`], for any host of axum.
//!
//! Invariant: each answer is JSON; what went wrong has a code and a 4xx when the caller can mend it.
//! Of the repository extension only the index is here: who loads and unloads is not the public's choice.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Serialize;
use serde_json::json;

use crate::error::{CallError, InferError};
use crate::protocol::{IndexEntry, ModelMetadata, Refusal, SERVER_NAME, ServerMetadata};
use crate::server::{Loaded, Server};

/// What `platform` says of each model.
const PLATFORM: &str = "onnx_onnxv1";

/// How soon a client that was refused for load may come again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// All routes of the protocol, with JSON errors for whatever else is asked below `/v2`.
///
/// Has no fallback of its own, so that a host can merge it with routes of its own.
pub fn router(server: Server) -> Router {
    Router::new()
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer_version))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/versions/{version}", get(metadata_version))
        .route("/v2/models/{model}/ready", get(ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(ready_version))
        .route("/v2/health/live", get(async || json_of(StatusCode::OK, &json!({"live": true}))))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2", get(server_metadata))
        .route("/v2/repository/index", post(index))
        .route("/v2/{*unknown}", any(route_unknown))
        .method_not_allowed_fallback(async || {
            let text = "this route does not take that method".to_owned();
            refuse(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", text)
        })
        .with_state(server)
}

/// The answer to what is no route.
pub(crate) async fn route_unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "ROUTE_UNKNOWN", "there is no such route".to_owned())
}

async fn infer(State(server): State<Server>, Path(model): Path<String>, body: Body) -> Response {
    answer(&server, &model, None, body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn infer_version(
    State(server): State<Server>,
    Path((model, version)): Path<(String, String)>,
    body: Body,
) -> Response {
    answer(&server, &model, Some(&version), body).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(
    server: &Server,
    model: &str,
    version: Option<&str>,
    body: Body,
) -> Result<Response, CallError> {
    let _admitted = server.admit()?;
    // Found first: a request that began before an unload ends as if there had been none.
    let loaded = server.find(model, version)?;
    let body = read(server, body).await?;
    // Inline: a small model answers in microseconds, less than a hand-over to another thread takes.
    Ok(raw_json(StatusCode::OK, server.answer(&loaded, &body)?))
}

async fn read(server: &Server, body: Body) -> Result<Bytes, CallError> {
    let bytes_max = server.limits().body_bytes_max;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(CallError::BodyTooLarge { bytes_max });
    }
    let timeout_ms = server.limits().body_timeout_ms;
    let whole = axum::body::to_bytes(body, bytes_max);
    let read = tokio::time::timeout(Duration::from_millis(timeout_ms), whole).await;
    let read = read.map_err(|_| CallError::BodyTooSlow { timeout_ms })?;
    read.map_err(|source| {
        if is_too_large(&source) {
            CallError::BodyTooLarge { bytes_max }
        } else {
            CallError::BodyBroken { source }
        }
    })
}

pub(crate) fn is_too_large(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn metadata(State(server): State<Server>, Path(model): Path<String>) -> Response {
    describe(&server, &model, None).unwrap_or_else(IntoResponse::into_response)
}

async fn metadata_version(
    State(server): State<Server>,
    Path((model, version)): Path<(String, String)>,
) -> Response {
    describe(&server, &model, Some(&version)).unwrap_or_else(IntoResponse::into_response)
}

fn describe(server: &Server, model: &str, version: Option<&str>) -> Result<Response, CallError> {
    let loaded = server.find(model, version)?;
    let all: Vec<Arc<Loaded>> = server.loaded().into_iter().filter(|it| it.model == model).collect();
    let signature = loaded.signature();
    let metadata = ModelMetadata {
        name: model,
        versions: all.iter().map(|it| &*it.version).collect(),
        platform: PLATFORM,
        inputs: &signature.inputs,
        outputs: &signature.outputs,
    };
    Ok(json_of(StatusCode::OK, &metadata))
}

async fn ready(State(server): State<Server>, Path(model): Path<String>) -> Response {
    model_ready(&server, &model, None)
}

async fn ready_version(
    State(server): State<Server>,
    Path((model, version)): Path<(String, String)>,
) -> Response {
    model_ready(&server, &model, Some(&version))
}

fn model_ready(server: &Server, model: &str, version: Option<&str>) -> Response {
    match server.find(model, version) {
        Ok(_) => json_of(StatusCode::OK, &json!({"name": model, "ready": true})),
        Err(error) => error.into_response(),
    }
}

async fn server_ready(State(server): State<Server>) -> Response {
    let ready = server.is_ready();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_of(code, &json!({"ready": ready}))
}

async fn server_metadata() -> Response {
    let metadata = ServerMetadata {
        name: SERVER_NAME,
        version: env!("CARGO_PKG_VERSION"),
        extensions: ["model_repository_index"],
    };
    json_of(StatusCode::OK, &metadata)
}

/// All that is here is ready, so the `ready` filter of the request's body changes nothing.
async fn index(State(server): State<Server>) -> Response {
    let loaded = server.loaded();
    let entry = |it: &'_ Arc<Loaded>| -> serde_json::Value {
        json!(IndexEntry { name: &it.model, version: &it.version, state: "READY", reason: "" })
    };
    json_of(StatusCode::OK, &loaded.iter().map(entry).collect::<Vec<_>>())
}

impl IntoResponse for CallError {
    fn into_response(self) -> Response {
        let code = self.http_code();
        let mut response = refuse(code, self.code(), text_with_causes(&self));
        if code == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if code.is_server_error() {
            tracing::warn!(code = self.code(), error = text_with_causes(&self), "request failed");
        }
        response
    }
}

impl CallError {
    /// The code that it is answered with over HTTP.
    pub fn http_code(&self) -> StatusCode {
        match self {
            CallError::Malformed { .. } | CallError::BinaryUnsupported | CallError::BodyBroken { .. } => {
                StatusCode::BAD_REQUEST
            }
            CallError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            CallError::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            CallError::ModelUnknown { .. } | CallError::VersionUnknown { .. } => StatusCode::NOT_FOUND,
            CallError::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            CallError::Infer(InferError::BatchTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            CallError::Infer(error) if error.is_bad_request() => StatusCode::BAD_REQUEST,
            CallError::Infer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

pub(crate) fn text_with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) fn refuse(status: StatusCode, code: &str, error: String) -> Response {
    json_of(status, &Refusal { error, code })
}

pub(crate) fn json_of(status: StatusCode, body: &impl Serialize) -> Response {
    raw_json(status, serde_json::to_vec(body).expect("our own bodies always have a JSON form"))
}

fn raw_json(status: StatusCode, body: Vec<u8>) -> Response {
    const JSON: (HeaderName, HeaderValue) =
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [JSON], body).into_response()
}
