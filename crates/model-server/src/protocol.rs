//! The JSON of the Open Inference Protocol v2: requests in, responses and errors out.
//!
//! Invariant: what this accepts is a [`Request`] whose values have the datatype and number that it
//! says. Unknown keys are passed over, as servers of this protocol do; a key twice is an error.
//! The binary extension is refused by name rather than misread.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::elements::Elements;
use crate::error::{CallError, InferError};
use crate::model::{Model, Request, Response};
use crate::signature::{Datatype, Tensor};
use crate::values::Filled;

/// What the server calls itself in its metadata.
pub(crate) const SERVER_NAME: &str = "modelrail-model-server";

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(borrow)]
    outputs: Option<Vec<Output<'a>>>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    shape: Vec<i64>,
    data: Option<Elements>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    parameters: Option<Parameters>,
}

/// The parameters that change how a body is to be read or written.
#[derive(Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the protocol's own names")]
struct Parameters {
    binary_data_size: Option<IgnoredAny>,
    #[serde(default)]
    binary_data: bool,
    #[serde(default)]
    binary_data_output: bool,
}

impl Parameters {
    fn ask_for_binary(parameters: Option<&Self>) -> bool {
        parameters.is_some_and(|it| it.binary_data_size.is_some() || it.binary_data || it.binary_data_output)
    }
}

/// Reads a request for `model`. What the request leaves open (which inputs) the model checks.
pub(crate) fn read_request(body: &[u8], model: &Model) -> Result<Request, CallError> {
    // serde takes a list for an object, by the order of its fields.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(CallError::Malformed {
            source: serde::de::Error::custom("expected an object, found a list"),
        });
    }
    let body: Body<'_> = serde_json::from_slice(body).map_err(|source| CallError::Malformed { source })?;
    let outputs = body.outputs.as_deref().unwrap_or_default();
    let parameters = std::iter::once(&body.parameters)
        .chain(body.inputs.iter().map(|input| &input.parameters))
        .chain(outputs.iter().map(|output| &output.parameters));
    if parameters.into_iter().any(|parameters| Parameters::ask_for_binary(parameters.as_ref())) {
        return Err(CallError::BinaryUnsupported);
    }
    let outputs =
        body.outputs.map(|outputs| outputs.into_iter().map(|output| output.name.into_owned()).collect());
    let inputs = body.inputs.into_iter().map(|input| read_input(input, model)).collect::<Result<_, _>>()?;
    Ok(Request { id: body.id.map(Cow::into_owned), inputs, outputs })
}

fn read_input(input: Input<'_>, model: &Model) -> Result<Filled, InferError> {
    let name = input.name.into_owned();
    let Some(wanted) = model.signature().inputs.iter().find(|it| it.name == name) else {
        return Err(InferError::InputUnknown { input: name });
    };
    let datatype = Datatype::named(&input.datatype).filter(|datatype| *datatype == wanted.datatype);
    let Some(datatype) = datatype else {
        let actual = input.datatype.into_owned();
        return Err(InferError::DatatypeMismatch { input: name, expected: wanted.datatype, actual });
    };
    let shape: Option<Vec<usize>> = input.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let Some(shape) = shape.filter(|shape| wanted.admits(shape)) else {
        return Err(InferError::ShapeMismatch {
            input: name,
            expected: wanted.shape.clone(),
            actual: input.shape,
        });
    };
    let Some(data) = input.data else {
        return Err(InferError::ValueInvalid { input: name, what: "`data` is missing".to_owned() });
    };
    match data.into_values(datatype, &shape) {
        Ok(values) => Ok(Filled { name, shape, values }),
        Err(what) => Err(InferError::ValueInvalid { input: name, what }),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    outputs: &'a [Filled],
}

/// Writes the answer of a version of a model.
pub(crate) fn write_response(model: &str, version: &str, response: &Response) -> Vec<u8> {
    let answer =
        Answer { model_name: model, model_version: version, id: &response.id, outputs: &response.outputs };
    serde_json::to_vec(&answer).expect("strings, integers and finite numbers always have a JSON form")
}

/// Metadata of one model: `versions` are all that are loaded, the tensors are of the version asked for.
#[derive(Serialize)]
pub(crate) struct ModelMetadata<'a> {
    pub(crate) name: &'a str,
    pub(crate) versions: Vec<&'a str>,
    pub(crate) platform: &'static str,
    pub(crate) inputs: &'a [Tensor],
    pub(crate) outputs: &'a [Tensor],
}

#[derive(Serialize)]
pub(crate) struct ServerMetadata {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) extensions: [&'static str; 1],
}

/// One entry of the repository index.
#[derive(Serialize)]
pub(crate) struct IndexEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
}

/// The body of each answer that is none: the protocol's `error`, and our code beside it.
#[derive(Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) error: String,
    pub(crate) code: &'a str,
}
