//! Backups of everything that the server keeps, to a folder on its own machine. For administrators.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json};

use super::{Access, JSON, Route};
use crate::api::Api;
use crate::auth::Caller;
use crate::ports::NotTaken;
use crate::problem::Problem;
use crate::take;
use crate::view::NewBackup;

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: "post",
        path: "/v1/backups",
        summary: "Takes a backup into a new folder on the server's machine, while it works. For administrators.",
        access: Access::Token,
        query: &[],
        body: Some((JSON, "NewBackup")),
        answers: &[(201, "BackupView")],
        on: post(take_one),
    }]
}

async fn take_one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require_admin()?;
    let new: NewBackup = take::json(&api, &headers, body).await?;
    let to = PathBuf::from(&new.to);
    if !to.is_absolute() {
        return Err(Problem::malformed("to", "expected an absolute path, but it is relative"));
    }
    // It reads all there is: once at a time.
    let Ok(_turn) = api.backing_up.try_lock() else {
        let text = "expected to take a backup, but another one is under way";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", text)
            .hint("try again when it has ended")
            .retry_later());
    };
    let taken = api.read(move |api| Ok(api.ports.backups.take(&to)?)).await?;
    Ok((StatusCode::CREATED, Json(taken)).into_response())
}

impl From<NotTaken> for Problem {
    fn from(why: NotTaken) -> Self {
        let status = if why.is_askers { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR };
        let problem = Self::new(status, why.code, why.text).field("to");
        match why.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}
