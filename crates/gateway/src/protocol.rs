//! Reads of a request of the Open Inference Protocol what the gateway needs: its id, its sticky parameter, and
//! the features when it is one row of numbers. The JSON is read once and the body goes on as it came.
//!
//! Invariant: the body that goes on carries the id under which the prediction is logged, so that the caller can
//! send a label for the id in the answer. Whether the tensors fit the model is for the release to say.

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::elements::Elements;
use crate::refusal::Refusal;

/// Bytes of a request's id.
pub(crate) const ID_BYTES_MAX: usize = 256;

/// What a caller asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    /// The value of the parameter that keeps the caller with one release.
    pub(crate) sticky: Option<Vec<u8>>,
    /// Whether it is a single row, so that its answer is one prediction.
    pub(crate) is_one_row: bool,
    /// The numbers of the row; empty when it is not one numeric tensor of one row.
    pub(crate) features: Vec<f32>,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, deserialize_with = "as_written")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow, default)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    shape: Vec<i64>,
    #[serde(default)]
    data: Elements,
}

/// Tells `null` from nothing, which an `Option` would not.
fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads `body`. Without an id in it, `other_id` or else a new one is put there.
pub(crate) fn read(
    body: Bytes,
    other_id: Option<&str>,
    sticky_parameter: Option<&str>,
) -> Result<Asked, Refusal> {
    let read: Body<'_> = serde_json::from_slice(&body).map_err(|error| {
        let text = format!("expected to infer with a request of the Open Inference Protocol, but {error}");
        malformed(text)
            .hint("send a JSON object with `inputs`, each with `name`, `datatype`, `shape`, `data`")
    })?;
    // serde takes a list for an object, by the order of its fields.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("expected to infer with a JSON object, but it is a list"));
    }
    if read.inputs.is_empty() {
        return Err(malformed("expected to infer with inputs, but `inputs` is empty"));
    }
    let (is_one_row, features) = features(&read.inputs);
    let sticky = match (sticky_parameter, read.parameters) {
        (Some(name), Some(parameters)) => parameter(parameters, name)?,
        (Some(_), None) | (None, _) => None,
    };
    let given = read.id.map(|raw| (raw.get(), raw.get().as_ptr().addr() - body.as_ptr().addr()));
    let (id, body) = match given {
        Some((text, at)) if text == "null" || text == "\"\"" => {
            let id = other_id.map_or_else(new_id, str::to_owned);
            let body = replaced(&body, at..at + text.len(), &quoted(&id));
            (id, body)
        }
        Some((text, _)) => {
            let id = serde_json::from_str::<String>(text)
                .map_err(|_| malformed("expected to infer with a text as `id`, but it is none"))?;
            (id, body)
        }
        None => {
            let id = other_id.map_or_else(new_id, str::to_owned);
            let at = body.iter().position(|byte| *byte == b'{').expect("what was read is an object") + 1;
            let body = replaced(&body, at..at, &format!("\"id\":{},", quoted(&id)));
            (id, body)
        }
    };
    if id.len() > ID_BYTES_MAX {
        let text =
            format!("expected to infer with an id of at most {ID_BYTES_MAX} bytes, but it has {}", id.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "ID_TOO_LONG", text));
    }
    Ok(Asked { id, sticky, is_one_row, features, body })
}

fn malformed(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "MALFORMED", text)
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text always has a JSON form")
}

fn replaced(body: &[u8], place: std::ops::Range<usize>, with: &str) -> Bytes {
    [&body[..place.start], with.as_bytes(), &body[place.end..]].concat().into()
}

/// Tensors of one dimension are taken as one row; beyond that the first size counts the rows.
fn features(inputs: &[Input<'_>]) -> (bool, Vec<f32>) {
    let is_one_row = inputs.iter().all(|input| input.shape.len() < 2 || input.shape[0] == 1);
    let features = match inputs {
        // Of several tensors only the signature knows the order.
        [input] if is_one_row && input.datatype != "BYTES" && input.data.all_numbers() => {
            input.data.first.iter().map(|number| *number as f32).collect()
        }
        _ => vec![],
    };
    (is_one_row, features)
}

/// The value of a parameter: of a text what it says, of a number or boolean how it is written.
fn parameter(parameters: &RawValue, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    struct Find<'n>(&'n str);
    impl<'de> serde::de::Visitor<'de> for Find<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                let value = map.next_value::<&'de RawValue>()?;
                if key == self.0 {
                    found = Some(value);
                }
            }
            Ok(found)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(parameters.get());
    let found = reader.deserialize_any(Find(name));
    let found = found.map_err(|error| malformed(format!("expected to read `parameters`, but {error}")))?;
    let Some(text) = found.map(RawValue::get) else { return Ok(None) };
    Ok(match text.as_bytes()[0] {
        b'"' => serde_json::from_str::<String>(text).ok().map(String::into_bytes),
        b'{' | b'[' => {
            let text =
                format!("expected to route by the parameter `{name}`, but it is no text, number or boolean");
            return Err(malformed(text));
        }
        b'n' => None,
        _ => Some(text.as_bytes().to_vec()),
    })
}
