//! Requests that are wrong, slow, too many, or to a release that does not answer.

use std::future::pending;
use std::sync::Arc;

use hyper::Method;
use serde_json::Value;

use super::{INFER, Loaded, Stage, bundle, one_row, table};
use crate::{Backend, Call, Direct, Fault, Http, Reply};

#[tokio::test]
async fn a_wrong_request_is_refused_with_a_code_and_logged_as_nobodys() {
    let stage = Stage::with(Loaded::of(&["v1"]), tempfile::tempdir().unwrap(), |settings| {
        settings.limits.body_bytes_max = 1_000;
    })
    .await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let long_id = format!(r#"{{"id":"{}","inputs":[{{}}]}}"#, "x".repeat(257));
    let nested = format!(r#"{{"inputs":[{{"data":{}{}}}]}}"#, "[".repeat(9), "]".repeat(9));
    let cases = [
        ("not JSON", INFER, "x".to_owned(), (400, "MALFORMED")),
        ("cut off", INFER, one_row("a")[..40].to_owned(), (400, "MALFORMED")),
        ("no inputs", INFER, r#"{"id":"a"}"#.to_owned(), (400, "MALFORMED")),
        ("empty inputs", INFER, r#"{"inputs":[]}"#.to_owned(), (400, "MALFORMED")),
        ("a number as id", INFER, r#"{"id":1,"inputs":[{}]}"#.to_owned(), (400, "MALFORMED")),
        ("an id twice", INFER, r#"{"id":"1","id":"2","inputs":[{}]}"#.to_owned(), (400, "MALFORMED")),
        ("a list", INFER, r#"["1",[["FP32",[1],[1]]]]"#.to_owned(), (400, "MALFORMED")),
        ("no number", INFER, r#"{"inputs":[{"data":[NaN]}]}"#.to_owned(), (400, "MALFORMED")),
        ("deep data", INFER, nested, (400, "MALFORMED")),
        ("long id", INFER, long_id, (400, "ID_TOO_LONG")),
        ("too large", INFER, one_row(&"x".repeat(1_000)), (413, "BODY_TOO_LARGE")),
        ("another model", "/fraud@production/v2/models/other/infer", one_row("a"), (404, "MODEL_UNKNOWN")),
        ("another target", "/fraud@test/v2/models/fraud/infer", one_row("a"), (503, "NO_RELEASE")),
        (
            "a version",
            "/fraud@production/v2/models/fraud/versions/1/infer",
            one_row("a"),
            (400, "VERSION_NOT_CHOSEN"),
        ),
        ("no such path", "/fraud/v2/models/fraud/infer", one_row("a"), (404, "PATH_UNKNOWN")),
    ];
    for (name, path, body, code) in cases {
        let got = stage.client.post(path, &[], body).await;
        assert_eq!(got.code(), code, "{name}: {got:?}");
        assert!(got.body["error"].is_string(), "{name}");
    }
    let got = stage.client.post(INFER, &[("inference-header-content-length", "9")], one_row("a")).await;
    assert_eq!(got.code(), (400, "BINARY_UNSUPPORTED"));
    let got = stage.client.send(Method::GET, INFER, &[], "").await;
    assert_eq!((got.code(), got.header("allow")), ((405, "METHOD_NOT_ALLOWED"), "POST"));
    assert!(stage.logged().await.is_empty());
}

#[tokio::test]
async fn other_paths_of_the_protocol_answer() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    stage.gateway.apply(table(1, &[("v1", 9_000), ("v2", 1_000)])).await.unwrap();
    let cases = [
        ("/healthz", "gateway", Value::from("gateway-1")),
        ("/v2", "name", "modelrail-gateway".into()),
        ("/v2/health/live", "live", true.into()),
        ("/v2/health/ready", "ready", true.into()),
        ("/fraud@production/v2/health/ready", "ready", true.into()),
        ("/fraud@production/v2/models/fraud", "version", "v1".into()),
        ("/fraud%40production/v2/models/fraud/ready", "version", "v1".into()),
        ("/v2/models/fraud", "version", "v1".into()),
    ];
    for (path, field, value) in cases {
        let got = stage.client.send(Method::GET, path, &[], "").await;
        assert_eq!((got.status.as_u16(), &got.body[field]), (200, &value), "{path}");
    }
    let got = stage.client.post("/v2/models/fraud/infer", &[], one_row("a")).await;
    assert_eq!(got.status, 200, "the only target of the model");
    let mut other = table(1, &[("v1", 10_000)]);
    other.target = domain::name::TargetId::parse("fraud@test").unwrap();
    stage.gateway.apply(other).await.unwrap();
    let got = stage.client.post("/v2/models/fraud/infer", &[], one_row("a")).await;
    assert_eq!(got.code(), (503, "NO_RELEASE"), "two targets have the model");
}

#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Backend for Silent {
    async fn call(&self, _: &Call) -> Result<Reply, Fault> {
        pending().await
    }
    async fn is_ready(&self, _: &domain::name::ModelName, _: domain::name::Digest) -> Result<bool, Fault> {
        Ok(true)
    }
}

#[tokio::test]
async fn a_release_that_does_not_answer_in_time_or_at_all_is_an_error_of_that_release() {
    let stage = Stage::with(Loaded::default(), tempfile::tempdir().unwrap(), |settings| {
        settings.backend = Arc::new(Silent);
        settings.limits.infer_timeout_ms = 20;
    })
    .await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let got = stage.client.post(INFER, &[], one_row("late")).await;
    assert_eq!((got.code(), got.header("x-modelrail-release")), ((504, "RELEASE_TIMED_OUT"), "v1"));
    let logged = stage.logged().await;
    assert!(logged[0].error && logged[0].latency_us >= 20_000, "{logged:?}");
}

#[tokio::test]
async fn beyond_the_bound_of_requests_in_flight_callers_are_told_at_once() {
    let stage = Stage::with(Loaded::default(), tempfile::tempdir().unwrap(), |settings| {
        settings.backend = Arc::new(Silent);
        settings.limits.in_flight_max = 1;
    })
    .await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let client = stage.client.clone();
    let first = tokio::spawn(async move { client.post(INFER, &[], one_row("1")).await });
    while stage.gateway.in_flight(bundle("v1")) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.client.post(INFER, &[], one_row("2")).await.code(), (503, "OVERLOADED"));
    // The caller hangs up: its place is free again and nothing counts as the release's error.
    first.abort();
    while stage.gateway.in_flight(bundle("v1")) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.gateway.counts().hung_up.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(stage.logged().await.is_empty());
}

#[tokio::test]
async fn a_model_server_over_http_is_reached_and_its_loss_is_the_releases_error() {
    let loaded = Loaded::of(&["v1"]);
    let answers = loaded.clone();
    let server = super::switching::model_server(move |call| answers.answer(call)).await;
    let stage = Stage::with(Loaded::default(), tempfile::tempdir().unwrap(), |settings| {
        settings.backend = Arc::new(Http::at(server.address));
    })
    .await;
    assert_eq!(stage.gateway.apply(table(1, &[("v2", 10_000)])).await.unwrap_err().code(), "NOT_READY");
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    let got = stage.client.send(Method::GET, "/v2/models/fraud", &[], "").await;
    assert_eq!(got.body["version"], "v1");
    loaded.unload("v1");
    assert_eq!(stage.client.post(INFER, &[], one_row("gone")).await.code(), (503, "RELEASE_GONE"));
    server.stop().await;
    assert_eq!(stage.client.post(INFER, &[], one_row("lost")).await.code(), (502, "RELEASE_UNREACHABLE"));
    let logged = stage.logged().await;
    for (id, error) in [("of-ann", false), ("gone", true), ("lost", true)] {
        assert_eq!(logged.iter().find(|it| it.request_id == id).map(|it| it.error), Some(error), "{id}");
    }
}

#[tokio::test]
async fn a_release_answers_where_it_was_placed() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    let elsewhere = Loaded::of(&["v2"]);
    stage.gateway.place(bundle("v2"), Arc::new(Direct::new(move |call| elsewhere.answer(call))));
    stage.gateway.apply(table(1, &[("v1", 0), ("v2", 10_000)])).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v2");
}
