//! The models of the flights example load with their declared signatures and score what they claim.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::singles;
use crate::{Model, Request, Signature, Values};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights")
}

/// Features and labels of an evaluation file, whose last column is the label.
fn rows(path: &Path) -> (Vec<f32>, Vec<i64>) {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for line in std::fs::read_to_string(path).unwrap().lines().skip(1) {
        let (row, label) = line.rsplit_once(',').unwrap();
        features.extend(row.split(',').map(|cell| cell.parse::<f32>().unwrap()));
        labels.push(label.parse().unwrap());
    }
    (features, labels)
}

fn claimed(event: &Value, metric: &str) -> f64 {
    let metrics = event["data"]["metrics"].as_array().unwrap();
    metrics.iter().find(|it| it["name"] == metric).unwrap()["value"].as_f64().unwrap()
}

#[test]
fn flights_models_score_what_their_events_claim() {
    for version in ["v1", "v2", "v3"] {
        let event = std::fs::read(folder().join(format!("{version}.json"))).unwrap();
        let event: Value = serde_json::from_slice(&event).unwrap();
        let signature: Signature = serde_json::from_value(event["data"]["signature"].clone()).unwrap();
        let bytes = std::fs::read(folder().join(format!("models/{version}.onnx"))).unwrap();
        let model = Model::load(&bytes, Some(&signature)).unwrap();
        assert_eq!(model.signature(), &signature);
        let (features, labels) = rows(&folder().join(format!("evaluation/{version}.csv")));
        let input =
            singles(&signature.inputs[0].name, &[labels.len(), features.len() / labels.len()], &features);
        let response = model.infer(&Request { id: None, inputs: vec![input], outputs: None }).unwrap();
        let [Values::Fp32(probability), Values::Int64(label)] =
            [&response.outputs[0].values, &response.outputs[1].values]
        else {
            panic!("FP32 and INT64")
        };
        let count = labels.len() as f64;
        let matches = label.iter().zip(&labels).filter(|(found, actual)| found == actual).count() as f64;
        let loss: f64 = probability
            .iter()
            .zip(&labels)
            .map(|(&found, &actual)| {
                -(if actual == 1 { f64::from(found) } else { 1.0 - f64::from(found) }).ln()
            })
            .sum();
        // The events give four decimals.
        assert!(
            (matches / count - claimed(&event, "label-match")).abs() < 6e-5,
            "{version}: {}",
            matches / count
        );
        assert!((loss / count - claimed(&event, "log-loss")).abs() < 6e-5, "{version}: {}", loss / count);
    }
}
