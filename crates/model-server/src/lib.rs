//! Serves ONNX models of plain operators by the Open Inference Protocol v2, over HTTP or in process.
mod error;
mod finite;
mod load;
mod model;
mod plan;
mod signature;
mod values;

pub use error::{CallError, InferError, LoadError, RuntimeError};
pub use model::{ID_BYTES_MAX, Model, ROWS_MAX, Request, Response};
pub use signature::{ANY, Datatype, Signature, Tensor};
pub use values::{Filled, Values};

#[test]
fn probe() {
    for name in ["logistic","logistic_unnamed","datatypes","two_outputs","logarithm","reciprocal","logarithm_hidden","logarithm_guarded","logarithm_bare","scaler","stranger","small_integers","logistic_zero_scale","graph_wrong_width"] {
        eprintln!("--- {name}");
        let bytes = std::fs::read(format!("fixtures/{name}.onnx")).unwrap();
        match Model::load(&bytes, None) {
            Ok(model) => eprintln!("{:?}", model.signature()),
            Err(error) => eprintln!("{} {error} / {:?}", error.code(), std::error::Error::source(&error)),
        }
    }
}
