//! `smoke`: ready, metadata, one inference.

use domain::check::{Check, smoke};
use domain::evidence::{Arm, Measurement};
use serde_json::Value;

use super::{Seen, Subject};
use crate::evidence::finding;
use crate::sample;
use crate::trouble::Trouble;

pub(super) fn measure(subject: &Subject<'_>, check: &Check) -> Result<Seen, Trouble> {
    let (client, signature) = (subject.client, &subject.bundle.signature);
    let mut seen = Seen::default();
    let mut looked = 0;
    let mut expect = |code: &str, good: bool, text: String| {
        looked += 1;
        if !good {
            seen.findings.push(finding(&check.name, code, text));
        }
    };

    let reply = client.server_ready()?;
    expect("SERVER_NOT_READY", reply.is_ok(), format!("the server says it is not ready: {}", reply.words()));
    let reply = client.ready()?;
    expect("MODEL_NOT_READY", reply.is_ok(), format!("the model is not ready: {}", reply.words()));
    let reply = client.metadata()?;
    let missing = missing_in_metadata(&reply.body, signature);
    let text = format!("the metadata ({}) does not name {}", reply.words(), missing.join(", "));
    expect("METADATA_INCOMPLETE", reply.is_ok() && missing.is_empty(), text);
    let reply = client.infer(&sample::request(signature, "smoke", 1))?;
    expect("INFERENCE_FAILED", reply.is_ok(), format!("one row of zeros gets {}", reply.words()));

    let mut measurement = Measurement::new(check.name.clone(), smoke::METHOD, Arm::Candidate);
    measurement.n = looked;
    measurement.sum = looked as f64 - seen.findings.len() as f64;
    measurement.unit = "probes".into();
    seen.measurements.push(measurement);
    Ok(seen)
}

/// The declared tensors that the metadata does not name.
fn missing_in_metadata(body: &Value, signature: &domain::model::Signature) -> Vec<String> {
    let named = |side: &str, name: &str| {
        let tensors = body.get(side).and_then(Value::as_array);
        tensors.is_some_and(|it| {
            it.iter().any(|tensor| tensor.get("name").and_then(Value::as_str) == Some(name))
        })
    };
    let inputs = signature.inputs.iter().filter(|it| !named("inputs", &it.name));
    let outputs = signature.outputs.iter().filter(|it| !named("outputs", &it.name));
    inputs.chain(outputs).map(|tensor| format!("`{}`", tensor.name)).collect()
}
