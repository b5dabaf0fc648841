//! Which tables are taken.

use super::{INFER, Loaded, Stage, StatusCode, bundle, one_row, table, target};
use crate::{Fault, Http, Refused};
use domain::routes::{Generation, RouteTable};
use std::sync::Arc;

#[tokio::test]
async fn an_older_contradicting_or_unsound_table_is_refused_and_changes_nothing() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    let first = table(5, &[("v1", 9_000), ("v2", 1_000)]);
    let observed = stage.gateway.apply(first.clone()).await.unwrap();
    assert_eq!(observed.generation, Some(Generation(5)));
    stage.gateway.apply(first).await.expect("the same again is fine");
    let cases = [
        ("older", table(4, &[("v1", 10_000)]), "GENERATION_OLDER"),
        ("contradicting", table(5, &[("v1", 8_000), ("v2", 2_000)]), "GENERATION_CONTRADICTED"),
        ("sums to less", table(6, &[("v1", 8_000), ("v2", 1_000)]), "TABLE_UNSOUND"),
        ("names one twice", table(6, &[("v1", 5_000), ("v1", 5_000)]), "TABLE_UNSOUND"),
        ("not ready", table(6, &[("v1", 9_000), ("v3", 1_000)]), "NOT_READY"),
    ];
    for (name, table, code) in cases {
        assert_eq!(stage.gateway.apply(table).await.unwrap_err().code(), code, "{name}");
        assert_eq!(stage.gateway.observed(&target()).unwrap().generation, Some(Generation(5)), "{name}");
    }
    let metrics = stage.gateway.render_openmetrics("modelrail_");
    for line in [
        "modelrail_gateway_tables_applied_total 2",
        "modelrail_gateway_tables_refused_total 5",
        "modelrail_gateway_generation{target=\"fraud@production\"} 5",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_stable_release_must_be_ready_too_and_one_without_a_share_need_not() {
    let stage = Stage::new(Loaded::of(&["v2"])).await;
    let mut moved = table(1, &[("v1", 0), ("v2", 10_000)]);
    let refused = stage.gateway.apply(moved.clone()).await.unwrap_err();
    assert!(matches!(&refused, Refused::NotReady { release } if release.bundle == bundle("v1")), "{refused}");
    assert!(refused.may_pass());
    moved.stable = None;
    stage.gateway.apply(moved).await.unwrap();
}

#[tokio::test]
async fn a_table_whose_model_server_is_silent_is_refused_as_that() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    stage.gateway.place(bundle("v1"), Arc::new(Http::at(gone)));
    let refused = stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap_err();
    assert_eq!(refused.code(), "MODEL_SERVER_SILENT");
    let Refused::Unreachable { source, .. } = refused else { panic!("it has a source") };
    assert!(matches!(source.downcast_ref(), Some(Fault::Unreachable(_))), "{source:?}");
    stage.gateway.displace(bundle("v1"));
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
}

#[tokio::test]
async fn without_a_table_and_with_an_empty_one_callers_get_503() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    let unserved = async || {
        let got = stage.client.post(INFER, &[], one_row("1")).await;
        assert_eq!(got.code(), (503, "NO_RELEASE"));
        assert_eq!(got.header("retry-after"), "1");
        let ready = stage.client.send(hyper::Method::GET, "/fraud@production/v2/health/ready", &[], "").await;
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    };
    unserved().await;
    stage.gateway.apply(RouteTable::empty(target())).await.unwrap();
    unserved().await;
    assert!(stage.logged().await.is_empty(), "nobody answered, so nothing was predicted");
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    let mut emptied = table(2, &[]);
    emptied.stable = None;
    stage.gateway.apply(emptied).await.unwrap();
    unserved().await;
}

#[tokio::test]
async fn targets_beyond_the_bound_are_refused() {
    let stage = Stage::with(Loaded::of(&["v1"]), tempfile::tempdir().unwrap(), |settings| {
        settings.limits.targets_max = 1;
    })
    .await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let mut other = table(1, &[("v1", 10_000)]);
    other.target = domain::name::TargetId::parse("fraud@test").unwrap();
    assert_eq!(stage.gateway.apply(other).await.unwrap_err().code(), "TARGETS_FULL");
}
