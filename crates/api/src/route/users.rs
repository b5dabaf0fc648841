//! Users: who holds a token and which roles. For administrators. A change is recorded as the role map in force.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use domain::name::Role;
use engine::request::Request;

use super::{Access, JSON, Route};
use crate::api::Api;
use crate::auth::{self, Caller, User};
use crate::problem::Problem;
use crate::view::{NewUser, TokenView, UserList, UserView};
use crate::{submit, take};

/// The most roles of one user.
const ROLES_MAX: usize = 32;

pub(super) fn routes() -> Vec<Route> {
    let route = |method, path, summary, body, answers, on| Route {
        method,
        path,
        summary,
        access: Access::Token,
        query: &[],
        body,
        answers,
        on,
    };
    vec![
        route("get", "/v1/users", "Lists users, for administrators.", None, &[(200, "UserList")], get(list)),
        route(
            "post",
            "/v1/users",
            "Adds a user and gives the token, once. For administrators.",
            Some((JSON, "NewUser")),
            &[(201, "TokenView")],
            post(add),
        ),
        route(
            "delete",
            "/v1/users/{name}",
            "Takes the token and all roles from a user. For administrators.",
            None,
            &[(200, "UserView")],
            delete(revoke),
        ),
        route("get", "/v1/whoami", "Says whose token this is.", None, &[(200, "UserView")], get(whoami)),
    ]
}

async fn whoami(Extension(caller): Extension<Caller>) -> Json<UserView> {
    Json(caller.user.view())
}

async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<UserList>, Problem> {
    caller.require_admin()?;
    Ok(Json(UserList { users: api.ports.users.list().iter().map(User::view).collect() }))
}

async fn add(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require_admin()?;
    let new: NewUser = take::json(&api, &headers, body).await?;
    if new.roles.len() > ROLES_MAX {
        let text = format!("expected at most {ROLES_MAX} roles, but found {}", new.roles.len());
        return Err(Problem::malformed("roles", text));
    }
    let roles: Vec<Role> = new
        .roles
        .iter()
        .map(|role| Role::parse(role))
        .collect::<Result<_, _>>()
        .map_err(|why| Problem::bad_id("roles", &why))?;
    let name = new.name.clone();
    let made = api.read(move |api| Ok(api.ports.users.add(&new.name, &roles, new.tool)?)).await?;
    if let Err(problem) = define(&api, &caller, &headers).await {
        // A token without a recorded role would be of no use, and its name taken.
        api.read(move |api| Ok(api.ports.users.revoke(&name)?)).await?;
        return Err(problem);
    }
    let view = TokenView { user: made.user.view(), token: made.token };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    take::Named(name): take::Named,
) -> Result<Json<UserView>, Problem> {
    caller.require_admin()?;
    // The token is dead from here on, whatever becomes of the recorded map.
    let gone = api.read(move |api| Ok(api.ports.users.revoke(&name)?)).await?;
    define(&api, &caller, &headers).await?;
    Ok(Json(gone.view()))
}

/// Records the role map as it is now.
async fn define(api: &Arc<Api>, caller: &Caller, headers: &HeaderMap) -> Result<(), Problem> {
    let define = api.ports.users.define_by(Some(caller.actor.clone()));
    submit::submit(api, caller, headers, Request::Define(define)).await.map(|_| ())
}

impl From<auth::Error> for Problem {
    fn from(error: auth::Error) -> Self {
        use auth::Error;
        let status = match &error {
            Error::Read { .. } | Error::Write { .. } | Error::Malformed { .. } => {
                return Self::internal(&error);
            }
            Error::BadUserName(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Exists(_) | Error::Full | Error::LastAdmin(_) => StatusCode::CONFLICT,
            Error::Unknown(_) => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.code(), error.to_string()).field("name")
    }
}
