//! Whether the process lives, whether it can work, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Access, Route};
use crate::api::Api;
use crate::problem::Problem;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    let route = |path, summary, access, on| Route {
        method: "get",
        path,
        summary,
        access,
        query: &[],
        body: None,
        answers: &[(200, "")],
        on,
    };
    vec![
        route("/healthz", "Answers while the process lives.", Access::Open, get(async || "ok\n")),
        route("/readyz", "Answers 200 when every partition decides.", Access::Open, get(ready)),
        route("/metrics", "Gives metrics as OpenMetrics text.", Access::Metrics, get(metrics)),
    ]
}

async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    api.ports.engine.ready()?;
    Ok("ready\n")
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let mut text = api.ports.engine.metrics();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
}
