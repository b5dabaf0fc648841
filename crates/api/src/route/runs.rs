//! Runs: lists, one in full, its transitions, its state at a record, why it was decided so, what it waits for,
//! and requests to it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use domain::evidence::Text;
use domain::name::{BadName, Digest, ModelName, Role, RunId, StageName, StreamId, TargetId};
use domain::run::End;
use domain::time::Timestamp;
use domain::weight::Weight;
use engine::port::row::RunRow;
use engine::port::store::Query;
use engine::request::{Request, RunAsk};
use serde::Deserialize;

use super::{Access, JSON, Route, stream};
use crate::api::Api;
use crate::auth::Caller;
use crate::clock::parse_timestamp;
use crate::problem::Problem;
use crate::reader::Upto;
use crate::show::{Names, Reasons, explanation, run_line, run_view, transition_view, wait_views};
use crate::view::{
    Explanation, RunList, RunRequest, RunRequestKind, RunView, TransitionList, WaitsView,
};
use crate::{submit, take};

/// How many entries a page has unless asked otherwise, and at most.
pub(super) const PAGE: usize = 50;
pub(super) const PAGE_MAX: usize = 500;
/// The least characters of a run's id that stand for it.
const PREFIX_CHARS_MIN: usize = 4;
/// How many runs are looked through for a prefix.
const PREFIX_RUNS_MAX: usize = 100_000;
/// How many runs an ambiguous prefix names.
const CANDIDATES_MAX: usize = 10;

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
            post(request),
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
pub(super) struct PageQuery {
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<String>,
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
            entries.iter().for_each(|entry| reasons.add(entry, row.run));
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

async fn why(
    State(api): State<Arc<Api>>,
    take::Named(run): take::Named,
) -> Result<Json<WaitsView>, Problem> {
    api.read(move |api| {
        let row = find(api, &run)?;
        let at = api.reader.run(row.partition, row.run, Upto::Latest)?;
        let state = at.state.phase.as_str().to_owned();
        Ok(Json(WaitsView { run: row.run.to_string(), state, seq: at.seq, waits: wait_views(&at.state) }))
    })
    .await
}

async fn request(
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

fn ask(asked: RunRequest) -> Result<RunAsk, Problem> {
    let reason = asked.reason.map(Text::from);
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
            needed("rationale", asked.rationale.as_deref())?.into(),
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
        RunRequestKind::Retry => RunAsk::Retry { stage: stage()?, reason: reason()? },
    })
}

/// A field that this kind of request needs.
pub(super) fn needed<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "MISSING",
            format!("expected `{field}` with a request of this kind, but it is missing"),
        )
        .field(field)
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
            Problem::malformed("to", format!("expected a share such as `25%` or `2500bp`, but found `{text}`"))
        })
}

fn view_at(api: &Api, row: &RunRow, upto: Upto) -> Result<RunView, Problem> {
    let at = api.reader.run(row.partition, row.run, upto)?;
    run_view(&at, &Names(api.ports.users.names())).ok_or_else(|| not_yet(row))
}

fn not_yet(row: &RunRow) -> Problem {
    let text = format!("expected a moment of run {}, but it started later, at {}", row.run, row.started_at);
    Problem::not_found("NOT_YET", text).field("at")
}

/// The run that a text names: its 26 characters, or a prefix that no other run has.
pub(super) fn find(api: &Api, text: &str) -> Result<RunRow, Problem> {
    let unknown = || {
        Problem::not_found("UNKNOWN_RUN", format!("expected a run, but there is none called `{text}`"))
            .hint("list runs with `modelrail runs`")
    };
    let prefix = text.to_ascii_uppercase();
    if prefix.len() >= 26 {
        let run = RunId::parse(&prefix).map_err(|why| Problem::bad_id("run", &why))?;
        return api.ports.store.run(run)?.ok_or_else(unknown);
    }
    let plain = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    if prefix.len() < PREFIX_CHARS_MIN || !prefix.bytes().all(plain) {
        let expected = "a run of 26 characters (Crockford's base 32), or at least 4 of its first";
        return Err(Problem::bad_id("run", &BadName { expected, found: text.chars().take(80).collect() }));
    }
    let mut matches: Vec<RunRow> = vec![];
    let mut query = Query { runs_max: PAGE_MAX, ..Query::default() };
    for _ in 0..PREFIX_RUNS_MAX / PAGE_MAX {
        let rows = api.ports.store.runs(&query)?;
        let Some(last) = rows.last().map(|row| (row.started_at, row.run)) else { break };
        query.after = Some(last);
        matches.extend(rows.into_iter().filter(|row| row.run.to_string().starts_with(&prefix)));
        if matches.len() > CANDIDATES_MAX {
            break;
        }
    }
    match matches.len() {
        0 => Err(unknown()),
        1 => Ok(matches.remove(0)),
        _ => {
            let candidates = matches.iter().take(CANDIDATES_MAX).map(|row| row.run.to_string()).collect();
            let text = format!("expected one run, but several begin with `{text}`");
            Err(Problem::new(StatusCode::CONFLICT, "AMBIGUOUS_RUN", text)
                .hint("give more characters of its id")
                .field("run")
                .candidates(candidates))
        }
    }
}

fn known_state(state: String) -> Result<String, Problem> {
    let ends = End::ALL.iter().map(|end| end.as_str());
    let known: Vec<&str> = ["active", "live", "standby", "leaving"].into_iter().chain(ends).collect();
    if known.contains(&state.as_str()) {
        return Ok(state);
    }
    let text = format!("expected one of {}, but found `{state}`", known.join(", "));
    Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field("state"))
}

pub(super) fn page_size(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(PAGE),
        Some(size) if (1..=PAGE_MAX).contains(&size) => Ok(size),
        Some(size) => {
            let text = format!("expected a limit from 1 to {PAGE_MAX}, but found {size}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_QUERY", text).field("limit"))
        }
    }
}

fn bad_cursor() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_CURSOR", "expected `next_cursor` of the page before")
        .field("cursor")
}

fn run_cursor(text: &str) -> Result<(Timestamp, RunId), Problem> {
    let (at, run) = text.split_once('.').ok_or_else(bad_cursor)?;
    let at = at.parse().map_err(|_| bad_cursor())?;
    Ok((Timestamp(at), RunId::parse(run).map_err(|_| bad_cursor())?))
}

/// From which record on to read.
pub(super) fn seq_cursor(text: Option<&str>) -> Result<u64, Problem> {
    text.map_or(Ok(0), |text| text.parse().map_err(|_| bad_cursor()))
}

/// A record's `seq`, or a moment.
pub(super) fn upto(text: &str) -> Result<Upto, Problem> {
    if let Ok(seq) = text.parse() {
        return Ok(Upto::Seq(seq));
    }
    parse_timestamp(text).map(Upto::Moment).ok_or_else(|| {
        let text = format!("expected a record's number or an RFC 3339 time, but found `{text}`");
        Problem::new(StatusCode::BAD_REQUEST, "BAD_ID", text).field("at")
    })
}

fn etag(seq: u64) -> String {
    format!("\"{seq}\"")
}
