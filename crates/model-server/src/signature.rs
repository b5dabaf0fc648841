//! The signature of a model: which tensors go in and which come out.
//!
//! Invariant: a dimension is either a size (0 or more) or [`ANY`]. Says nothing about values.

use std::fmt;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::DatumType;

/// A dimension of any size.
pub const ANY: i64 = -1;

/// Type of a tensor's elements, named as the Open Inference Protocol names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    Fp32,
    Fp64,
    Int32,
    Int64,
    Bool,
}

/// Name, datatype and shape of one input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    /// One entry a dimension, [`ANY`] where each size will do. The first one is the batch.
    pub shape: Vec<i64>,
}

/// Inputs and outputs of a model, in the order of its graph.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Signature {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

impl Datatype {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Bool => "BOOL",
        }
    }

    /// The datatype of that name, when this server has it.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Fp32, Self::Fp64, Self::Int32, Self::Int64, Self::Bool]
            .into_iter()
            .find(|datatype| datatype.as_str() == name)
    }

    pub(crate) fn of(datum_type: DatumType) -> Option<Self> {
        match datum_type {
            DatumType::F32 => Some(Self::Fp32),
            DatumType::F64 => Some(Self::Fp64),
            DatumType::I32 => Some(Self::Int32),
            // tract computes shapes in a type of its own, which is an INT64 to everybody else.
            DatumType::I64 | DatumType::TDim => Some(Self::Int64),
            DatumType::Bool => Some(Self::Bool),
            _ => None,
        }
    }

    pub(crate) fn datum_type(self) -> DatumType {
        match self {
            Self::Fp32 => DatumType::F32,
            Self::Fp64 => DatumType::F64,
            Self::Int32 => DatumType::I32,
            Self::Int64 => DatumType::I64,
            Self::Bool => DatumType::Bool,
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Tensor {
    /// Whether a tensor of `shape` fits: same rank, and each fixed dimension met.
    pub fn admits(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self.shape.iter().zip(shape).all(|(&wanted, &size)| wanted == ANY || wanted == size as i64)
    }

    /// Whether the first dimension is a batch of any size.
    pub fn is_batched(&self) -> bool {
        self.shape.first() == Some(&ANY)
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}{:?}", self.name, self.datatype, self.shape)
    }
}
