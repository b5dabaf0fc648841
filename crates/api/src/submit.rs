//! Saying something to the engine and answering what became of it.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::partition::Answer;
use engine::request::{Request, Said};

use crate::api::Api;
use crate::auth::Caller;
use crate::ports::Submitted;
use crate::problem::Problem;
use crate::take;
use crate::view::{RequestAnswer, RequestOutcome};

/// Makes a request of a person or tool: 200 when it was accepted, 202 when it is not decided yet, else a problem.
pub(crate) async fn request(
    api: &Arc<Api>,
    caller: &Caller,
    headers: &HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let answer = submit(api, caller, headers, request).await?;
    let status = match answer.outcome {
        RequestOutcome::Accepted => StatusCode::OK,
        RequestOutcome::Pending => StatusCode::ACCEPTED,
    };
    Ok((status, Json(answer)).into_response())
}

/// Makes a request and gives what became of it; a refusal is a problem.
pub(crate) async fn submit(
    api: &Arc<Api>,
    caller: &Caller,
    headers: &HeaderMap,
    request: Request,
) -> Result<RequestAnswer, Problem> {
    let id = take::request_id(headers)?;
    let origin = take::origin(caller, &id, headers);
    let wait = take::wait(api, headers);
    let said = Said::Request(Box::new(request));
    match api.ports.engine.submit(said, origin, wait).await? {
        Submitted::Pending => Ok(RequestAnswer { id, outcome: RequestOutcome::Pending, seq: None }),
        Submitted::Decided(answer) => {
            let seq = accepted(answer)?;
            Ok(RequestAnswer { id, outcome: RequestOutcome::Accepted, seq })
        }
    }
}

/// The record of an accepted input, where it is known.
fn accepted(answer: Answer) -> Result<Option<u64>, Problem> {
    match answer {
        Answer::Recorded { refused: Some(refusal), .. }
        | Answer::Repeat { refused: Some(refusal), .. }
        | Answer::Refused(refusal) => Err(refusal.into()),
        Answer::Recorded { seq, refused: None, .. } => Ok(Some(seq)),
        Answer::Repeat { seq, refused: None, .. } => Ok(seq),
    }
}
