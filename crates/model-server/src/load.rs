//! From bytes to a [`Plan`] that has answered once.
//!
//! ```text
//! bytes -> graph (protobuf) -> operators known? -> input facts <- declared signature
//!       -> typed and optimised plan -> found signature == declared? -> one row of zeros -> finite?
//! ```
//!
//! Invariant: a plan that leaves here has inferred one row, and its signature is what it really has.
//! Panics of tract end here as errors. Weights outside of the bytes are refused, so a model reads no file.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, SymbolScope, TDim, TractResult,
};
use tract_onnx::tract_hir::infer::{Factoid, GenericFactoid, ShapeFactoid};

use crate::error::{LoadError, RuntimeError, panic_message};
use crate::plan::{ELEMENTS_MAX, Plan, widest};
use crate::signature::{ANY, Datatype, Signature, Tensor};

/// Operator domains that tract implements. It looks operators up by name alone, so that another
/// domain's operator of the same name would run as something that it is not.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// How deep graphs may nest (bodies of If and Scan).
const GRAPH_DEPTH_MAX: usize = 16;

static ONNX: LazyLock<Onnx> = LazyLock::new(tract_onnx::onnx);

/// Makes a plan of a model's bytes and tries it with one row of zeros.
pub(crate) fn load(bytes: &[u8], declared: Option<&Signature>) -> Result<Plan, LoadError> {
    let proto = guarded("read", || read(bytes))?;
    refuse_unknown_operators(&proto)?;
    let build = |declared| guarded("build", || build(&proto, declared));
    let plan = match (build(declared), declared) {
        (Err(error @ LoadError::GraphRefused { .. }), Some(_)) => {
            return Err(blame(error, || build(None).map(drop)));
        }
        (plan, _) => plan?,
    };
    let attempt = |plan: &Plan| guarded("try", || plan.attempt());
    match (attempt(&plan), declared) {
        (Err(error @ LoadError::TrialFailed { .. }), Some(_)) => Err(blame(error, || attempt(&build(None)?))),
        (tried, _) => tried.map(|()| plan),
    }
}

/// Runs a step of tract's and turns its panic into an error.
fn guarded<T>(verb: &'static str, step: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|panic| Err(LoadError::Panicked { verb, message: panic_message(panic.as_ref()) }))
}

/// The declared signature is at fault when the model does without it, and when the model leaves to it
/// what shapes there are.
fn blame(error: LoadError, without_declared: impl FnOnce() -> Result<(), LoadError>) -> LoadError {
    match (error, without_declared()) {
        (
            LoadError::GraphRefused { source } | LoadError::TrialFailed { source },
            Ok(()) | Err(LoadError::SignatureNeeded { .. }),
        ) => LoadError::SignatureMismatch {
            what: "the graph does not work out with it".to_owned(),
            source: Some(source),
        },
        (error, _) => error,
    }
}

fn read(bytes: &[u8]) -> Result<ModelProto, LoadError> {
    let unreadable = |what| LoadError::Unreadable { what, source: None };
    let proto = ONNX.proto_model_for_read(&mut &*bytes).map_err(|error| LoadError::Unreadable {
        what: "it is no ONNX protobuf",
        source: Some(error.into()),
    })?;
    let graph = proto.graph.as_ref().ok_or_else(|| unreadable("it holds no graph"))?;
    if graph.output.is_empty() {
        return Err(unreadable("its graph has no output"));
    }
    // The operator sets come last in the file: a file cut off before them still parses.
    let known: BTreeSet<&str> = proto.opset_import.iter().map(|opset| plain_domain(&opset.domain)).collect();
    if graph.node.iter().any(|node| !known.contains(plain_domain(&node.domain))) || known.is_empty() {
        return Err(unreadable("it does not name its operator sets"));
    }
    Ok(proto)
}

