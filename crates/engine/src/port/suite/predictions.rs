//! The contract of [`Predictions`].

use domain::name::{Digest, TargetId};
use domain::routes::Generation;
use domain::time::Timestamp;

use super::samples::target;
use crate::port::predictions::{Label, Prediction, Predictions};

pub fn predictions<P: Predictions>(fresh: impl Fn() -> P) {
    let log = fresh();
    let (flights, fraud) = (target("flights"), target("fraud"));
    let given = [
        prediction(&flights, "a", 10, 0.1),
        prediction(&flights, "b", 20, 0.2),
        prediction(&fraud, "a", 20, 0.3),
        prediction(&flights, "c", 30, 0.4),
    ];
    log.label(&[label(&flights, "b", 5, 1.0)]).expect("label works");
    log.append(&given).expect("append works");
    log.label(&[label(&flights, "c", 40, 0.0), label(&fraud, "c", 40, 7.0)]).expect("label works");

    let expected = [("b", 0.2, Some(1.0))];
    assert_eq!(scan(&log, &flights, 11, 30), own(&expected), "2: from inclusive, to exclusive, early label");
    let expected = [("a", 0.1, None), ("b", 0.2, Some(1.0)), ("c", 0.4, Some(0.0))];
    assert_eq!(scan(&log, &flights, 10, 31), own(&expected), "2: oldest first, of this target only");
    assert_eq!(scan(&log, &fraud, 0, 100), own(&[("a", 0.3, None)]), "2: another target's labels stay there");

    log.append(&[prediction(&flights, "b", 20, 0.9)]).expect("append works");
    log.label(&[label(&flights, "b", 50, 0.0)]).expect("label works");
    let expected = [("b", 0.9, Some(0.0))];
    assert_eq!(scan(&log, &flights, 20, 21), own(&expected), "1: replaced, with the latest label");

    let mut found = vec![];
    log.scan(&flights, Timestamp(20), Timestamp(21), &mut |found_one, _| found.push(found_one.clone()))
        .expect("scan works");
    assert_eq!(found, [prediction(&flights, "b", 20, 0.9)], "2: every field comes back");

    log.sweep(Timestamp(20)).expect("sweep works");
    let left: Vec<String> = scan(&log, &flights, 0, 100).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(left, ["b", "c"], "3: the old ones are gone");
}

type Seen = (String, Option<f64>, Option<f64>);

fn own(seen: &[(&str, f64, Option<f64>)]) -> Vec<Seen> {
    seen.iter().map(|(id, output, label)| ((*id).to_owned(), Some(*output), *label)).collect()
}

fn scan(log: &impl Predictions, target: &TargetId, from: u64, to: u64) -> Vec<Seen> {
    let mut seen = vec![];
    log.scan(target, Timestamp(from), Timestamp(to), &mut |prediction, label| {
        seen.push((prediction.request_id.clone(), prediction.output, label));
    })
    .expect("scan works");
    seen
}

fn prediction(target: &TargetId, id: &str, at: u64, output: f64) -> Prediction {
    Prediction {
        target: target.clone(),
        request_id: id.to_owned(),
        at: Timestamp(at),
        bundle: Digest::of(b"bundle"),
        generation: Generation(3),
        unit: u64::MAX,
        latency_us: 1_500,
        error: false,
        features: vec![1.0, -0.0, f32::NEG_INFINITY],
        output: Some(output),
        score: None,
    }
}

fn label(target: &TargetId, id: &str, at: u64, value: f64) -> Label {
    Label { target: target.clone(), request_id: id.to_owned(), at: Timestamp(at), value }
}
