//! What can go wrong, each with a stable code, and a hint where the caller can mend it.
//!
//! Callers branch on `code()`, never on the text. Which HTTP answer a code gets stands in `routes`.

use thiserror::Error;
use tract_onnx::prelude::TractError;

use crate::signature::Datatype;

/// tract's error as a `source()`: its own type is no `std::error::Error`.
#[derive(Debug, Error)]
#[error("{0:#}")]
pub struct RuntimeError(TractError);

impl From<TractError> for RuntimeError {
    fn from(error: TractError) -> Self {
        Self(error)
    }
}

/// Why a model was not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("failed to read the model: {what}")]
    Unreadable { what: &'static str, source: Option<RuntimeError> },
    #[error("expected to load a model of at most {bytes_max} bytes, but it has {bytes}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error(
        "expected to load a model of at most {elements_max} elements a tensor, but `{tensor}` has {elements}"
    )]
    TensorTooLarge { tensor: String, elements: usize, elements_max: usize },
    #[error("expected to load a model of known operators, but it uses {}", operators.join(", "))]
    OperatorUnsupported { operators: Vec<String> },
    #[error(
        "expected to load a model of FP32, FP64, INT32, INT64 and BOOL tensors, but `{tensor}` is {actual}"
    )]
    DatatypeUnsupported { tensor: String, actual: String },
    #[error("expected to load a model with its declared signature, but {what}")]
    SignatureMismatch { what: String, source: Option<RuntimeError> },
    #[error("expected to load a model that tells its shapes, but it does not tell the shape of `{tensor}`")]
    SignatureNeeded { tensor: String },
    #[error("failed to build the graph of the model")]
    GraphRefused { source: RuntimeError },
    #[error("failed to infer one row of zeros")]
    TrialFailed { source: RuntimeError },
    #[error("expected to infer finite numbers from one row of zeros, but {place} was not")]
    OutputNotFinite { place: String },
    #[error("the runtime panicked while it was to {verb} the model: {message}")]
    Panicked { verb: &'static str, message: String },
    #[error("expected to load a model under a plain name and version, but {what}")]
    NameInvalid { what: String },
    #[error("expected to load at most {models_max} models, but {models_max} are loaded")]
    Full { models_max: usize },
    #[error("expected to load version `{version}` of `{model}` once, but it is loaded with other bytes")]
    VersionTaken { model: String, version: String },
}

impl LoadError {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "MODEL_UNREADABLE",
            Self::TooLarge { .. } => "MODEL_TOO_LARGE",
            Self::TensorTooLarge { .. } => "TENSOR_TOO_LARGE",
            Self::OperatorUnsupported { .. } => "OPERATOR_UNSUPPORTED",
            Self::DatatypeUnsupported { .. } => "DATATYPE_UNSUPPORTED",
            Self::SignatureMismatch { .. } => "SIGNATURE_MISMATCH",
            Self::SignatureNeeded { .. } => "SIGNATURE_NEEDED",
            Self::GraphRefused { .. } => "GRAPH_REFUSED",
            Self::TrialFailed { .. } => "TRIAL_FAILED",
            Self::OutputNotFinite { .. } => "OUTPUT_NOT_FINITE",
            Self::Panicked { .. } => "RUNTIME_PANICKED",
            Self::NameInvalid { .. } => "NAME_INVALID",
            Self::Full { .. } => "MODELS_FULL",
            Self::VersionTaken { .. } => "VERSION_TAKEN",
        }
    }

    /// What the owner of the model can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check that the file is a whole ONNX model with its weights inside",
            Self::TooLarge { .. } => "raise `model_bytes_max` or serve the model by another runtime",
            Self::TensorTooLarge { .. } => "serve the model by another runtime: this one is for small models",
            Self::OperatorUnsupported { .. } => {
                "export the step as plain operators (a scaler as Sub and Div), or fold it into the weights"
            }
            Self::DatatypeUnsupported { .. } => "add a Cast at the edge of the graph",
            Self::SignatureMismatch { .. } => {
                "declare the signature that the model has, or export the model again"
            }
            Self::SignatureNeeded { .. } => "declare a signature, or export the model with named shapes",
            Self::GraphRefused { .. } => "check the model with onnx.checker and export it with opset 9 to 18",
            Self::TrialFailed { .. } => {
                "infer one row of zeros where the model was trained; its shapes contradict"
            }
            Self::OutputNotFinite { .. } => {
                "look for a division by zero or a logarithm of zero, such as the scale of a constant feature"
            }
            Self::Panicked { .. } => "serve the model by another runtime, and report the model",
            Self::NameInvalid { .. } => "use up to 256 letters, digits, `-`, `_`, `.`, `:`, `@` or `+`",
            Self::Full { .. } => "unload a model or raise `models_max`",
            Self::VersionTaken { .. } => "load under another version, or unload the former first",
        }
    }
}

