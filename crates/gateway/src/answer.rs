//! Reads of an answer of the Open Inference Protocol what was predicted and how sure the model was.
//!
//! Invariant: an answer that cannot be read gives nothing and is passed on unchanged; the caller judges it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::elements::Elements;

/// The output that is the prediction; without one of this name it is the first.
const LABEL: &str = "label";

/// The outputs that are the score, under the names that exporters use.
const SCORES: [&str; 3] = ["probability", "probabilities", "score"];

/// What one row was answered.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Predicted {
    /// The first value of the prediction.
    pub(crate) output: Option<f64>,
    /// Of one value that value, of two the second (the positive class), of more the greatest.
    pub(crate) score: Option<f64>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    outputs: Vec<Output<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    data: Elements,
}

/// Reads the answer to one row.
pub(crate) fn read(body: &[u8]) -> Option<Predicted> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let named = |name: &str| body.outputs.iter().find(|output| output.name == name);
    let label = named(LABEL).or(body.outputs.first()).filter(|output| output.data.all_numbers());
    let score = SCORES.iter().find_map(|name| named(name)).filter(|output| output.data.all_numbers());
    Some(Predicted {
        output: label.and_then(|output| output.data.first.first().copied()),
        score: score.and_then(|output| match output.data.first.as_slice() {
            [] => None,
            [only] => Some(*only),
            [_, positive] => Some(*positive),
            many => many.iter().copied().reduce(f64::max),
        }),
    })
}