fn plain_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn refuse_unknown_operators(proto: &ModelProto) -> Result<(), LoadError> {
    let mut operators = BTreeSet::new();
    let graph = proto.graph.as_ref().expect("`read` refuses a model without a graph");
    collect_unknown_operators(graph, GRAPH_DEPTH_MAX, &mut operators);
    if operators.is_empty() {
        return Ok(());
    }
    Err(LoadError::OperatorUnsupported { operators: operators.into_iter().collect() })
}

fn collect_unknown_operators(graph: &GraphProto, depth_left: usize, operators: &mut BTreeSet<String>) {
    if depth_left == 0 {
        operators.insert(format!("graphs nested more than {GRAPH_DEPTH_MAX} deep"));
        return;
    }
    for node in &graph.node {
        if !DOMAINS.contains(&&*node.domain) {
            operators.insert(format!("{}.{}", node.domain, node.op_type));
        } else if !ONNX.op_register.0.contains_key(&node.op_type) {
            operators.insert(node.op_type.clone());
        }
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                collect_unknown_operators(inner, depth_left - 1, operators);
            }
        }
    }
}

fn build(proto: &ModelProto, declared: Option<&Signature>) -> Result<Plan, LoadError> {
    let refused = |error| LoadError::GraphRefused { source: RuntimeError::from(error) };
    let mut model = ONNX.model_for_proto_model(proto).map_err(refused)?;
    let names = input_names(&model).map_err(refused)?;
    if let Some(declared) = declared {
        same_names("input", &declared.inputs, &names)?;
    }
    for (index, name) in names.iter().enumerate() {
        let wanted = declared.and_then(|declared| declared.inputs.iter().find(|input| input.name == *name));
        let fact = model.input_fact(index).map_err(refused)?;
        let fact = input_fact(name, fact, wanted, &model.symbols)?;
        model.set_input_fact(index, fact).map_err(refused)?;
    }
    let outputs: Vec<String> =
        proto.graph.iter().flat_map(|graph| &graph.output).map(|it| it.name.clone()).collect();
    let model = model.into_typed().map_err(refused)?;
    // Before the optimiser computes constants, and before one row is tried.
    let (tensor, widest) = widest(&model);
    if widest > ELEMENTS_MAX {
        return Err(LoadError::TensorTooLarge { tensor, elements: widest, elements_max: ELEMENTS_MAX });
    }
    let model = model.into_optimized().map_err(refused)?;
    let signature = Signature {
        inputs: found(&names, |index| {
            model.input_fact(index).map(|fact| (fact.datum_type, fact.shape.to_tvec()))
        })?,
        outputs: found(&outputs, |index| {
            model.output_fact(index).map(|fact| (fact.datum_type, fact.shape.to_tvec()))
        })?,
    };
    if let Some(declared) = declared {
        same_names("output", &declared.outputs, &outputs)?;
        for (output, name) in signature.outputs.iter().zip(&outputs) {
            let wanted = declared.outputs.iter().find(|wanted| wanted.name == *name);
            wanted.map_or(Ok(()), |wanted| keeps_promise(output, wanted))?;
        }
    }
    Plan::new(model, signature, widest).map_err(refused)
}

fn input_names(model: &InferenceModel) -> TractResult<Vec<String>> {
    Ok(model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect())
}

fn mismatch(what: String) -> LoadError {
    LoadError::SignatureMismatch { what, source: None }
}

fn same_names(side: &str, declared: &[Tensor], found: &[String]) -> Result<(), LoadError> {
    let declared_names: BTreeSet<&str> = declared.iter().map(|tensor| &*tensor.name).collect();
    let found_names: BTreeSet<&str> = found.iter().map(|name| &**name).collect();
    if declared_names.len() != declared.len() {
        return Err(mismatch(format!("it declares an {side} twice")));
    }
    if let Some(name) = declared_names.difference(&found_names).next() {
        return Err(mismatch(format!("the model has no {side} `{name}`")));
    }
    if let Some(name) = found_names.difference(&declared_names).next() {
        return Err(mismatch(format!("it does not declare the {side} `{name}` of the model")));
    }
    Ok(())
}

