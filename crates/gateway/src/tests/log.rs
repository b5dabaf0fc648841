//! What the prediction log is told.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use domain::name::TargetId;
use domain::routes::Generation;
use domain::time::Timestamp;
use engine::port::predictions::{Error, Label, Prediction, Predictions};
use hyper::StatusCode;

use super::{INFER, Loaded, Stage, bundle, one_row, table};

#[tokio::test]
async fn a_prediction_says_who_was_answered_what_by_whom() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(3, &[("v1", 10_000)])).await.unwrap();
    let got = stage.client.post(INFER, &[("x-user", "ann")], one_row("r-1")).await;
    assert_eq!(got.header("x-request-id"), "r-1");
    assert_eq!((got.header("x-modelrail-release"), got.header("x-modelrail-generation")), ("v1", "3"));
    let logged = stage.logged().await;
    let [it] = logged.as_slice() else { panic!("{logged:?}") };
    assert_eq!((it.request_id.as_str(), it.bundle, it.generation), ("r-1", bundle("v1"), Generation(3)));
    assert_eq!(it.features, [0.5, -1.0, 20.0]);
    assert_eq!((it.output, it.score, it.error), (Some(1.0), Some(0.75), false));
    assert!(it.at > Timestamp(1_700_000_000_000));

    stage.client.post(INFER, &[("x-user", "ann")], one_row("r-2")).await;
    stage.client.post(INFER, &[("x-user", "bob")], one_row("r-3")).await;
    let mut logged = stage.logged().await;
    logged.sort_by(|a, b| a.request_id.cmp(&b.request_id));
    assert_eq!(logged[0].unit, logged[1].unit);
    assert_ne!(logged[0].unit, logged[2].unit);
}

