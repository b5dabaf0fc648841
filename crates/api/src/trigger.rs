//! From an event to triggers: read as a whole, matched with the loaded workflows, people named by their subjects.
//!
//! **Invariant:** the same event gives the same trigger, whoever sends it again and in whatever trace: what
//! surrounds an event is taken from the first time it came.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use domain::model::Trained;
use domain::name::Subject;
use engine::request::Trigger;
use wire::problem::{Problem as Fault, code};
use wire::trained::{self, Announced, cloudevent};

use crate::api::Api;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::reader::Upto;
use crate::take;

/// The triggers of all events of a request, in order; one event may start several. All of them are good or none
/// is taken.
pub(crate) fn triggers(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<Trigger>, Problem> {
    // What is not JSON nests no deeper than its message.
    if take::media_type(headers).is_none_or(|found| found != cloudevent::PROTOBUF) {
        take::bounded_depth(body)?;
    }
    // A header that is not text is none of ours.
    let texts: Vec<(&str, &str)> =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let events = cloudevent::parse_request(texts, body).map_err(|problems| refused(problems.0))?;
    let (mut announced, mut faults) = (vec![], vec![]);
    for event in &events {
        match trained::read(event) {
            Ok((one, warnings)) => {
                for warning in warnings {
                    tracing::warn!(source = event.source, id = event.id, %warning, "an event was taken with a warning");
                }
                announced.push(one);
            }
            Err(problems) => faults.extend(problems.0),
        }
    }
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    let mut triggers = vec![];
    for one in announced {
        triggers.extend(matched(api, caller, one)?);
    }
    if triggers.is_empty() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            code::MALFORMED,
            "expected an event, but there is none",
        ));
    }
    Ok(triggers)
}

/// What cannot be read is the sender's 400; what reads and is wrong is a 422.
fn refused(faults: Vec<Fault>) -> Problem {
    let status = match faults.first() {
        Some(first) if first.code == code::MALFORMED || first.code == code::TOO_DEEP => {
            StatusCode::BAD_REQUEST
        }
        Some(first) if first.code == code::TOO_LARGE && first.field.is_empty() => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::of_faults(status, faults)
}

fn matched(api: &Api, caller: &Caller, mut announced: Announced) -> Result<Vec<Trigger>, Problem> {
    let owner = announced.trained.owner.take();
    announced.trained.publisher = Some(caller.actor.person().clone());
    announced.trained.owner = owner.clone().map(|owner| api.ports.users.as_subject(owner));
    let triggers = api.ports.workflows.triggers(&announced).map_err(|fault| refused(vec![fault]))?;
    triggers.into_iter().map(|trigger| as_first_said(api, trigger, owner.as_ref())).collect()
}

/// With the publisher, the trace and the owner's subject of the first time, if the event came before.
fn as_first_said(api: &Api, trigger: Trigger, owner: Option<&Subject>) -> Result<Trigger, Problem> {
    let run = trigger.run();
    let partition = api.partition_of(&trigger.target);
    if api.ports.store.run(run)?.is_none() {
        return Ok(trigger);
    }
    let at = api.reader.run(partition, run, Upto::Latest)?;
    let Some(start) = &at.state.start else { return Ok(trigger) };
    let before = &start.trained;
    let same_owner = before.owner.as_ref() == owner || before.owner == trigger.trained.owner;
    let again = Trained {
        publisher: before.publisher.clone(),
        traceparent: before.traceparent.clone(),
        owner: if same_owner { before.owner.clone() } else { trigger.trained.owner.clone() },
        ..Trained::clone(&trigger.trained)
    };
    Ok(Trigger { trained: Arc::new(again), ..trigger })
}
