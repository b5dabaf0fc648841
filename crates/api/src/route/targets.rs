//! Targets: all, one in full, what was live when, and requests to it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json};
use domain::model::Release;
use domain::name::{Digest, StreamId, TargetId, Version};
use domain::time::Timestamp;
use engine::port::row::TargetRow;
use engine::request::{Request, TargetAsk};
use serde::Deserialize;

use super::page::{PageQuery, needed, page_size, seq_cursor, upto, words};
use super::{Access, JSON, Route};
use crate::api::Api;
use crate::auth::Caller;
use crate::clock::parse_timestamp;
use crate::problem::Problem;
use crate::reader::Upto;
use crate::show::{Names, history_lines, target_line, target_view};
use crate::view::{TargetHistory, TargetList, TargetRequest, TargetRequestKind, TargetView};
use crate::{submit, take};

/// How many records are looked through for one page of history.
const HISTORY_RECORDS_MAX: usize = 20_000;
/// How many records are read at once.
const RECORDS_MAX: usize = 256;

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
        route("get", "/v1/targets", "Lists targets by name.", &[], None, &[(200, "TargetList")], get(list)),
        route(
            "get",
            "/v1/targets/{target}",
            "Shows a target in full, now or as it was.",
            &[("at", "a record's `seq`, or an RFC 3339 time")],
            None,
            &[(200, "TargetView")],
            get(show),
        ),
        route(
            "get",
            "/v1/targets/{target}/history",
            "Lists what was live when, and every change of shares, oldest first.",
            &[("limit", "how many at most"), ("cursor", "`next_cursor` of the page before")],
            None,
            &[(200, "TargetHistory")],
            get(history),
        ),
        route(
            "post",
            "/v1/targets/{target}/requests",
            "Asks something of a target. Repeatable with the same `Idempotency-Key`.",
            &[],
            Some((JSON, "TargetRequest")),
            &[(200, "RequestAnswer"), (202, "RequestAnswer")],
            post(request),
        ),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    at: Option<String>,
}

async fn list(State(api): State<Arc<Api>>) -> Result<Json<TargetList>, Problem> {
    api.read(|api| {
        let rows = api.ports.store.targets()?;
        Ok(Json(TargetList { targets: rows.iter().map(target_line).collect() }))
    })
    .await
}

async fn show(
    State(api): State<Arc<Api>>,
    take::Named(target): take::Named,
    take::Asking(query): take::Asking<ShowQuery>,
) -> Result<Json<TargetView>, Problem> {
    let target = parse(&target)?;
    let upto = query.at.as_deref().map_or(Ok(Upto::Latest), upto)?;
    api.read(move |api| {
        let row = find(api, &target)?;
        let at = api.reader.target(row.partition, &target, upto)?;
        target_view(&at, &Names(api.ports.users.names())).map(Json).ok_or_else(|| {
            let text = format!("expected a moment of target {target}, but nothing had happened there yet");
            Problem::not_found("NOT_YET", text).field("at")
        })
    })
    .await
}

async fn history(
    State(api): State<Arc<Api>>,
    take::Named(target): take::Named,
    take::Asking(page): take::Asking<PageQuery>,
) -> Result<Json<TargetHistory>, Problem> {
    let target = parse(&target)?;
    let (mut from, limit) = (seq_cursor(page.cursor.as_deref())?, page_size(page.limit)?);
    api.read(move |api| {
        let row = find(api, &target)?;
        let names = Names(api.ports.users.names());
        let stream = StreamId::Target(target.clone());
        let (mut history, mut looked) = (vec![], 0);
        let next_cursor = 'page: loop {
            let entries = api.reader.entries(row.partition, &stream, from, RECORDS_MAX)?;
            if entries.is_empty() {
                break None;
            }
            for entry in entries {
                history.extend(history_lines(&entry, &target, &names));
                from = entry.seq + 1;
                looked += 1;
                // Whole records only, so that the cursor leaves nothing out.
                if history.len() >= limit || looked >= HISTORY_RECORDS_MAX {
                    break 'page (from <= row.last_seq).then(|| from.to_string());
                }
            }
        };
        Ok(Json(TargetHistory { target: target.to_string(), history, next_cursor }))
    })
    .await
}

async fn request(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    take::Named(target): take::Named,
    body: Body,
) -> Result<Response, Problem> {
    let target = parse(&target)?;
    let asked: TargetRequest = take::json(&api, &headers, body).await?;
    let ask = ask(asked)?;
    if let TargetAsk::Adopt { release, .. } = &ask {
        let bundle = release.bundle;
        api.read(move |api| known_bundle(api, bundle)).await?;
    } else {
        // An unknown target is told here, before an empty one is made by asking.
        let known = target.clone();
        api.read(move |api| find(api, &known)).await?;
    }
    let request = Request::Target { target, actor: caller.actor.clone(), ask };
    submit::request(&api, &caller, &headers, request).await
}

pub(crate) fn ask(asked: TargetRequest) -> Result<TargetAsk, Problem> {
    let reason = words("reason", asked.reason)?;
    let digest = |field: &str, text: &str| Digest::parse(text).map_err(|why| Problem::bad_id(field, &why));
    let bundle = || digest("bundle", needed("bundle", asked.bundle.as_deref())?);
    Ok(match asked.kind {
        TargetRequestKind::RollBack => {
            TargetAsk::RollBack { to: asked.to.as_deref().map(|to| digest("to", to)).transpose()?, reason }
        }
        TargetRequestKind::Kill => TargetAsk::Kill { bundle: bundle()?, reason },
        TargetRequestKind::Freeze => {
            TargetAsk::Freeze { until: asked.until.as_deref().map(moment).transpose()?, reason }
        }
        TargetRequestKind::Resolve => TargetAsk::Resolve { drop: asked.drop, reason },
        TargetRequestKind::Unfreeze => TargetAsk::Unfreeze { reason },
        TargetRequestKind::Adopt => {
            let version = needed("version", asked.version.as_deref())?;
            let version = Version::parse(version).map_err(|why| Problem::bad_id("version", &why))?;
            TargetAsk::Adopt { release: Release { version, bundle: bundle()?, run: None }, reason }
        }
    })
}

fn moment(text: &str) -> Result<Timestamp, Problem> {
    parse_timestamp(text)
        .ok_or_else(|| Problem::malformed("until", format!("expected an RFC 3339 time, but found `{text}`")))
}

fn known_bundle(api: &Api, bundle: Digest) -> Result<(), Problem> {
    if api.ports.blobs.contains(bundle)? {
        return Ok(());
    }
    let text = format!("expected a bundle that is stored here, but there are no bytes of {bundle}");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "UNKNOWN_BUNDLE", text)
        .hint("pack the model first: `modelrail adopt TARGET FILE` does both")
        .field("bundle"))
}

pub(super) fn parse(text: &str) -> Result<TargetId, Problem> {
    TargetId::parse(text).map_err(|why| Problem::bad_id("target", &why))
}

fn find(api: &Api, target: &TargetId) -> Result<TargetRow, Problem> {
    let behind = api.ports.engine.behind();
    api.ports.store.target(target)?.ok_or_else(|| match behind {
        Some(why) => why.into(),
        None => Problem::not_found(
            "UNKNOWN_TARGET",
            format!("expected a target, but there is none called `{target}`"),
        )
        .hint("list targets with `modelrail targets`")
        .field("target"),
    })
}