#[tokio::test]
async fn an_id_that_is_not_given_is_made_and_stands_in_body_header_and_log() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let inputs = r#""inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[[1]]}]"#;
    for body in [
        format!("{{{inputs}}}"),
        format!("  {{ {inputs} }}"),
        format!(r#"{{{inputs},"id": null}}"#),
        format!(r#"{{"id":"",{inputs}}}"#),
    ] {
        let got = stage.client.post(INFER, &[], body.clone()).await;
        assert_eq!(got.status, 200, "{body}: {got:?}");
        let id = got.header("x-request-id").to_owned();
        assert_eq!(id.len(), 36, "{body}");
        assert_eq!(got.body["id"], id.as_str(), "{body}");
        assert!(stage.logged().await.iter().any(|it| it.request_id == id), "{body}");
        let named = stage.client.post(INFER, &[("x-request-id", "a \"b\"")], body.clone()).await;
        assert_eq!(
            (named.header("x-request-id"), &named.body["id"]),
            ("a \"b\"", &"a \"b\"".into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn features_are_of_one_numeric_row_only() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    let input = |datatype: &str, shape: &str, data: &str| {
        format!(r#"{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}"#)
    };
    let row = input("FP32", "[1,2]", "[1,2]");
    let cases = [
        ("flat", row.clone(), vec![1.0, 2.0], Some(1.0)),
        ("nested", input("FP64", "[1,2]", "[[1,2]]"), vec![1.0, 2.0], Some(1.0)),
        ("booleans", input("BOOL", "[1,2]", "[true,false]"), vec![1.0, 0.0], Some(1.0)),
        ("one dimension", input("INT64", "[2]", "[1,2]"), vec![1.0, 2.0], Some(1.0)),
        ("two rows", input("FP32", "[2,1]", "[1,2]"), vec![], None),
        ("texts", input("BYTES", "[1,1]", r#"["a"]"#), vec![], Some(1.0)),
        ("two tensors", format!("{row},{row}"), vec![], Some(1.0)),
    ];
    for (id, inputs, features, output) in cases {
        let body = format!(r#"{{"id":"{id}","inputs":[{inputs}]}}"#);
        assert_eq!(stage.client.post(INFER, &[], body).await.status, 200, "{id}");
        let logged = stage.logged().await;
        let it = logged.iter().find(|it| it.request_id == id).unwrap();
        assert_eq!((&it.features, it.output), (&features, output), "{id}");
    }
}

#[tokio::test]
async fn an_error_is_the_releases_when_it_is_5xx_and_the_callers_when_it_is_4xx() {
    let loaded = Loaded::of(&["v1"]);
    let stage = Stage::new(loaded.clone()).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    for (status, error) in [(500, true), (503, true), (400, false), (422, false)] {
        loaded.load("v1", StatusCode::from_u16(status).unwrap());
        let id = status.to_string();
        let got = stage.client.post(INFER, &[], one_row(&id)).await;
        assert_eq!(
            (got.status.as_u16(), &got.body["model_version"]),
            (status, &"v1".into()),
            "passed on as it is"
        );
        let logged = stage.logged().await;
        let it = logged.iter().find(|it| it.request_id == id).unwrap();
        assert_eq!((it.error, it.output), (error, None), "{status}");
    }
    loaded.unload("v1");
    assert_eq!(stage.client.post(INFER, &[], one_row("gone")).await.code(), (503, "RELEASE_GONE"));
    assert!(stage.logged().await.iter().any(|it| it.request_id == "gone" && it.error));
    let [counts] = &stage.gateway.release_counts(&super::target())[..] else { panic!("one release") };
    assert_eq!((counts.requests.load(Relaxed), counts.errors.load(Relaxed)), (5, 3));
    assert_eq!(counts.in_flight.load(Relaxed), 0);
}

/// A log that says when it is asked to write and waits to be let.
#[derive(Debug)]
struct Held {
    asked: Mutex<Sender<usize>>,
    let_go: Mutex<Receiver<()>>,
}

impl Predictions for Held {
    fn append(&self, predictions: &[Prediction]) -> Result<(), Error> {
        self.asked.lock().unwrap().send(predictions.len()).unwrap();
        self.let_go.lock().unwrap().recv().map_err(|error| Error(error.into()))
    }
    fn label(&self, _: &[Label]) -> Result<(), Error> {
        Err(Error("no labels here".into()))
    }
    fn scan(
        &self,
        _: &TargetId,
        _: Timestamp,
        _: Timestamp,
        _: &mut dyn FnMut(&Prediction, Option<f64>),
    ) -> Result<(), Error> {
        Ok(())
    }
    fn sweep(&self, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_and_counts_and_holds_up_nobody() {
    let (asked, was_asked) = channel();
    let (let_go, gone) = channel();
    let held = Held { asked: Mutex::new(asked), let_go: Mutex::new(gone) };
    let stage = Stage::with(Loaded::of(&["v1"]), tempfile::tempdir().unwrap(), |settings| {
        settings.predictions = Arc::new(held);
        settings.limits.predictions_waiting_max = 2;
        settings.limits.predictions_batch_max = 1;
    })
    .await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    stage.client.answered_by("first").await;
    assert_eq!(was_asked.recv().unwrap(), 1);
    for number in 0..6 {
        stage.client.answered_by(&number.to_string()).await;
    }
    let counts = stage.gateway.counts();
    assert_eq!(counts.predictions_dropped.load(Relaxed), 4);
    let metrics = stage.gateway.render_openmetrics("x_");
    assert!(metrics.contains("\nx_gateway_predictions_dropped_total 4\n"), "{metrics}");

    let labels = stage.client.post("/fraud@production/labels", &[], r#"{"id":"a","label":1}"#).await;
    assert_eq!(labels.code(), (503, "LABELS_NOT_KEPT"));
    // One is written; then the log fails, and that is counted too.
    let_go.send(()).unwrap();
    assert_eq!(was_asked.recv().unwrap(), 1);
    drop(let_go);
    stage.gateway.flush().await;
    assert_eq!(counts.predictions_written.load(Relaxed), 1);
    assert_eq!(counts.predictions_lost.load(Relaxed), 2);
}
