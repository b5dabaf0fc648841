//! Requests to a run: from the view to what the engine is asked.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use domain::evidence::Text;
use domain::name::{Digest, Role, StageName};
use domain::weight::Weight;
use engine::request::{Request, RunAsk};

use super::page::{needed, words};
use super::run_id::find;
use crate::api::Api;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::view::{RunRequest, RunRequestKind};
use crate::{submit, take};

pub(super) async fn request(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    take::Named(run): take::Named,
    body: Body,
) -> Result<Response, Problem> {
    let asked: RunRequest = take::json(&api, &headers, body).await?;
    let ask = ask(asked)?;
    let row = api.read(move |api| find(api, &run)).await?;
    let request = Request::Run { run: row.run, actor: caller.actor.clone(), ask };
    submit::request(&api, &caller, &headers, request).await
}

pub(crate) fn ask(asked: RunRequest) -> Result<RunAsk, Problem> {
    let reason = asked.reason.map(|reason| words("reason", reason)).transpose()?;
    let reason = || needed("reason", reason.clone());
    let stage = || -> Result<StageName, Problem> {
        let stage = needed("stage", asked.stage.as_deref())?;
        StageName::parse(stage).map_err(|why| Problem::bad_id("stage", &why))
    };
    let vote = || -> Result<(StageName, Role, Text, Digest), Problem> {
        let role = needed("role", asked.role.as_deref())?;
        let evidence = needed("evidence", asked.evidence.as_deref())?;
        Ok((
            stage()?,
            Role::parse(role).map_err(|why| Problem::bad_id("role", &why))?,
            words("rationale", needed("rationale", asked.rationale.clone())?)?,
            Digest::parse(evidence).map_err(|why| Problem::bad_id("evidence", &why))?,
        ))
    };
    Ok(match asked.kind {
        RunRequestKind::Approve => {
            let (stage, role, rationale, evidence) = vote()?;
            RunAsk::Approve { stage, role, rationale, evidence }
        }
        RunRequestKind::Reject => {
            let (stage, role, rationale, evidence) = vote()?;
            RunAsk::Reject { stage, role, rationale, evidence }
        }
        RunRequestKind::Pause => RunAsk::Pause { reason: reason()? },
        RunRequestKind::Resume => RunAsk::Resume { reason: reason()? },
        RunRequestKind::Abort => RunAsk::Abort { reason: reason()? },
        RunRequestKind::Promote => {
            RunAsk::Promote { to: asked.to.as_deref().map(weight).transpose()?, reason: reason()? }
        }
        RunRequestKind::Resolve => RunAsk::Resolve { drop: asked.drop, reason: reason()? },
        RunRequestKind::Retry => RunAsk::Retry { stage: stage()?, reason: reason()? },
    })
}

/// `25%`, `12.5%` or `2500bp`.
fn weight(text: &str) -> Result<Weight, Problem> {
    let points = match (text.strip_suffix('%'), text.strip_suffix("bp")) {
        (Some(share), _) => share.parse::<f64>().ok().map(|share| share * 100.0),
        (None, Some(points)) => points.parse::<u16>().ok().map(f64::from),
        (None, None) => None,
    };
    points
        .filter(|points| points.fract() == 0.0 && (0.0..=10_000.0).contains(points))
        .and_then(|points| Weight::basis_points(points as u16))
        .ok_or_else(|| {
            Problem::malformed(
                "to",
                format!("expected a share such as `25%` or `2500bp`, but found `{text}`"),
            )
        })
}
