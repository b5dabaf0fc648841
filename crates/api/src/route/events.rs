//! Events in: `ModelTrained` as CloudEvents over HTTP (structured, batch, binary), answered with runs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json};
use engine::partition::Answer;
use engine::request::{Said, Trigger};

use super::{Access, Route};
use crate::api::Api;
use crate::auth::Caller;
use crate::ports::{Origin, Submitted};
use crate::problem::Problem;
use crate::take;
use crate::trigger::triggers;
use crate::view::{EventAnswer, EventAnswers, RequestOutcome};

pub(super) fn routes() -> Vec<Route> {
    vec![Route {
        method: "post",
        path: "/v1/events",
        summary: "Takes `ModelTrained` events (CloudEvents 1.0) and answers with the runs they lead to.",
        access: Access::Token,
        query: &[],
        body: Some(("application/cloudevents+json", "")),
        answers: &[(202, "EventAnswers")],
        on: post(publish),
    }]
}

async fn publish(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = take::bytes(&api, body).await?;
    let (given, by) = (headers.clone(), caller);
    let triggers = api.read(move |api| triggers(api, &by, &given, &body)).await?;
    let mut events = Vec::with_capacity(triggers.len());
    for trigger in triggers {
        events.push(start(&api, &headers, trigger).await?);
    }
    let location = events.first().map(|event| event.location.clone()).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(EventAnswers { events })).into_response())
}

/// The same event again is answered alike: its run is derived from it.
async fn start(api: &Arc<Api>, headers: &HeaderMap, trigger: Trigger) -> Result<EventAnswer, Problem> {
    let run = trigger.run();
    let trained = Arc::clone(&trigger.trained);
    let (target, workflow) = (trigger.target.to_string(), trigger.workflow.name.to_string());
    let origin = Origin {
        input_id: run.to_string(),
        traceparent: trained.traceparent.as_ref().map(ToString::to_string),
    };
    let wait = take::wait(api, headers);
    let said = Said::Trigger(Box::new(trigger));
    let (outcome, repeated) = match api.ports.engine.submit(said, origin, wait).await? {
        Submitted::Pending => (RequestOutcome::Pending, false),
        Submitted::Decided(Answer::Recorded { refused: None, .. }) => (RequestOutcome::Accepted, false),
        Submitted::Decided(Answer::Repeat { refused: None, .. }) => (RequestOutcome::Accepted, true),
        Submitted::Decided(
            Answer::Recorded { refused: Some(refusal), .. }
            | Answer::Repeat { refused: Some(refusal), .. }
            | Answer::Refused(refusal),
        ) => return Err(refusal.into()),
    };
    Ok(EventAnswer {
        source: trained.source.to_string(),
        id: trained.id.to_string(),
        location: format!("/v1/runs/{run}"),
        run: run.to_string(),
        target,
        workflow,
        outcome,
        repeated,
    })
}
