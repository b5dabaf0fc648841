//! Runs: lists, one in full, its transitions, its state at a record, why it was decided so, what it waits for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::name::{BadName, ModelName, RunId, StageName, StreamId, TargetId};
use domain::run::End;
use domain::time::Timestamp;
use engine::port::row::RunRow;
use engine::port::store::Query;
use serde::Deserialize;

use super::page::{PAGE_MAX, PageQuery, bad_cursor, page_size, seq_cursor, upto};
use super::run_id::find;
use super::{Access, JSON, Route, run_requests, stream};
use crate::api::Api;
use crate::problem::Problem;
use crate::reader::Upto;
use crate::show::{Names, Reasons, explanation, run_line, run_view, transition_view, wait_views};
use crate::take;
use crate::view::{Explanation, RunList, RunView, TransitionList, WaitsView};

pub(super) fn routes() -> Vec<Route> {
    let route = |method, path, summary, query, body, answers, on| Route {
        method,
        path,
        summary,
        access: Access::Token,
        query,
        body,
        answers,
        on,
    };
    vec![
        route(
            "get",
            "/v1/runs",
            "Lists runs, newest first.",
            &[
                ("model", "only of this model"),
                ("target", "only at this target, `model@environment`"),
                ("state", "only in this state, such as `active`, `live`, `rolled_back`"),
                ("limit", "how many at most; 50 unless said, 500 at most"),
                ("cursor", "`next_cursor` of the page before"),
            ],
            None,
            &[(200, "RunList")],
            get(list),
        ),
        route(
            "get",
            "/v1/runs/{run}",
            "Shows a run in full. RUN may be a unique prefix of at least 4 characters.",
            &[],
            None,
            &[(200, "RunView"), (304, "")],
            get(show),
        ),
        route(
            "get",
            "/v1/runs/{run}/transitions",
            "Lists what happened to a run, oldest first.",
            &[("limit", "how many at most"), ("cursor", "`next_cursor` of the page before")],
            None,
            &[(200, "TransitionList")],
            get(transitions),
        ),
        route(
            "get",
            "/v1/runs/{run}/state",
            "Shows a run as it was after a record or at a moment.",
            &[("at", "a record's `seq`, or an RFC 3339 time")],
            None,
            &[(200, "RunView")],
            get(state),
        ),
        route(
            "get",
            "/v1/runs/{run}/explain",
            "Explains the verdict of each stage with the recorded numbers.",
            &[("stage", "only this stage")],
            None,
            &[(200, "Explanation")],
            get(explain),
        ),
        route(
            "get",
            "/v1/runs/{run}/why",
            "Says what a run waits for.",
            &[],
            None,
            &[(200, "WaitsView")],
            get(why),
        ),
        route(
            "get",
            "/v1/runs/{run}/events",
            "Streams the transitions of a run as server-sent events, resumable by `Last-Event-ID`.",
            &[],
            None,
            &[(200, "TransitionView")],
            get(stream::run_events),
        ),
        route(
            "post",
            "/v1/runs/{run}/requests",
            "Asks something of a run. Repeatable with the same `Idempotency-Key`.",
            &[],
            Some((JSON, "RunRequest")),
            &[(200, "RequestAnswer"), (202, "RequestAnswer")],
            post(run_requests::request),
        ),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    model: Option<String>,
    target: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateQuery {
    at: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    stage: Option<String>,
}

async fn list(
    State(api): State<Arc<Api>>,
    take::Asking(asked): take::Asking<ListQuery>,
) -> Result<Json<RunList>, Problem> {
    let bad = |field: &'static str| move |why: BadName| Problem::bad_id(field, &why);
    let limit = page_size(asked.limit)?;
    let query = Query {
        state: asked.state.map(known_state).transpose()?,
        model: asked.model.as_deref().map(ModelName::parse).transpose().map_err(bad("model"))?,
        target: asked.target.as_deref().map(TargetId::parse).transpose().map_err(bad("target"))?,
        after: asked.cursor.as_deref().map(run_cursor).transpose()?,
        runs_max: limit,
    };
    api.read(move |api| {
        let rows = api.ports.store.runs(&query)?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let next_cursor = last.map(|row| format!("{}.{}", row.started_at.0, row.run));
        Ok(Json(RunList { runs: rows.iter().map(run_line).collect(), next_cursor }))
    })
    .await
}

async fn show(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    take::Named(run): take::Named,
) -> Result<Response, Problem> {
    api.read(move |api| {
        let row = find(api, &run)?;
        let unchanged = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag(row.last_seq)));
        if unchanged {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(row.last_seq))]).into_response());
        }
        let view = view_at(api, &row, Upto::Latest)?;
        let tag = etag(view.seq);
        let headers = [
            (header::ETAG, tag),
            // It may be kept, if it is asked for anew each time.
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        ];
        Ok((headers, Json(view)).into_response())
    })
    .await
}

