//! The signature found in a model, held against the declared one, and joined with it where the model leaves a size
//! open.
//!
//! A declared size of -1 promises that any size works, so the model must not fix it. A declared number narrows what
//! the model leaves open.

use std::collections::BTreeSet;

use domain::model::{Signature, Tensor};

use super::onnx::{Found, GraphTensor};
use super::{Stop, refuse};

pub(super) fn join(found: &Found, declared: &Signature) -> Result<Signature, Stop> {
    Ok(Signature {
        inputs: side("input", &found.inputs, &declared.inputs)?,
        outputs: side("output", &found.outputs, &declared.outputs)?,
    })
}

fn side(side: &str, found: &[GraphTensor], declared: &[Tensor]) -> Result<Vec<Tensor>, Stop> {
    if !declared.is_empty() {
        same_names(side, found, declared)?;
    }
    let join = |graph: &GraphTensor| {
        let declared = declared.iter().find(|tensor| *tensor.name == graph.name);
        tensor(side, graph, declared)
    };
    found.iter().map(join).collect()
}

fn same_names(side: &str, found: &[GraphTensor], declared: &[Tensor]) -> Result<(), Stop> {
    let found_names: BTreeSet<&str> = found.iter().map(|tensor| tensor.name.as_str()).collect();
    let declared_names: BTreeSet<&str> = declared.iter().map(|tensor| &*tensor.name).collect();
    if declared_names.len() != declared.len() {
        return Err(mismatch(format!("an {side} is declared twice")));
    }
    if let Some(name) = declared_names.difference(&found_names).next() {
        return Err(mismatch(format!("the model has no {side} `{name}`")));
    }
    if let Some(name) = found_names.difference(&declared_names).next() {
        return Err(mismatch(format!("the model's {side} `{name}` is not declared")));
    }
    Ok(())
}

fn tensor(side: &str, graph: &GraphTensor, declared: Option<&Tensor>) -> Result<Tensor, Stop> {
    let (name, datatype) = (graph.name.as_str(), graph.datatype.as_str());
    let shape = match (&graph.shape, declared) {
        (Some(shape), None) => shape.iter().map(|size| size.unwrap_or(-1)).collect(),
        (None, Some(declared)) => declared.shape.clone(),
        (None, None) => {
            let text = format!("the model leaves the shape of {side} `{name}` open: declare it");
            return Err(refuse("SIGNATURE_NEEDED", text));
        }
        (Some(shape), Some(declared)) => {
            let fits = |(found, declared): (&Option<i64>, &i64)| {
                *declared >= -1 && found.is_none_or(|found| found == *declared)
            };
            if shape.len() != declared.shape.len() || !shape.iter().zip(&declared.shape).all(fits) {
                let found: Vec<i64> = shape.iter().map(|size| size.unwrap_or(-1)).collect();
                let wanted = &declared.shape;
                return Err(mismatch(format!(
                    "{side} `{name}` is declared {wanted:?}, the model has {found:?}"
                )));
            }
            declared.shape.clone()
        }
    };
    if let Some(declared) = declared.filter(|declared| *declared.datatype != *datatype) {
        let wanted = &declared.datatype;
        return Err(mismatch(format!("{side} `{name}` is declared {wanted}, the model has {datatype}")));
    }
    Ok(Tensor { name: name.into(), datatype: datatype.into(), shape })
}

fn mismatch(what: String) -> Stop {
    refuse("SIGNATURE_MISMATCH", what)
}
