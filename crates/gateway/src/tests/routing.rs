//! Who is led where: shares, stickiness, and what a caller is drawn by.

use domain::routes::Sticky;

use super::{INFER, Loaded, Stage, bundle, table, target};
use crate::Gateway;

fn led(gateway: &Gateway, key: &str) -> domain::name::Digest {
    let serving = gateway.shared.target(&target().to_string()).unwrap().serving.load_full();
    serving.choose(key.as_bytes()).unwrap().release.bundle
}

#[tokio::test]
async fn each_release_gets_its_share_of_100_000_callers() {
    let stage = Stage::new(Loaded::of(&["v1", "v2", "v3"])).await;
    for (generation, shares) in [
        (1, vec![("v1", 10_000)]),
        (2, vec![("v1", 9_999), ("v2", 1)]),
        (3, vec![("v1", 9_500), ("v2", 500)]),
        (4, vec![("v1", 5_000), ("v2", 5_000)]),
        (5, vec![("v1", 3_000), ("v2", 2_000), ("v3", 5_000)]),
        (6, vec![("v1", 0), ("v2", 10_000)]),
    ] {
        stage.gateway.apply(table(generation, &shares)).await.unwrap();
        let callers = 100_000;
        let chosen: Vec<_> = (0..callers).map(|key| led(&stage.gateway, &format!("user-{key}"))).collect();
        for (version, points) in shares {
            let number = chosen.iter().filter(|it| **it == bundle(version)).count() as f64;
            let share = f64::from(points) / 1e4;
            let expected = f64::from(callers) * share;
            // Five standard deviations of a binomial draw; the hash is fixed, so that this never flickers.
            let bound = 5.0 * (expected * (1.0 - share)).sqrt();
            assert!((number - expected).abs() <= bound, "{version}: {number} of {expected} +- {bound}");
        }
    }
}

#[tokio::test]
async fn callers_only_move_towards_a_growing_candidate() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    let mut before = vec![false; 5_000];
    for (generation, points) in [(1, 0), (2, 1), (3, 100), (4, 500), (5, 2_500), (6, 9_999), (7, 10_000)] {
        stage.gateway.apply(table(generation, &[("v1", 10_000 - points), ("v2", points)])).await.unwrap();
        for (key, had_candidate) in before.iter_mut().enumerate() {
            let has_candidate = led(&stage.gateway, &format!("user-{key}")) == bundle("v2");
            assert!(has_candidate || !*had_candidate, "user-{key} was taken back at {points}");
            *had_candidate = has_candidate;
        }
    }
    assert!(before.iter().all(|has_candidate| *has_candidate));
}

#[tokio::test]
async fn a_caller_is_kept_by_header_by_parameter_or_drawn_by_the_request_id() {
    let stage = Stage::new(Loaded::of(&["v1", "v2"])).await;
    let by = |generation, sticky| {
        let mut table = table(generation, &[("v1", 5_000), ("v2", 5_000)]);
        table.sticky = sticky;
        table
    };
    let input = r#"[{"name":"x","datatype":"FP32","shape":[1,1],"data":[1]}]"#;
    let versions = async |headers: &[(&str, &str)], parameters: &str| {
        let mut versions = vec![];
        for number in 0..20 {
            let body = format!(r#"{{"id":"{number}","parameters":{parameters},"inputs":{input}}}"#);
            let got = stage.client.post(INFER, headers, body).await;
            assert_eq!(got.status, 200, "{got:?}");
            versions.push(got.header("x-modelrail-release").to_owned());
        }
        versions.dedup();
        versions.len()
    };
    stage.gateway.apply(by(1, Sticky::Header("x-user".into()))).await.unwrap();
    assert_eq!(versions(&[("x-user", "ann")], "{}").await, 1);
    assert!(versions(&[], "{}").await > 1, "without the header the id draws");
    stage.gateway.apply(by(2, Sticky::Parameter("user".into()))).await.unwrap();
    assert_eq!(versions(&[], r#"{"other":[1],"user":"ann"}"#).await, 1);
    assert_eq!(versions(&[], r#"{"user":17}"#).await, 1);
    assert!(versions(&[], r#"{"user":null}"#).await > 1);
    assert!(versions(&[], "null").await > 1);
    stage.gateway.apply(by(3, Sticky::None)).await.unwrap();
    assert!(versions(&[("x-user", "ann")], r#"{"user":"ann"}"#).await > 1);
    let one = bundle("v1");
    let as_text = led(&stage.gateway, "17") == one;
    assert_eq!(as_text, led(&stage.gateway, "17") == one, "the same key is led the same way");
}