async fn transitions(
    State(api): State<Arc<Api>>,
    take::Named(run): take::Named,
    take::Asking(page): take::Asking<PageQuery>,
) -> Result<Json<TransitionList>, Problem> {
    let (from, limit) = (seq_cursor(page.cursor.as_deref())?, page_size(page.limit)?);
    api.read(move |api| {
        let row = find(api, &run)?;
        let names = Names(api.ports.users.names());
        let entries = api.reader.entries(row.partition, &StreamId::Run(row.run), from, limit)?;
        let last = entries.last().filter(|_| entries.len() == limit);
        let next_cursor = last.map(|entry| (entry.seq + 1).to_string());
        let transitions = entries.iter().map(|entry| transition_view(entry, &names)).collect();
        Ok(Json(TransitionList { transitions, next_cursor }))
    })
    .await
}

async fn state(
    State(api): State<Arc<Api>>,
    take::Named(run): take::Named,
    take::Asking(query): take::Asking<StateQuery>,
) -> Result<Json<RunView>, Problem> {
    let upto = upto(&query.at)?;
    api.read(move |api| {
        let row = find(api, &run)?;
        view_at(api, &row, upto).map(Json)
    })
    .await
}

async fn explain(
    State(api): State<Arc<Api>>,
    take::Named(run): take::Named,
    take::Asking(query): take::Asking<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    let only = query.stage.as_deref().map(StageName::parse).transpose();
    let only = only.map_err(|why| Problem::bad_id("stage", &why))?;
    api.read(move |api| {
        let row = find(api, &run)?;
        let mut reasons = Reasons::default();
        let (stream, mut from) = (StreamId::Run(row.run), 0);
        loop {
            let entries = api.reader.entries(row.partition, &stream, from, PAGE_MAX)?;
            let Some(last) = entries.last() else { break };
            from = last.seq + 1;
            for entry in &entries {
                reasons.add(entry, row.run);
            }
        }
        let at = api.reader.run(row.partition, row.run, Upto::Latest)?;
        let names = Names(api.ports.users.names());
        let explained = explanation(&at, &reasons, only.as_ref(), &names).ok_or_else(|| not_yet(&row))?;
        match &only {
            Some(stage) if explained.stages.is_empty() => Err(Problem::not_found(
                "NO_SUCH_STAGE",
                format!("expected a stage of workflow `{}`, but it has no `{stage}`", row.workflow),
            )
            .field("stage")),
            _ => Ok(Json(explained)),
        }
    })
    .await
}

async fn why(State(api): State<Arc<Api>>, take::Named(run): take::Named) -> Result<Json<WaitsView>, Problem> {
    api.read(move |api| {
        let row = find(api, &run)?;
        let at = api.reader.run(row.partition, row.run, Upto::Latest)?;
        let state = at.state.phase.as_str().to_owned();
        Ok(Json(WaitsView { run: row.run.to_string(), state, seq: at.seq, waits: wait_views(&at) }))
    })
    .await
}

fn view_at(api: &Api, row: &RunRow, upto: Upto) -> Result<RunView, Problem> {
    let at = api.reader.run(row.partition, row.run, upto)?;
    run_view(&at, &Names(api.ports.users.names())).ok_or_else(|| not_yet(row))
}

fn not_yet(row: &RunRow) -> Problem {
    let text = format!("expected a moment of run {}, but it started later, at {}", row.run, row.started_at);
    Problem::not_found("NOT_YET", text).field("at")
}

fn known_state(state: String) -> Result<String, Problem> {
    let ends = End::ALL.iter().map(|end| end.as_str());
    let known: Vec<&str> =
        ["absent", "active", "live", "standby", "leaving"].into_iter().chain(ends).collect();
    if known.contains(&state.as_str()) {
        return Ok(state);
    }
    let text = format!("expected one of {}, but found `{state}`", known.join(", "));
    Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field("state"))
}

fn run_cursor(text: &str) -> Result<(Timestamp, RunId), Problem> {
    let (at, run) = text.split_once('.').ok_or_else(bad_cursor)?;
    let at = at.parse().map_err(|_| bad_cursor())?;
    Ok((Timestamp(at), RunId::parse(run).map_err(|_| bad_cursor())?))
}

fn etag(seq: u64) -> String {
    format!("\"{seq}\"")
}
