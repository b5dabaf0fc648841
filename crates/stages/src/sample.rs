//! Requests of the Open Inference Protocol that fit a signature, with plain values: to try, not to judge answers.

use domain::model::{Signature, Tensor};
use serde_json::{Value, json};

/// A request of so many rows of zeros.
pub(crate) fn request(signature: &Signature, id: &str, rows: usize) -> Value {
    let inputs: Vec<Value> = signature.inputs.iter().map(|input| zeros(input, &shape(input, rows))).collect();
    json!({ "id": id, "inputs": inputs })
}

/// A tensor of zeros.
pub(crate) fn zeros(tensor: &Tensor, shape: &[i64]) -> Value {
    let count = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).product();
    let zero = match &*tensor.datatype {
        "BOOL" => json!(false),
        "BYTES" => json!(""),
        "FP16" | "FP32" | "FP64" | "BF16" => json!(0.0),
        _ => json!(0),
    };
    tensor_of(tensor, shape, &vec![zero; count])
}

pub(crate) fn tensor_of(tensor: &Tensor, shape: &[i64], data: &[Value]) -> Value {
    json!({ "name": &*tensor.name, "datatype": &*tensor.datatype, "shape": shape, "data": data })
}

/// The shape of so many rows: the first open size is the batch, other open sizes are one.
pub(crate) fn shape(tensor: &Tensor, rows: usize) -> Vec<i64> {
    let size = |(place, size): (usize, &i64)| match (*size, place) {
        (-1, 0) => rows as i64,
        (-1, _) => 1,
        (size, _) => size,
    };
    tensor.shape.iter().enumerate().map(size).collect()
}

/// Whether every input takes any number of rows.
pub(crate) fn is_batched(signature: &Signature) -> bool {
    !signature.inputs.is_empty() && signature.inputs.iter().all(|input| input.shape.first() == Some(&-1))
}
