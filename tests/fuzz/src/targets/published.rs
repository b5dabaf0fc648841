//! What training publishes: events, models, bundles, evaluation data.

use std::sync::LazyLock;

use domain::model::{Signature, Tensor, TestFile};
use domain::name::Digest;
use stages::bundle::{PublicKey, Signer};
use wire::trained::{self, cloudevent};

use super::{MODEL, text};

/// The signature of the flights model.
pub(crate) static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| Tensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
    };
    let signature = Signature {
        inputs: vec![tensor("features", "FP32", &[-1, 18])],
        outputs: vec![tensor("probability", "FP32", &[-1, 1]), tensor("label", "INT64", &[-1])],
    };
    assert!(stages::decoders::model(MODEL, &signature), "the signature is another model's");
    signature
});
static KEY: LazyLock<PublicKey> = LazyLock::new(|| Signer::from_secret(&[7; 32]).public_key());

/// A request with CloudEvents: the first byte says in which mode; in binary mode the headers come first.
pub(crate) fn event(bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else { return };
    let headers: Vec<(&str, &str)> = match which % 3 {
        0 => vec![("content-type", cloudevent::STRUCTURED)],
        1 => vec![("content-type", cloudevent::BATCH)],
        _ => vec![],
    };
    let (head, body) = if headers.is_empty() {
        let end = body.windows(2).position(|pair| pair == b"\n\n").unwrap_or(body.len());
        (&body[..end], body.get(end + 2..).unwrap_or_default())
    } else {
        (&[][..], body)
    };
    let lines = text(head).unwrap_or_default().lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<(&str, &str)> = headers.into_iter().chain(lines).collect();
    for event in cloudevent::parse_request(headers, body).unwrap_or_default() {
        match trained::read(&event) {
            Ok((announced, _)) => {
                let twin = trained::read(&event).map(|(twin, _)| twin);
                assert!(twin.is_ok_and(|twin| twin == announced), "an event was read in two ways");
            }
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
}

/// The bytes of an artifact.
pub(crate) fn model(bytes: &[u8]) {
    stages::decoders::model(bytes, &SIGNATURE);
}

/// The parts of a bundle, and its signature.
pub(crate) fn bundle(bytes: &[u8]) {
    stages::decoders::bundle(bytes, &KEY);
}

/// Evaluation data (CSV), and the profile of the training data (JSON).
pub(crate) fn evaluation(bytes: &[u8]) {
    let file = TestFile { uri: "file:evaluation.csv".into(), sha256: Digest::of(b""), label: None };
    stages::decoders::evaluation(bytes, &file, &SIGNATURE);
    stages::decoders::profile(bytes);
}
