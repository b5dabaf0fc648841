//! Typed buffers: what a request brings and a response takes away, and their way into tract and back.
//!
//! Invariant: nothing leaves through [`Filled::read`] that is not finite. No JSON and no signature here.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use tract_onnx::prelude::{DatumType, TValue, TractResult};
use tract_onnx::tract_core::internal::Tensor as Buffer;

use crate::signature::Datatype;

/// Elements of one tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
}

/// One tensor with its values, of a request or a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
}

impl Values {
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Bool(_) => Datatype::Bool,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Fp32(values) => values.len(),
            Self::Fp64(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether each element is a finite number; integers and booleans always are.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Fp32(values) => values.iter().all(|value| value.is_finite()),
            Self::Fp64(values) => values.iter().all(|value| value.is_finite()),
            Self::Int32(_) | Self::Int64(_) | Self::Bool(_) => true,
        }
    }

    pub(crate) fn to_tract(&self, shape: &[usize]) -> TractResult<Buffer> {
        match self {
            Self::Fp32(values) => Buffer::from_shape(shape, values),
            Self::Fp64(values) => Buffer::from_shape(shape, values),
            Self::Int32(values) => Buffer::from_shape(shape, values),
            Self::Int64(values) => Buffer::from_shape(shape, values),
            Self::Bool(values) => Buffer::from_shape(shape, values),
        }
    }
}

/// Why a tensor of the model could not be handed out.
pub(crate) enum Unreadable {
    NotFinite,
    Runtime(tract_onnx::prelude::TractError),
}

impl From<tract_onnx::prelude::TractError> for Unreadable {
    fn from(error: tract_onnx::prelude::TractError) -> Self {
        Self::Runtime(error)
    }
}

impl Filled {
    /// Copies an output out of tract; refuses one that holds a NaN or an infinity.
    pub(crate) fn read(name: &str, value: &TValue, datatype: Datatype) -> Result<Self, Unreadable> {
        let cast = if value.datum_type() == DatumType::TDim { Some(value.cast_to::<i64>()?) } else { None };
        let tensor: &Buffer = cast.as_deref().unwrap_or(value);
        let view = tensor.try_as_plain_ram()?;
        let values = match datatype {
            Datatype::Fp32 => Values::Fp32(view.as_slice::<f32>()?.to_vec()),
            Datatype::Fp64 => Values::Fp64(view.as_slice::<f64>()?.to_vec()),
            Datatype::Int32 => Values::Int32(view.as_slice::<i32>()?.to_vec()),
            Datatype::Int64 => Values::Int64(view.as_slice::<i64>()?.to_vec()),
            Datatype::Bool => Values::Bool(view.as_slice::<bool>()?.to_vec()),
        };
        if !values.is_finite() {
            return Err(Unreadable::NotFinite);
        }
        Ok(Self { name: name.to_owned(), shape: tensor.shape().to_vec(), values })
    }
}

/// As the protocol writes an output: name, datatype, shape, data (flat).
impl Serialize for Filled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut output = serializer.serialize_struct("Filled", 4)?;
        output.serialize_field("name", &self.name)?;
        output.serialize_field("datatype", self.values.datatype().as_str())?;
        output.serialize_field("shape", &self.shape)?;
        match &self.values {
            Values::Fp32(values) => output.serialize_field("data", values)?,
            Values::Fp64(values) => output.serialize_field("data", values)?,
            Values::Int32(values) => output.serialize_field("data", values)?,
            Values::Int64(values) => output.serialize_field("data", values)?,
            Values::Bool(values) => output.serialize_field("data", values)?,
        }
        output.end()
    }
}
