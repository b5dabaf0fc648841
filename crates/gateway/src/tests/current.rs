//! Probes of a gateway that may not have the newest tables, environments with servers of their own, and who hears of
//! changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::name::{Environment, TargetId};
use hyper::{Method, StatusCode};

use super::{Loaded, Stage, table};
use crate::{Backend, Direct};

async fn probes(stage: &Stage) -> (StatusCode, StatusCode) {
    let ready = stage.client.send(Method::GET, "/readyz", &[], "").await.status;
    (ready, stage.client.send(Method::GET, "/v2/health/ready", &[], "").await.status)
}

#[tokio::test]
async fn a_gateway_that_catches_up_serves_and_is_not_ready() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    let (ok, not) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(probes(&stage).await, (ok, not), "it is current, and serves nobody");
    stage.gateway.catch_up(true);
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(probes(&stage).await, (not, not));
    assert_eq!(stage.client.answered_by("ann").await, "v1", "by what it has");
    stage.gateway.catch_up(false);
    assert_eq!(probes(&stage).await, (ok, ok));
}

#[tokio::test]
async fn each_environment_has_servers_of_its_own() {
    let elsewhere = Loaded::of(&["v2"]);
    let answers = elsewhere.clone();
    let of_test: Arc<dyn Backend> = Arc::new(Direct::new(move |call| answers.answer(call)));
    let stage = Stage::with(Loaded::of(&["v1"]), tempfile::tempdir().unwrap(), |settings| {
        settings.environments = BTreeMap::from([(Environment::parse("test").unwrap(), of_test)]);
    })
    .await;
    let at_test = |version| {
        let mut table = table(1, &[(version, 10_000)]);
        table.target = TargetId::parse("fraud@test").unwrap();
        table
    };
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(stage.gateway.apply(at_test("v1")).await.unwrap_err().code(), "NOT_READY");
    stage.gateway.apply(at_test("v2")).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    let body = super::one_row("1");
    let got = stage.client.post("/fraud@test/v2/models/fraud/infer", &[], body).await;
    assert_eq!(got.header("x-modelrail-release"), "v2");
}

#[tokio::test]
async fn a_table_and_a_kill_are_changes_and_a_refusal_is_none() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    let mut changes = stage.gateway.changes();
    stage.gateway.apply(table(2, &[("v1", 9_000), ("v2", 1_000)])).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap_err();
    assert!(!changes.has_changed().unwrap(), "a table that was refused");
    assert_eq!(stage.client.kill(super::SECRET, "{\"release\":\"v2\"}").await.status, StatusCode::OK);
    assert!(changes.has_changed().unwrap(), "the kill switch");
}

#[tokio::test]
async fn what_is_counted_is_told_where_callers_ask_too() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    stage.client.answered_by("ann").await;
    let mut stream = tokio::net::TcpStream::connect(stage.client.address).await.unwrap();
    let asked = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.contains("\nmodelrail_gateway_requests_total 1\n"), "{answer}");
}
