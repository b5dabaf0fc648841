//! The kill switch and its override.

use super::{INFER, Loaded, SECRET, Stage, bundle, one_row, release, table, target};

const CANARY: [(&str, u16); 2] = [("v1", 1), ("v2", 9_999)];

#[tokio::test]
async fn a_kill_needs_its_own_credential() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    stage.gateway.apply(table(1, &CANARY)).await.unwrap();
    let got = stage.client.post("/fraud@production/kill", &[], "").await;
    assert_eq!(got.code(), (401, "CREDENTIAL_WRONG"));
    for wrong in ["", "the switcH", "the switch  2", "the"] {
        assert_eq!(stage.client.kill(wrong, "").await.code(), (401, "CREDENTIAL_WRONG"), "{wrong:?}");
    }
    assert_eq!(stage.client.answered_by("ann").await, "v2");
    assert_eq!(stage.client.kill(SECRET, "").await.status, 200);
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    let shut = Stage::with(Loaded::default(), tempfile::tempdir().unwrap(), |it| it.kill = None).await;
    assert_eq!(shut.client.kill(SECRET, "").await.code(), (403, "KILL_SHUT"));
}

#[tokio::test]
async fn a_kill_leads_to_the_stable_release_until_a_newer_table_no_longer_names_the_killed() {
    let stage = Stage::new(Loaded::of(&["v1", "v2", "v3"])).await;
    stage.gateway.apply(table(7, &CANARY)).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v2");
    let got = stage.client.kill(SECRET, r#"{"release":"v2","reason":"wrong answers"}"#).await;
    assert_eq!(
        (got.status.as_u16(), &got.body["to"], &got.body["generation"]),
        (200, &"v1".into(), &7.into())
    );
    let observed = stage.gateway.observed(&target()).unwrap().overridden.unwrap();
    assert_eq!((observed.killed, observed.to), (vec![bundle("v2")], Some(release("v1"))));
    assert_eq!(observed.reason, "wrong answers");

    // Neither the same table again nor a newer one, raised before the core heard of it, undoes the kill.
    for generation in [7, 8] {
        stage.gateway.apply(table(generation, &CANARY)).await.unwrap();
        assert_eq!(stage.client.answered_by("ann").await, "v1", "{generation}");
        assert!(stage.gateway.observed(&target()).unwrap().overridden.is_some(), "{generation}");
    }
    stage.gateway.apply(table(9, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(stage.gateway.observed(&target()).unwrap().overridden, None);
    stage.gateway.apply(table(10, &[("v1", 0), ("v3", 10_000)])).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v3");
}

#[tokio::test]
async fn an_override_survives_a_restart() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    stage.gateway.apply(table(7, &CANARY)).await.unwrap();
    assert_eq!(stage.client.kill(SECRET, r#"{"release":"v2"}"#).await.status, 200);
    let kept = stage.gateway.observed(&target()).unwrap().overridden;
    let (loaded, folder) = stage.end().await;

    let stage = Stage::with(loaded, folder, |_| {}).await;
    let observed = stage.gateway.observed(&target()).unwrap();
    assert_eq!((observed.generation, observed.overridden), (None, kept));
    assert_eq!(stage.client.post(INFER, &[], one_row("1")).await.code(), (503, "NO_RELEASE"));
    assert_eq!(stage.gateway.apply(table(6, &CANARY)).await.unwrap_err().code(), "GENERATION_OLDER");
    stage.gateway.apply(table(7, &CANARY)).await.unwrap();
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    stage.gateway.apply(table(8, &[("v1", 10_000)])).await.unwrap();
    let (loaded, folder) = stage.end().await;

    let stage = Stage::with(loaded, folder, |_| {}).await;
    assert_eq!(stage.gateway.observed(&target()), None, "the end of an override is kept too");
}

#[tokio::test]
async fn without_a_stable_release_a_kill_leaves_nobody() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    assert_eq!(stage.client.kill(SECRET, "").await.code(), (409, "ONLY_STABLE"));
    assert_eq!(stage.client.answered_by("ann").await, "v1");
    let got = stage.client.kill(SECRET, &format!(r#"{{"release":"{}"}}"#, bundle("v1"))).await;
    assert_eq!((got.status.as_u16(), &got.body["to"]), (200, &serde_json::Value::Null));
    assert_eq!(stage.client.post(INFER, &[], one_row("1")).await.code(), (503, "NO_RELEASE"));
}

#[tokio::test]
async fn a_kill_of_what_is_not_there_or_not_understood_changes_nothing() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    assert_eq!(stage.client.kill(SECRET, "").await.code(), (503, "NO_RELEASE"));
    stage.gateway.apply(table(1, &CANARY)).await.unwrap();
    for (body, code) in [
        (r#"{"release":"v9"}"#, (404, "RELEASE_UNKNOWN")),
        (r#"{"relase":"v2"}"#, (400, "MALFORMED")),
        ("v2", (400, "MALFORMED")),
        (r#"["v2"]"#, (400, "MALFORMED")),
        (r#"{"release":"v9","release":"v2"}"#, (400, "MALFORMED")),
    ] {
        assert_eq!(stage.client.kill(SECRET, body).await.code(), code, "{body}");
    }
    assert_eq!(stage.client.answered_by("ann").await, "v2");
}

#[tokio::test]
async fn a_kill_that_cannot_be_kept_leads_away_and_says_so() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    stage.gateway.apply(table(1, &CANARY)).await.unwrap();
    std::fs::remove_dir(stage.folder.path()).unwrap();
    assert_eq!(stage.client.kill(SECRET, "").await.code(), (500, "OVERRIDE_NOT_KEPT"));
    assert_eq!(stage.client.answered_by("ann").await, "v1");
}

#[tokio::test]
async fn a_gateway_does_not_start_with_overrides_that_it_cannot_read() {
    for text in ["{", r#"{"form":2,"overrides":[]}"#, r#"{"form":1,"overrides":[],"more":1}"#] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("overrides.json"), text).unwrap();
        assert!(crate::overrides::Overrides::open(folder.path()).is_err(), "{text}");
    }
}
