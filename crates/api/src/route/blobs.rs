//! Bytes by digest: evidence, reviews, bundles' manifests and layers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::name::Digest;

use super::{Access, Route};
use crate::api::Api;
use crate::problem::Problem;
use crate::take;

pub(super) fn routes() -> Vec<Route> {
    let route = |path, summary| Route {
        method: "get",
        path,
        summary,
        access: Access::Token,
        query: &[],
        body: None,
        answers: &[(200, "")],
        on: get(blob),
    };
    vec![
        route("/v1/evidence/{digest}", "Gives the bytes of evidence by their SHA-256."),
        route("/v1/bundles/{digest}", "Gives a bundle's manifest, or one of its layers, by its SHA-256."),
    ]
}

async fn blob(State(api): State<Arc<Api>>, take::Named(digest): take::Named) -> Result<Response, Problem> {
    let digest = Digest::parse(&digest).map_err(|why| Problem::bad_id("digest", &why))?;
    let bytes = api.read(move |api| Ok(api.ports.blobs.get(digest)?)).await?;
    let headers = [
        (header::CONTENT_TYPE, media_type(&bytes).to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        // Its name is its content.
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// JSON is shown as such; anything else is bytes, so that no browser runs what somebody stored.
fn media_type(bytes: &[u8]) -> &'static str {
    let looks_so = bytes.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
    if looks_so
        && take::bounded_depth(bytes).is_ok()
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
    {
        "application/json"
    } else {
        "application/octet-stream"
    }
}
