//! `contract`: the model keeps the protocol and its signature, for good requests and for bad ones.

use domain::check::{Check, contract};
use domain::evidence::{Arm, Finding, Measurement};
use domain::model::Signature;
use serde_json::{Value, json};

use super::client::Reply;
use super::{Seen, Subject, answer};
use crate::evidence::finding;
use crate::sample;
use crate::trouble::Trouble;

/// The batches that are tried, beside one row.
const BATCHES: [usize; 2] = [2, 5];
const UNKNOWN_MODEL: &str = "no-such-model";

pub(super) fn measure(subject: &Subject<'_>, check: &Check) -> Result<Seen, Trouble> {
    let (client, signature) = (subject.client, &subject.bundle.signature);
    let (mut findings, mut looked) = (Vec::new(), 0);
    let batches = if sample::is_batched(signature) { &BATCHES[..] } else { &[] };
    for rows in std::iter::once(1).chain(batches.iter().copied()) {
        looked += 1;
        let id = format!("contract-{rows}");
        let reply = client.infer(&sample::request(signature, &id, rows))?;
        findings.extend(good_request(check, signature, &reply, &id, rows));
    }
    for (what, body) in bad_requests(signature) {
        looked += 1;
        let reply = client.infer_bytes(body)?;
        findings.extend(bad_request(check, what, &reply));
    }
    looked += 1;
    let reply = client.infer_as(UNKNOWN_MODEL, &sample::request(signature, "contract", 1))?;
    if reply.status != 404 {
        let text = format!("a model that is not there gets {} instead of 404", reply.words());
        findings.push(finding(&check.name, "UNKNOWN_MODEL_ANSWERED", text));
    }

    let mut measurement = Measurement::new(check.name.clone(), contract::METHOD, Arm::Candidate);
    measurement.n = looked;
    measurement.sum = (looked as f64 - findings.len() as f64).max(0.0);
    measurement.unit = "probes".into();
    Ok(Seen { measurements: vec![measurement], findings, blobs: vec![] })
}

fn good_request(check: &Check, signature: &Signature, reply: &Reply, id: &str, rows: usize) -> Vec<Finding> {
    if !reply.is_ok() {
        let text = format!("{rows} rows of zeros get {}", reply.words());
        return vec![finding(&check.name, "GOOD_REQUEST_REFUSED", text)];
    }
    let mut findings: Vec<Finding> = answer::complaints(&reply.body, signature, rows)
        .into_iter()
        .map(|(code, text)| finding(&check.name, code, text))
        .collect();
    let echoed = reply.body.get("id").and_then(Value::as_str);
    if echoed != Some(id) {
        let text =
            format!("id `{id}` comes back as {}", echoed.map_or("nothing".into(), |it| format!("`{it}`")));
        findings.push(finding(&check.name, "ID_NOT_ECHOED", text));
    }
    findings
}

fn bad_request(check: &Check, what: &str, reply: &Reply) -> Option<Finding> {
    if reply.is_refusal() {
        return None;
    }
    let code = if reply.is_ok() { "BAD_REQUEST_ACCEPTED" } else { "BAD_REQUEST_FAILED" };
    Some(finding(&check.name, code, format!("{what} gets {} instead of a 4xx", reply.words())))
}

/// Requests that no server may answer, each with what is wrong with it.
fn bad_requests(signature: &Signature) -> Vec<(&'static str, Vec<u8>)> {
    let whole = sample::request(signature, "contract-bad", 1);
    let text = whole.to_string();
    let mut bad = vec![
        ("a body that is cut off", text.as_bytes()[..text.len() - 2].to_vec()),
        ("an empty body", vec![]),
        ("a request without inputs", json!({ "id": "contract-bad", "inputs": [] }).to_string().into_bytes()),
    ];
    let Some(first) = signature.inputs.first() else { return bad };
    let mut with = |what, tensor: Value| {
        let mut request = whole.clone();
        request["inputs"][0] = tensor;
        bad.push((what, request.to_string().into_bytes()));
    };
    let shape = sample::shape(first, 1);
    // The last fixed size is the width: the one place where a wrong request looks like a right one.
    if let Some(place) = first.shape.iter().rposition(|size| *size >= 0) {
        let mut wider = shape.clone();
        wider[place] += 1;
        with("an input that is one too wide", sample::zeros(first, &wider));
    }
    let mut other = first.clone();
    other.datatype = if &*first.datatype == "BYTES" { "FP32" } else { "BYTES" }.into();
    with("an input of another datatype", sample::zeros(&other, &shape));
    let mut unknown = first.clone();
    unknown.name = "no-such-input".into();
    with("an input of another name", sample::zeros(&unknown, &shape));
    let mut short = sample::zeros(first, &shape);
    short["data"] = json!([]);
    with("an input without data", short);
    bad
}
