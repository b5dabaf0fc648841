//! `/openapi.json`, made from the table of routes and the views.

use std::collections::BTreeMap;

use axum::Json;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Access, Route, table};
use crate::view;

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: "get",
        path: "/openapi.json",
        summary: "Describes this API.",
        access: Access::Open,
        query: &[],
        body: None,
        answers: &[(200, "")],
        on: get(async || Json(openapi())),
    }]
}

/// The description of the API (OpenAPI 3.1).
pub fn openapi() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in table() {
        paths.entry(route.path).or_default().insert(route.method.to_owned(), operation(&route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Modelrail",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Continuous delivery of machine-learning models. Errors are RFC 9457 problems with a stable `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters = vec![];
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        parameters
            .push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    for (name, meaning) in route.query {
        parameters.push(json!({
            "name": name, "in": "query", "description": meaning, "schema": { "type": "string" },
        }));
    }
    let mut responses = Map::new();
    for (status, name) in route.answers {
        let mut response = json!({ "description": description(*status) });
        if !name.is_empty() {
            response["content"] = json!({ "application/json": { "schema": reference(name) } });
        }
        responses.insert(status.to_string(), response);
    }
    responses.insert(
        "default".to_owned(),
        json!({
            "description": "A problem.",
            "content": { "application/problem+json": { "schema": reference("ProblemBody") } },
        }),
    );
    let mut operation = json!({ "summary": route.summary, "parameters": parameters, "responses": responses });
    if let Some((media_type, name)) = route.body {
        let schema = if name.is_empty() { json!({}) } else { reference(name) };
        operation["requestBody"] =
            json!({ "required": true, "content": { media_type: { "schema": schema } } });
    }
    if route.access == Access::Token {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn description(status: u16) -> &'static str {
    match status {
        201 => "Made.",
        202 => "Not decided yet.",
        304 => "Nothing changed.",
        _ => "Good.",
    }
}

/// The views by name, with all that stands in them.
fn schemas() -> BTreeMap<String, Value> {
    let mut all: Vec<(String, RefOr<Schema>)> = vec![];
    add::<view::BackupView>(&mut all);
    add::<view::EventAnswers>(&mut all);
    add::<view::Explanation>(&mut all);
    add::<view::NewBackup>(&mut all);
    add::<view::NewUser>(&mut all);
    add::<view::ProblemBody>(&mut all);
    add::<view::RequestAnswer>(&mut all);
    add::<view::RunList>(&mut all);
    add::<view::RunRequest>(&mut all);
    add::<view::RunView>(&mut all);
    add::<view::TargetHistory>(&mut all);
    add::<view::TargetList>(&mut all);
    add::<view::TargetRequest>(&mut all);
    add::<view::TargetView>(&mut all);
    add::<view::TokenView>(&mut all);
    add::<view::TransitionList>(&mut all);
    add::<view::TransitionView>(&mut all);
    add::<view::UserList>(&mut all);
    add::<view::UserView>(&mut all);
    add::<view::VerifyView>(&mut all);
    add::<view::WaitsView>(&mut all);
    add::<view::WorkflowList>(&mut all);
    all.into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).expect("a schema is JSON")))
        .collect()
}

fn add<T: ToSchema + PartialSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}
