//! A plan of tract's with its signature: tensors in, finite tensors out.
//!
//! Invariant: an answer holds finite numbers only, and no operator was fed a NaN that it would hide
//! (`finite`). Knows nothing of names in requests or of JSON.

use std::sync::Arc;

use tract_onnx::prelude::{
    IntoRunnable, SymbolValues, TDim, TValue, TVec, TractError, TractResult, TypedModel, TypedSimplePlan,
};
use tract_onnx::tract_core::internal::Tensor as Buffer;
use tract_onnx::tract_core::plan::eval;

use crate::error::{LoadError, RuntimeError};
use crate::finite::{Watch, watches};
use crate::signature::{ANY, Signature};
use crate::values::{Filled, Unreadable};

/// Greatest number of elements in one tensor, whether it is an input or made on the way.
///
/// A few bytes of a file can ask for any amount (Expand, Tile); this is a quarter of a GiB of FP32.
pub(crate) const ELEMENTS_MAX: usize = 1 << 26;

/// A dimension of an input that shares its size with others: all of one batch.
#[derive(Clone, Debug)]
struct Shared {
    input: usize,
    axis: usize,
    group: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    runnable: Arc<TypedSimplePlan>,
    pub(crate) signature: Signature,
    watches: Vec<Watch>,
    /// Elements of the widest tensor of one row.
    widest: usize,
    shared: Vec<Shared>,
    groups: usize,
}

/// Why a plan gave no answer.
pub(crate) enum Refused {
    NotFinite { place: String },
    Runtime(TractError),
}

impl Plan {
    pub(crate) fn new(model: TypedModel, signature: Signature, widest: usize) -> TractResult<Self> {
        let (shared, groups) = shared_dimensions(&model)?;
        let watches = watches(&model);
        Ok(Self { runnable: model.into_runnable()?, signature, watches, widest, shared, groups })
    }

    /// Infers one row of zeros.
    pub(crate) fn attempt(&self) -> Result<(), LoadError> {
        let failed = |error| LoadError::TrialFailed { source: RuntimeError::from(error) };
        let size = |&size: &i64| if size == ANY { 1 } else { size as usize };
        let zeros = self.signature.inputs.iter().map(|input| {
            let shape: Vec<usize> = input.shape.iter().map(size).collect();
            Buffer::zero_dt(input.datatype.datum_type(), &shape).map(TValue::from)
        });
        let inputs = zeros.collect::<TractResult<TVec<TValue>>>().map_err(failed)?;
        let outputs = self.run(inputs).map_err(|refused| match refused {
            Refused::NotFinite { place } => LoadError::OutputNotFinite { place },
            Refused::Runtime(error) => failed(error),
        })?;
        match self
            .signature
            .outputs
            .iter()
            .zip(&outputs)
            .find(|(wanted, output)| !wanted.admits(&output.shape))
        {
            Some((wanted, output)) => Err(LoadError::SignatureMismatch {
                what: format!("the output {wanted} came with shape {:?}", output.shape),
                source: None,
            }),
            None => Ok(()),
        }
    }

    /// How many rows at most keep each tensor within [`ELEMENTS_MAX`].
    pub(crate) fn rows_max(&self) -> usize {
        ELEMENTS_MAX / self.widest.max(1)
    }

    /// The first input that contradicts an earlier one in a size that both share.
    pub(crate) fn odd_one(&self, shapes: &[&[usize]]) -> Option<(usize, usize, usize)> {
        let mut sizes = vec![None; self.groups];
        self.shared.iter().find_map(|shared| {
            let actual = shapes[shared.input][shared.axis];
            let expected = *sizes[shared.group].get_or_insert(actual);
            (expected != actual).then_some((shared.input, shared.axis, expected))
        })
    }

    /// Runs the plan on inputs that fit the signature, and gives all of its outputs.
    pub(crate) fn run(&self, inputs: TVec<TValue>) -> Result<Vec<Filled>, Refused> {
        let mut hidden = None;
        let mut state = self.runnable.spawn().map_err(Refused::Runtime)?;
        let ran = state.run_plan_with_eval(inputs, |context, state, node, inputs| {
            if !self.watches[node.id].admits(&inputs) {
                hidden = Some(format!("a value inside (before `{}`)", node.name));
                return Err(TractError::msg("a value inside is not finite"));
            }
            eval(context, state, node, inputs)
        });
        let values = match (ran, hidden) {
            (_, Some(place)) => return Err(Refused::NotFinite { place }),
            (ran, None) => ran.map_err(Refused::Runtime)?,
        };
        let read = |(tensor, value): (&crate::signature::Tensor, &TValue)| {
            Filled::read(&tensor.name, value, tensor.datatype).map_err(|unreadable| match unreadable {
                Unreadable::NotFinite => Refused::NotFinite { place: format!("output `{}`", tensor.name) },
                Unreadable::Runtime(error) => Refused::Runtime(error),
            })
        };
        self.signature.outputs.iter().zip(&values).map(read).collect()
    }
}

/// The widest tensor of a model by its name, and its elements when each open dimension is 1.
pub(crate) fn widest(model: &TypedModel) -> (String, usize) {
    let elements = |shape: &[TDim]| shape.iter().map(size_of_one_row).fold(1_usize, usize::saturating_mul);
    let tensors = model.nodes().iter().flat_map(|node| node.outputs.iter().map(move |output| (node, output)));
    let sized = tensors.map(|(node, output)| (node.name.clone(), elements(&output.fact.shape.to_tvec())));
    sized.max_by_key(|(_, elements)| *elements).unwrap_or_default()
}

fn size_of_one_row(size: &TDim) -> usize {
    let mut ones = SymbolValues::default();
    for symbol in size.symbols() {
        ones.set(&symbol, 1);
    }
    // What cannot be told before it runs (the count of a NonZero) is taken for 1.
    size.eval_to_i64(&ones).map_or(1, |size| usize::try_from(size).unwrap_or(0))
}

/// The dimensions of the inputs that go by one symbol, and how many such symbols there are.
fn shared_dimensions(model: &TypedModel) -> TractResult<(Vec<Shared>, usize)> {
    let mut symbols: Vec<TDim> = Vec::new();
    let mut shared = Vec::new();
    for input in 0..model.input_outlets()?.len() {
        for (axis, size) in model.input_fact(input)?.shape.iter().enumerate() {
            if size.to_i64().is_ok() {
                continue;
            }
            let group = symbols.iter().position(|symbol| symbol == size).unwrap_or_else(|| {
                symbols.push(size.clone());
                symbols.len() - 1
            });
            shared.push(Shared { input, axis, group });
        }
    }
    Ok((shared, symbols.len()))
}