/// Why a request got no answer from a model.
#[derive(Debug, Error)]
pub enum InferError {
    #[error("expected to infer with an id of at most {bytes_max} bytes, but it has {bytes}")]
    IdTooLong { bytes: usize, bytes_max: usize },
    #[error("expected to infer with input `{input}`, but it is missing")]
    InputMissing { input: String },
    #[error("expected to infer with the inputs of the model, but it has no input `{input}`")]
    InputUnknown { input: String },
    #[error("expected to infer with input `{input}` once, but it comes twice")]
    InputRepeated { input: String },
    #[error("expected to infer with {expected} in input `{input}`, but its datatype is {actual}")]
    DatatypeMismatch { input: String, expected: Datatype, actual: String },
    #[error("expected to infer with shape {expected:?} in input `{input}`, but it has {actual:?}")]
    ShapeMismatch { input: String, expected: Vec<i64>, actual: Vec<i64> },
    #[error("expected to infer at most {rows_max} rows, but input `{input}` has {rows}")]
    BatchTooLarge { input: String, rows: usize, rows_max: usize },
    #[error("expected to infer with {expected} elements in input `{input}`, but it has {actual}")]
    LengthMismatch { input: String, expected: usize, actual: usize },
    #[error("expected to infer with plain values in input `{input}`, but {what}")]
    ValueInvalid { input: String, what: String },
    #[error("expected to answer with outputs of the model, but it has no output `{output}`")]
    OutputUnknown { output: String },
    #[error("expected to answer with output `{output}` once, but it is asked for twice")]
    OutputRepeated { output: String },
    #[error("expected to infer finite numbers, but {place} was not")]
    OutputNotFinite { place: String },
    #[error("failed to infer")]
    Failed { source: RuntimeError },
    #[error("the runtime panicked: {message}")]
    Panicked { message: String },
}

impl InferError {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::IdTooLong { .. } => "ID_TOO_LONG",
            Self::InputMissing { .. } => "INPUT_MISSING",
            Self::InputUnknown { .. } => "INPUT_UNKNOWN",
            Self::InputRepeated { .. } => "INPUT_REPEATED",
            Self::DatatypeMismatch { .. } => "DATATYPE_MISMATCH",
            Self::ShapeMismatch { .. } => "SHAPE_MISMATCH",
            Self::BatchTooLarge { .. } => "BATCH_TOO_LARGE",
            Self::LengthMismatch { .. } => "LENGTH_MISMATCH",
            Self::ValueInvalid { .. } => "VALUE_INVALID",
            Self::OutputUnknown { .. } => "OUTPUT_UNKNOWN",
            Self::OutputRepeated { .. } => "OUTPUT_REPEATED",
            Self::OutputNotFinite { .. } => "OUTPUT_NOT_FINITE",
            Self::Failed { .. } => "INFERENCE_FAILED",
            Self::Panicked { .. } => "RUNTIME_PANICKED",
        }
    }

    /// Whether the request is at fault and not the model.
    pub fn is_bad_request(&self) -> bool {
        !matches!(self, Self::OutputNotFinite { .. } | Self::Failed { .. } | Self::Panicked { .. })
    }
}

/// Why a call to the server got no answer.
#[derive(Debug, Error)]
pub enum CallError {
    #[error("expected to infer with a request of the Open Inference Protocol, but the body is none")]
    Malformed { source: serde_json::Error },
    #[error("expected to infer with tensors as JSON, but the request asks for the binary extension")]
    BinaryUnsupported,
    #[error("expected to read a body of at most {bytes_max} bytes, but it has more")]
    BodyTooLarge { bytes_max: usize },
    #[error("expected to read the body within {timeout_ms} ms, but it had not ended")]
    BodyTooSlow { timeout_ms: u64 },
    #[error("failed to read the body")]
    BodyBroken { source: axum::Error },
    #[error("expected to call a loaded model, but there is no `{model}`")]
    ModelUnknown { model: String },
    #[error("expected to call a loaded version of `{model}`, but there is no `{version}`")]
    VersionUnknown { model: String, version: String },
    #[error("expected to have at most {in_flight_max} requests in flight, but so many are")]
    Overloaded { in_flight_max: usize },
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl CallError {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "MALFORMED",
            Self::BinaryUnsupported => "BINARY_UNSUPPORTED",
            Self::BodyTooLarge { .. } => "BODY_TOO_LARGE",
            Self::BodyTooSlow { .. } => "BODY_TOO_SLOW",
            Self::BodyBroken { .. } => "BODY_BROKEN",
            Self::ModelUnknown { .. } => "MODEL_UNKNOWN",
            Self::VersionUnknown { .. } => "VERSION_UNKNOWN",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Infer(error) => error.code(),
        }
    }
}

/// The text of a caught panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
