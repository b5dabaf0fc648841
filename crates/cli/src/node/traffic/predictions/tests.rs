//! From a gateway's writes to what a worker measures.

use domain::name::Digest;
use domain::routes::Generation;

use super::*;
use crate::node::traffic::memory::{MemoryTopic, until};

fn target() -> TargetId {
    TargetId::parse("fraud@production").unwrap()
}

fn prediction(id: &str, at: u64) -> Prediction {
    Prediction {
        target: target(),
        request_id: id.to_owned(),
        at: Timestamp(at),
        bundle: Digest::of(b"b"),
        generation: Generation(1),
        unit: 7,
        latency_us: 9,
        error: false,
        features: vec![0.5],
        output: Some(1.0),
        score: None,
    }
}

fn label(id: &str) -> Label {
    let at = SystemClock::default().wall();
    Label { target: target(), request_id: id.to_owned(), at, value: 1.0 }
}

fn settings() -> Settings {
    Settings {
        brokers: "none:1".into(),
        client_id: "test".into(),
        prefix: "t.".into(),
        security: log_kafka::Security::default(),
    }
}

fn scanned(log: &rocks::Predictions) -> Vec<(String, Option<f64>)> {
    let mut rows = vec![];
    let (from, to) = (Timestamp(0), Timestamp(u64::MAX));
    log.scan(&target(), from, to, &mut |row, label| rows.push((row.request_id.clone(), label))).unwrap();
    rows
}

fn keeping(log: &Arc<rocks::Predictions>, predictions: &MemoryTopic, labels: &MemoryTopic) -> Keeping {
    let opens = |topic| if topic == Topic::Labels { labels.opens() } else { predictions.opens() };
    Keeping::start(log, &settings(), &opens, 30).unwrap()
}

#[test]
fn what_a_gateway_answered_and_what_was_true_arrive_where_it_is_measured_through_restarts() {
    let (predictions, labels) = (MemoryTopic::default(), MemoryTopic::default());
    let gateway = ToTopics::new(Arc::new(predictions.clone()), Arc::new(labels.clone()));
    let now = SystemClock::default().wall().0;
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(rocks::Predictions::open_alone(folder.path()).unwrap());
    let first = keeping(&log, &predictions, &labels);
    gateway.append(&[prediction("a", now), prediction("b", now + 1)]).unwrap();
    predictions.publish("x", b"none".to_vec()).unwrap();
    gateway.label(&[label("b")]).unwrap();
    let both = [("a".to_owned(), None), ("b".to_owned(), Some(1.0))];
    until(|| (scanned(&log) == both).then_some(()));
    let read_to = |topic: &str| {
        log.positions().iter().filter(|(of, _)| of.starts_with(topic)).map(|(_, next)| next).sum::<u64>()
    };
    until(|| (read_to("t.predictions/") == 3 && read_to("t.labels/") == 1).then_some(()));
    first.stop();
    gateway.append(&[prediction("c", now + 2)]).unwrap();
    // What it noted is not read again: this row would come back otherwise.
    log.sweep(Timestamp(now + 1)).unwrap();
    let second = keeping(&log, &predictions, &labels);
    let left = [("b".to_owned(), Some(1.0)), ("c".to_owned(), None)];
    until(|| (scanned(&log) == left).then_some(()));
    second.stop();
    // A crash before the note: all is read again, and replaces itself.
    log.note(&log.positions().into_keys().map(|source| (source, 0)).collect()).unwrap();
    let third = keeping(&log, &predictions, &labels);
    until(|| (read_to("t.predictions/") == 4).then_some(()));
    assert_eq!(scanned(&log), left);
    third.stop();
}

#[test]
fn labels_are_taken_only_when_they_landed_and_predictions_are_dropped_rather_than_waited_for() {
    let (predictions, labels) = (MemoryTopic::default(), MemoryTopic::default());
    let gateway = ToTopics::new(Arc::new(predictions.clone()), Arc::new(labels.clone()));
    labels.away(true);
    assert!(gateway.label(&[label("a")]).is_err());
    labels.away(false);
    gateway.label(&[label("a"), label("b")]).unwrap();
    assert_eq!(labels.values().len(), 2);
    predictions.away(true);
    gateway.append(&[prediction("a", 1)]).unwrap();
    assert_eq!(gateway.lost(), 1, "nobody waited, and it is counted");
    predictions.away(false);
    predictions.room(1);
    assert!(gateway.append(&[prediction("b", 1), prediction("c", 1)]).is_err(), "no room is told");
    assert_eq!(predictions.values().len(), 1);
}
