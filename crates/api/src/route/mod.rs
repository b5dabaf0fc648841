//! The routes: one table that the router and `/openapi.json` are both made from, so that they cannot differ.
//!
//! **Invariant:** what is not in the table is not served; what is in the table is described.

mod backups;
mod blobs;
mod events;
mod health;
pub(crate) mod page;
mod run_id;
pub(crate) mod run_requests;
mod runs;
mod schema;
mod stream;
pub(crate) mod targets;
mod users;
mod verify;
mod workflows;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use crate::api::Api;
use crate::auth;
use crate::problem::Problem;

pub use schema::openapi;

/// One line of the table.
struct Route {
    /// In lower case, as OpenAPI writes it.
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    access: Access,
    /// Questions after the path: name and meaning.
    query: &'static [(&'static str, &'static str)],
    /// The media type and the view of the body.
    body: Option<(&'static str, &'static str)>,
    /// Statuses below 400, with the view of each; problems come with any.
    answers: &'static [(u16, &'static str)],
    on: MethodRouter<Arc<Api>>,
}

impl Route {
    /// Whether it shows how runs and targets are.
    fn shows_the_log(&self) -> bool {
        self.method == "get" && ["/v1/runs", "/v1/targets"].iter().any(|of| self.path.starts_with(of))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Anybody who reaches the port.
    Open,
    /// A bearer token.
    Token,
    /// A bearer token, unless the configuration opens it.
    Metrics,
}

const JSON: &str = "application/json";

fn table() -> Vec<Route> {
    let groups = [
        events::routes(),
        runs::routes(),
        targets::routes(),
        workflows::routes(),
        blobs::routes(),
        verify::routes(),
        backups::routes(),
        users::routes(),
        health::routes(),
        schema::routes(),
    ];
    groups.into_iter().flatten().collect()
}

/// The API as a router.
pub fn router(api: Arc<Api>) -> Router {
    let metrics = if api.config.metrics_open { Access::Open } else { Access::Token };
    let mut router = Router::new();
    for route in table() {
        let access = if route.access == Access::Metrics { metrics } else { route.access };
        let on = if route.shows_the_log() {
            route.on.layer(middleware::from_fn_with_state(Arc::clone(&api), once_read))
        } else {
            route.on
        };
        let on = match access {
            Access::Token => on
                .layer(middleware::from_fn_with_state(Arc::clone(&api), auth::require))
                .layer(middleware::from_fn_with_state(Arc::clone(&api), within_bound)),
            Access::Open | Access::Metrics => on,
        };
        router = router.route(route.path, on);
    }
    router
        .fallback(async || {
            Problem::not_found("NO_SUCH_PATH", "expected a path of this API, but there is none such")
                .hint("all paths are in /openapi.json")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "NO_SUCH_METHOD",
                "expected a method that this path knows, but it does not know this one",
            )
            .hint("all methods are in /openapi.json")
        })
        .layer(middleware::from_fn(with_safe_headers))
        .with_state(api)
}

/// Shows nothing until the log was read up to where it ended when this process began: before, a run would be shown as it
/// was some time ago, and whoever asked the same API before its restart would see it go back.
async fn once_read(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match api.ports.engine.behind() {
        Some(behind) => Problem::from(behind).into_response(),
        None => next.run(request).await,
    }
}

/// Answers so many at once. Refused before anything is read of it: cheap, and early.
async fn within_bound(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Ok(_place) = api.requests.try_acquire() else {
        let text = format!("expected at most {} requests at once", api.config.requests_max);
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", text)
            .hint("try again in a moment; `limits.requests_max` is the bound")
            .retry_later()
            .into_response();
    };
    next.run(request).await
}

/// No answer is to be guessed at or kept by what stands between.
async fn with_safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await.into_response();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
