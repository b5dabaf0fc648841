//! The check on every request that needs a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::name::Subject;
use domain::roles::Actor;

use super::users::{User, Users};
use crate::api::Api;
use crate::problem::Problem;

/// Names the person that a tool acts for: a user's name or subject.
const ON_BEHALF_OF: &str = "x-modelrail-on-behalf-of";

/// Who asks, as the log will name them.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) actor: Actor,
}

impl Caller {
    /// Refuses whoever is not an administrator.
    pub(crate) fn require_admin(&self) -> Result<(), Problem> {
        if self.user.is_admin() {
            return Ok(());
        }
        let text =
            format!("expected to ask as a holder of the role admin, but {} is not one", self.user.name);
        Err(Problem::new(StatusCode::FORBIDDEN, "NOT_ENTITLED", text).hint("ask an administrator"))
    }
}

/// Lets a request pass that carries a token, with its [`Caller`] as an extension.
pub(crate) async fn require(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match caller(&api.ports.users, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn caller(users: &Users, headers: &HeaderMap) -> Result<Caller, Problem> {
    let refused = |text: &str| {
        Problem::new(StatusCode::UNAUTHORIZED, "NOT_AUTHENTICATED", text)
            .hint("send `Authorization: Bearer TOKEN`; the administrator's token is in the data folder")
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refused("expected a token, but there is none"));
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token else { return Err(refused("expected a bearer token, but found another scheme")) };
    let Some(user) = users.authenticate(token) else {
        return Err(refused("expected the token of a user, but nobody holds this one"));
    };
    let on_behalf_of = match headers.get(ON_BEHALF_OF) {
        Some(value) => Some(person(users, &user, value.to_str().unwrap_or_default())?),
        None => None,
    };
    let actor = user.actor(on_behalf_of);
    Ok(Caller { user, actor })
}

fn person(users: &Users, tool: &User, named: &str) -> Result<Subject, Problem> {
    if !tool.tool {
        let text = format!("expected to act for somebody as a tool, but {} is none", tool.name);
        return Err(Problem::new(StatusCode::FORBIDDEN, "NOT_A_TOOL", text)
            .hint("an administrator can add a user as a tool"));
    }
    let known = users.list().into_iter().find(|user| user.name == named || user.subject.as_str() == named);
    known.map(|user| user.subject).ok_or_else(|| {
        let text = format!("expected the name of a user, but found `{named}`");
        Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field(ON_BEHALF_OF)
    })
}
