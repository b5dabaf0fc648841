//! Sees a NaN before an operator hides it.
//!
//! A Sigmoid, a comparison or a maximum turns a NaN into an ordinary number, so that a model with a
//! division by zero inside answers as if nothing were wrong. Each operator of a plan therefore gets a
//! [`Watch`]: which of its inputs must be numbers before it runs.
//!
//! Invariant: an operator that is not known to hand a NaN on, or to expect one, is watched.
//! Infinities are let through where saturation is meant (a maximum, a softmax with its mask).

use tract_onnx::prelude::{TValue, TypedModel};
use tract_onnx::tract_core::internal::TypedNode;
use tract_onnx::tract_core::ops::konst::Const;

/// What an operator's inputs must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Anything,
    NoNan,
    Finite,
}

/// Which inputs of one node to look at.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    rule: Rule,
    /// Constants are the author's own (a threshold may be infinite) and are not looked at.
    computed: Vec<bool>,
}

impl Watch {
    fn of(model: &TypedModel, node: &TypedNode) -> Self {
        let computed = node.inputs.iter().map(|input| !model.node(input.node).op_is::<Const>()).collect();
        Self { rule: rule(&node.op().name()), computed }
    }

    /// Whether the node may run on these inputs.
    pub(crate) fn admits(&self, inputs: &[TValue]) -> bool {
        self.rule == Rule::Anything
            || inputs
                .iter()
                .zip(&self.computed)
                .all(|(input, &computed)| !computed || is_within(input, self.rule))
    }
}

/// One [`Watch`] a node, in the order of the nodes' ids.
pub(crate) fn watches(model: &TypedModel) -> Vec<Watch> {
    model.nodes().iter().map(|node| Watch::of(model, node)).collect()
}

fn is_within(value: &TValue, rule: Rule) -> bool {
    // Packed tensors are made from plain ones that were looked at before.
    let Some(view) = value.as_plain_ram() else { return true };
    if let Ok(numbers) = view.as_slice::<f32>() {
        numbers.iter().all(|number| number.is_finite() || (rule == Rule::NoNan && !number.is_nan()))
    } else if let Ok(numbers) = view.as_slice::<f64>() {
        numbers.iter().all(|number| number.is_finite() || (rule == Rule::NoNan && !number.is_nan()))
    } else {
        true
    }
}

/// The rule of an operator by its name in tract's optimised graphs.
fn rule(operator: &str) -> Rule {
    // tract renames an arithmetic operator when one side is a scalar: `OptMulByScalar`.
    let plain = operator.strip_prefix("Opt").unwrap_or(operator);
    let plain = plain.strip_suffix("ByScalar").or_else(|| plain.strip_suffix("Unicast")).unwrap_or(plain);
    match plain {
        // Hand a NaN on to whoever comes next.
        "Source" | "Const" | "Identity" | "Add" | "Sub" | "Mul" | "Div" | "Pow" | "PowConst" | "Exp"
        | "Ln" | "Sqrt" | "Rsqrt" | "Square" | "Recip" | "Abs" | "Neg" | "AddAxis" | "RmAxis"
        | "MoveAxis" | "IntoShape" | "Reshape" | "Slice" | "StridedSlice" | "Concat" | "MultiBroadcastTo"
        | "Tile" | "Reduce<Sum>" | "Reduce<Prod>" => Rule::Anything,
        // Made to put a NaN aside.
        "Iff" | "IsNan" | "IsInf" => Rule::Anything,
        // Saturate or compare, or (products) may have a maximum fused in: an infinity would get lost.
        "Sigmoid" | "Tanh" | "Erf" | "HardSwish" | "Silu" | "Sign" | "Cast" | "Eq" | "NE" | "GT" | "GTE"
        | "LT" | "LTE" | "EinSum" | "MatMul" | "MatMulPack" | "SimpleMatMulPack" | "Conv" => Rule::Finite,
        _ => Rule::NoNan,
    }
}
