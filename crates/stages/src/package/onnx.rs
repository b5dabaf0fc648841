//! Reads of an ONNX file what packaging needs: its inputs and outputs. Field numbers are those of `onnx.proto`.
//!
//! **Invariant:** a file that was cut off, or that keeps weights elsewhere, does not pass. Says nothing about whether
//! a runtime can run it: the stage test finds out.

use std::collections::BTreeSet;

use prost::Message;

use super::{Stop, refuse};

/// What a graph says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphTensor {
    pub name: String,
    /// As the Open Inference Protocol names it.
    pub datatype: String,
    /// None for a dimension that is open; none at all when the graph does not even say how many there are.
    pub shape: Option<Vec<Option<i64>>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub inputs: Vec<GraphTensor>,
    pub outputs: Vec<GraphTensor>,
    pub nodes: usize,
    /// Numbers in the constants, by their declared sizes.
    pub parameters: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    /// 1: the numbers are in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dimension: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Found, Stop> {
    let unreadable = |why: &str| refuse("MODEL_UNREADABLE", format!("expected an ONNX model, but {why}"));
    let model = ModelProto::decode(bytes).map_err(|_| unreadable("the bytes are no such protobuf"))?;
    let graph = model.graph.ok_or_else(|| unreadable("it holds no graph"))?;
    if model.ir_version < 1 || graph.output.is_empty() {
        return Err(unreadable("its graph has no output, or it names no version of the format"));
    }
    // The operator sets come last in a file: one that was cut off before them still parses.
    let plain = |domain: &str| if domain == "ai.onnx" { String::new() } else { domain.to_owned() };
    let known: BTreeSet<String> = model.opset_import.iter().map(|set| plain(&set.domain)).collect();
    if known.is_empty() || graph.node.iter().any(|node| !known.contains(&plain(&node.domain))) {
        return Err(unreadable("it does not name its operator sets: it was cut off"));
    }
    if let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.data_location == 1) {
        let text =
            format!("the numbers of `{}` are in another file: save the model as one file", tensor.name);
        return Err(refuse("EXTERNAL_DATA", text));
    }
    let constants: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    // Older files list their constants among the inputs.
    let inputs = graph.input.iter().filter(|input| !constants.contains(input.name.as_str()));
    let size = |tensor: &TensorProto| {
        tensor.dims.iter().fold(1_u64, |size, dim| size.saturating_mul(u64::try_from(*dim).unwrap_or(0)))
    };
    Ok(Found {
        inputs: inputs.map(tensor).collect::<Result<_, _>>()?,
        outputs: graph.output.iter().map(tensor).collect::<Result<_, _>>()?,
        nodes: graph.node.len(),
        parameters: graph.initializer.iter().map(size).fold(0, u64::saturating_add),
    })
}

fn tensor(value: &ValueInfo) -> Result<GraphTensor, Stop> {
    let Some(kind) = value.kind.as_ref().and_then(|kind| kind.tensor.as_ref()) else {
        let text = format!("expected an ONNX model of tensors, but `{}` is none", value.name);
        return Err(refuse("MODEL_UNREADABLE", text));
    };
    let size = |dimension: &Dimension| dimension.value.filter(|size| *size >= 0);
    let shape = kind.shape.as_ref().map(|shape| shape.dimension.iter().map(size).collect());
    Ok(GraphTensor { name: value.name.clone(), datatype: datatype(kind.element), shape })
}

/// The protocol's name of an element type.
fn datatype(element: i32) -> String {
    let known = match element {
        1 => "FP32",
        2 => "UINT8",
        3 => "INT8",
        4 => "UINT16",
        5 => "INT16",
        6 => "INT32",
        7 => "INT64",
        8 => "BYTES",
        9 => "BOOL",
        10 => "FP16",
        11 => "FP64",
        12 => "UINT32",
        13 => "UINT64",
        16 => "BF16",
        other => return format!("ONNX:{other}"),
    };
    known.to_owned()
}