/// Joins what the graph tells of an input with what is declared of it.
fn input_fact(
    name: &str,
    fact: &InferenceFact,
    declared: Option<&Tensor>,
    symbols: &SymbolScope,
) -> Result<InferenceFact, LoadError> {
    let datum_type = fact
        .datum_type
        .concretize()
        .ok_or_else(|| LoadError::Unreadable { what: "an input has no datatype", source: None })?;
    let datatype = datatype_of(name, datum_type)?;
    let found: Option<Vec<Option<TDim>>> =
        (!fact.shape.is_open()).then(|| fact.shape.dims().map(Factoid::concretize).collect());
    let known = match (found, declared) {
        (Some(found), _) => found,
        (None, Some(declared)) => vec![None; declared.shape.len()],
        (None, None) => return Err(LoadError::SignatureNeeded { tensor: name.to_owned() }),
    };
    if declared.is_none() && known.iter().skip(1).any(Option::is_none) {
        return Err(LoadError::SignatureNeeded { tensor: name.to_owned() });
    }
    if let Some(declared) = declared {
        let shape: Vec<i64> = known.iter().map(|size| size.as_ref().map_or(ANY, size_of)).collect();
        let accepts = |(&found, &wanted): (&i64, &i64)| wanted >= ANY && (found == ANY || found == wanted);
        if declared.datatype != datatype
            || shape.len() != declared.shape.len()
            || !shape.iter().zip(&declared.shape).all(accepts)
        {
            let found = Tensor { name: name.to_owned(), datatype, shape };
            return Err(mismatch(format!("it declares the input {declared}, and the model has {found}")));
        }
    }
    let dims = known.into_iter().enumerate().map(|(axis, size)| {
        match (declared.map_or(ANY, |declared| declared.shape[axis]), size) {
            (ANY, Some(size)) => GenericFactoid::Only(size),
            // The first dimension of all inputs is one batch, unless the graph names them apart.
            (ANY, None) if axis == 0 => GenericFactoid::Only(symbols.sym("batch").into()),
            (ANY, None) => GenericFactoid::Only(symbols.new_with_prefix("any").into()),
            (wanted, _) => GenericFactoid::Only(TDim::from(wanted)),
        }
    });
    Ok(InferenceFact::dt_shape(datum_type, ShapeFactoid::closed(dims.collect())))
}

fn datatype_of(tensor: &str, datum_type: DatumType) -> Result<Datatype, LoadError> {
    Datatype::of(datum_type).ok_or_else(|| LoadError::DatatypeUnsupported {
        tensor: tensor.to_owned(),
        actual: format!("{datum_type:?}").to_uppercase(),
    })
}

fn size_of(size: &TDim) -> i64 {
    size.to_i64().unwrap_or(ANY)
}

type Found = TractResult<(DatumType, tract_onnx::prelude::TVec<TDim>)>;

fn found(names: &[String], fact: impl Fn(usize) -> Found) -> Result<Vec<Tensor>, LoadError> {
    let tensor = |(index, name): (usize, &String)| {
        let (datum_type, shape) =
            fact(index).map_err(|error| LoadError::GraphRefused { source: error.into() })?;
        let datatype = datatype_of(name, datum_type)?;
        Ok(Tensor { name: name.clone(), datatype, shape: shape.iter().map(size_of).collect() })
    };
    names.iter().enumerate().map(tensor).collect()
}

/// An output may be declared more widely than it is, never more narrowly.
fn keeps_promise(found: &Tensor, declared: &Tensor) -> Result<(), LoadError> {
    let fits = |(&found, &wanted): (&i64, &i64)| wanted == ANY || found == wanted;
    if found.datatype == declared.datatype
        && found.shape.len() == declared.shape.len()
        && found.shape.iter().zip(&declared.shape).all(fits)
    {
        return Ok(());
    }
    Err(mismatch(format!("it declares the output {declared}, and the model has {found}")))
}
