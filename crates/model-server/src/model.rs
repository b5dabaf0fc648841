//! One loaded model: requests by name in, responses out.
//!
//! Invariant: a request reaches the plan only after each of its tensors fits the signature, so that
//! what the plan refuses is the model's fault and not the caller's. No JSON and no versions here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::prelude::{TValue, TVec};
use uuid::Uuid;

use crate::error::{InferError, LoadError, panic_message};
use crate::load;
use crate::plan::{Plan, Refused};
use crate::signature::{ANY, Signature, Tensor};
use crate::values::Filled;

/// Greatest number of rows in one request of [`Model::infer`].
pub const ROWS_MAX: usize = 65_536;

/// Greatest length of a request's id: it goes into logs and joins predictions with labels.
pub const ID_BYTES_MAX: usize = 256;

/// A question to a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Echoed by the response; one is made when there is none.
    pub id: Option<String>,
    pub inputs: Vec<Filled>,
    /// Names of the outputs wanted, in their order; none means all.
    pub outputs: Option<Vec<String>>,
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub id: String,
    pub outputs: Vec<Filled>,
}

/// A model that is ready to infer: it has inferred one row of zeros.
#[derive(Clone, Debug)]
pub struct Model {
    plan: Plan,
}

impl Model {
    /// Reads an ONNX model, checks it against the declared signature and tries it with one row of zeros.
    pub fn load(bytes: &[u8], signature: Option<&Signature>) -> Result<Self, LoadError> {
        load::load(bytes, signature).map(|plan| Self { plan })
    }

    /// What the model really takes and gives, narrowed by the declared inputs.
    pub fn signature(&self) -> &Signature {
        &self.plan.signature
    }

    /// Infers up to [`ROWS_MAX`] rows.
    pub fn infer(&self, request: &Request) -> Result<Response, InferError> {
        self.infer_within(request, ROWS_MAX)
    }

    /// Infers up to `rows_max` rows, fewer when a row makes the model hold very wide tensors.
    pub fn infer_within(&self, request: &Request, rows_max: usize) -> Result<Response, InferError> {
        let id = match &request.id {
            Some(id) if id.len() > ID_BYTES_MAX => {
                return Err(InferError::IdTooLong { bytes: id.len(), bytes_max: ID_BYTES_MAX });
            }
            Some(id) if !id.is_empty() => id.clone(),
            _ => Uuid::now_v7().to_string(),
        };
        let inputs = self.inputs(request, rows_max.min(self.plan.rows_max()))?;
        self.refuse_unknown_outputs(request)?;
        let outputs = catch_unwind(AssertUnwindSafe(|| self.plan.run(inputs)))
            .map_err(|panic| InferError::Panicked { message: panic_message(panic.as_ref()) })?
            .map_err(|refused| match refused {
                Refused::NotFinite { place } => InferError::OutputNotFinite { place },
                Refused::Runtime(error) => InferError::Failed { source: error.into() },
            })?;
        Ok(Response { id, outputs: choose(outputs, request.outputs.as_deref()) })
    }

    fn inputs(&self, request: &Request, rows_max: usize) -> Result<TVec<TValue>, InferError> {
        let wanted = &self.signature().inputs;
        if let Some(input) = request.inputs.iter().find(|input| wanted.iter().all(|it| it.name != input.name))
        {
            return Err(InferError::InputUnknown { input: input.name.clone() });
        }
        let mut inputs = TVec::with_capacity(wanted.len());
        let mut shapes = Vec::with_capacity(wanted.len());
        for tensor in wanted {
            let mut named = request.inputs.iter().filter(|input| input.name == tensor.name);
            let input =
                named.next().ok_or_else(|| InferError::InputMissing { input: tensor.name.clone() })?;
            if named.next().is_some() {
                return Err(InferError::InputRepeated { input: tensor.name.clone() });
            }
            check(tensor, input, rows_max)?;
            shapes.push(&*input.shape);
            let buffer = input.values.to_tract(&input.shape);
            inputs.push(buffer.map_err(|error| InferError::Failed { source: error.into() })?.into());
        }
        if let Some((input, axis, size)) = self.plan.odd_one(&shapes) {
            let mut expected = wanted[input].shape.clone();
            expected[axis] = size as i64;
            return Err(shape_mismatch(&wanted[input].name, expected, shapes[input]));
        }
        Ok(inputs)
    }

    fn refuse_unknown_outputs(&self, request: &Request) -> Result<(), InferError> {
        let asked = request.outputs.as_deref().unwrap_or_default();
        let known = &self.signature().outputs;
        if let Some(output) = asked.iter().find(|name| known.iter().all(|output| output.name != **name)) {
            return Err(InferError::OutputUnknown { output: output.clone() });
        }
        // All asked for are known, so a list that is longer than the known ones is cut here at the latest.
        let repeated = asked.iter().enumerate().find(|(index, name)| asked[..*index].contains(name));
        repeated.map_or(Ok(()), |(_, name)| Err(InferError::OutputRepeated { output: name.clone() }))
    }
}

fn check(tensor: &Tensor, input: &Filled, rows_max: usize) -> Result<(), InferError> {
    let name = || tensor.name.clone();
    if input.values.datatype() != tensor.datatype {
        let actual = input.values.datatype().to_string();
        return Err(InferError::DatatypeMismatch { input: name(), expected: tensor.datatype, actual });
    }
    if !tensor.admits(&input.shape) || input.shape.contains(&0) {
        return Err(shape_mismatch(&tensor.name, tensor.shape.clone(), &input.shape));
    }
    if let Some(&rows) = input.shape.first()
        && tensor.shape[0] == ANY
        && rows > rows_max
    {
        return Err(InferError::BatchTooLarge { input: name(), rows, rows_max });
    }
    let length = input.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    if length != Some(input.values.len()) {
        let expected = length.unwrap_or(usize::MAX);
        return Err(InferError::LengthMismatch { input: name(), expected, actual: input.values.len() });
    }
    if !input.values.is_finite() {
        return Err(InferError::ValueInvalid { input: name(), what: "one is not finite".to_owned() });
    }
    Ok(())
}

fn shape_mismatch(input: &str, expected: Vec<i64>, actual: &[usize]) -> InferError {
    let actual = actual.iter().map(|&size| size as i64).collect();
    InferError::ShapeMismatch { input: input.to_owned(), expected, actual }
}

/// The outputs asked for, in the order asked for.
fn choose(mut outputs: Vec<Filled>, asked: Option<&[String]>) -> Vec<Filled> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return outputs };
    let mut take = |name: &String| {
        let index = outputs.iter().position(|output| output.name == *name)?;
        Some(outputs.swap_remove(index))
    };
    asked.iter().filter_map(&mut take).collect()
}
