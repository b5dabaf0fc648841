//! `ModelTrained`: a CloudEvent that says that a model version was trained, to what the core knows of it, and
//! which workflows it starts.
//!
//! **Invariant:** an event is understood as a whole or refused with everything that is wrong with it. Fields
//! that nobody knows are warned of and ignored: a publisher may be newer.

pub mod cloudevent;
mod json;
mod lineage;
mod matching;
mod protobuf;
#[cfg(test)]
mod tests;

use domain::evidence::Text;
use domain::model::{Artifact, Claim, Signature, Tensor, TestFile, Trained};
use domain::name::{Digest, ModelName, Subject, TargetId, Version, WorkflowName};

pub use cloudevent::CloudEvent;
use cloudevent::Content;
pub use json::DEPTH_MAX;
pub use matching::{Nearest, matching, nearest_trigger};

use crate::fields::{Field, Fields};
use crate::problem::{Notes, Problem, Problems, Warning, code};

/// The type of the event.
pub const TYPE: &str = "io.modelrail.model.trained.v1";

/// Schemes that an artifact's address may have.
const SCHEMES: [&str; 7] = ["file", "https", "s3", "gs", "az", "oci", "mlflow"];

/// The datatypes of the Open Inference Protocol.
const DATATYPES: [(&str, ()); 14] = [
    ("BOOL", ()),
    ("UINT8", ()),
    ("UINT16", ()),
    ("UINT32", ()),
    ("UINT64", ()),
    ("INT8", ()),
    ("INT16", ()),
    ("INT32", ()),
    ("INT64", ()),
    ("FP16", ()),
    ("BF16", ()),
    ("FP32", ()),
    ("FP64", ()),
    ("BYTES", ()),
];

/// What an event says, and what it asks for beyond the workflows' own triggers.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// `publisher` is empty: who published is known to the one who let the event in.
    pub trained: Trained,
    pub workflow: Option<WorkflowName>,
    pub target: Option<TargetId>,
}

/// Reads the data of an event.
pub fn read(event: &CloudEvent) -> Result<(Announced, Vec<Warning>), Problems> {
    if event.kind != TYPE {
        let text = format!("expected `{TYPE}`, but found `{}`", crate::tree::shortened(&event.kind));
        return Err(Problem::new(code::UNKNOWN_TYPE, "type", text).suggest(&event.kind, [TYPE]).into());
    }
    let mut notes = Notes::default();
    let decoded;
    let node = match &event.data {
        Content::Json(node) => node,
        Content::Protobuf(bytes) => {
            decoded = protobuf::read(bytes, &event.data_path)?;
            &decoded
        }
    };
    let field = Field { path: event.data_path.clone(), node };
    let announced = field.map(&mut notes).and_then(|fields| announced(event, fields, &mut notes));
    notes.conclude(announced)
}

fn announced(event: &CloudEvent, mut fields: Fields<'_>, notes: &mut Notes) -> Option<Announced> {
    let model = fields.need("model", "the model's name", notes);
    let model = model.and_then(|field| field.parsed(ModelName::parse, notes));
    let version = fields.need("version", "the model's version", notes);
    let version = version.and_then(|field| field.parsed(Version::parse, notes));
    let artifact = fields.need("artifact", "where the model's bytes are", notes);
    let artifact = artifact.and_then(|field| artifact_of(&field, notes));
    let signature =
        fields.get("signature").map_or(Some(Signature::default()), |field| signature(&field, notes));
    let lineage = lineage::read(&mut fields, notes);
    let claims = fields.get("metrics").map_or(Some(vec![]), |field| claims(&field, notes));
    let evaluation = fields.get("evaluation").map(|field| test_file(&field, notes));
    let baseline = fields.get("baseline_profile").map(|field| test_file(&field, notes));
    let risk_tier = fields.get("risk_tier").and_then(|field| field.shared_text(notes));
    let owner = fields.get("owner").and_then(|field| field.parsed(Subject::parse, notes));
    let workflow = fields.get("workflow").and_then(|field| field.parsed(WorkflowName::parse, notes));
    let target_field = fields.get("target");
    let target = target_field.as_ref().and_then(|field| field.parsed(TargetId::parse, notes));
    fields.warn_of_others(notes);

    if let (Some(field), Some(target), Some(model)) = (&target_field, &target, &model)
        && target.model != *model
    {
        let problem = field.unexpected(code::CONFLICT, &format!("a target of the model {model}"));
        notes.problem(problem.hint("a target is written `model@environment`"));
    }
    let (model, version) = (model?, version?);
    if event.subject.as_ref().is_some_and(|subject| *subject != format!("{model}@{version}")) {
        let text = format!("expected the subject `{model}@{version}`, but found another one");
        notes.problem(Problem::new(code::CONFLICT, "subject", text));
    }
    let trained = Trained {
        source: event.source.as_str().into(),
        id: event.id.as_str().into(),
        model,
        version,
        artifact: artifact?,
        signature: signature?,
        lineage,
        claims: claims?,
        // The outer `?`: the field is there and was not understood.
        evaluation: evaluation.map_or(Some(None), |file| file.map(Some))?,
        baseline: baseline.map_or(Some(None), |file| file.map(Some))?,
        risk_tier,
        owner,
        publisher: None,
        traceparent: traceparent(event, notes),
    };
    Some(Announced { trained, workflow, target })
}

/// A trace context that is not one is left out: it never stops a delivery.
fn traceparent(event: &CloudEvent, notes: &mut Notes) -> Option<Text> {
    let text = event.traceparent.as_deref()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = matches!(parts.as_slice(), [version, trace, span, flags]
        if is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2));
    if !fits {
        let text = "expected a W3C trace context, but found something else";
        notes.warning(Problem::new(code::OUT_OF_RANGE, "traceparent", text).hint("it was ignored"));
        return None;
    }
    Some(text.into())
}

fn digest(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Digest> {
    let field = fields.need("sha256", "64 hexadecimal digits", notes)?;
    field.parsed(Digest::parse, notes)
}

fn uri(fields: &mut Fields<'_>, notes: &mut Notes) -> Option<Text> {
    let field = fields.need("uri", "an address such as `https://…`", notes)?;
    let text = field.text(notes)?;
    let scheme = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        let expected = format!(
            "an address that begins with one of {}",
            SCHEMES.map(|one| format!("`{one}:`")).join(", ")
        );
        field.wrong(code::OUT_OF_RANGE, &expected, notes);
        return None;
    }
    Some(text.into())
}

fn artifact_of(field: &Field<'_>, notes: &mut Notes) -> Option<Artifact> {
    let mut fields = field.map(notes)?;
    let (uri, sha256) = (uri(&mut fields, notes), digest(&mut fields, notes));
    let size = fields.get("size").and_then(|field| field.count(1, u64::MAX, notes));
    let format = fields.get("format").and_then(|field| field.shared_text(notes));
    fields.warn_of_others(notes);
    Some(Artifact { uri: uri?, sha256: sha256?, size, format })
}

fn signature(field: &Field<'_>, notes: &mut Notes) -> Option<Signature> {
    let mut fields = field.map(notes)?;
    let inputs = fields.get("inputs").map_or(Some(vec![]), |field| tensors(&field, notes));
    let outputs = fields.get("outputs").map_or(Some(vec![]), |field| tensors(&field, notes));
    fields.warn_of_others(notes);
    Some(Signature { inputs: inputs?, outputs: outputs? })
}

fn tensors(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<Tensor>> {
    let mut tensors: Vec<Tensor> = Vec::new();
    for item in field.list(notes)? {
        let Some(tensor) = tensor(&item, notes) else { continue };
        if tensors.iter().any(|before| before.name == tensor.name) {
            let text = format!("expected each tensor's name once, but found `{}` again", tensor.name);
            notes.problem(item.problem(code::DUPLICATE, text));
        }
        tensors.push(tensor);
    }
    Some(tensors)
}

fn tensor(field: &Field<'_>, notes: &mut Notes) -> Option<Tensor> {
    let mut fields = field.map(notes)?;
    let name = fields.need("name", "the tensor's name", notes).and_then(|field| field.shared_text(notes));
    let datatype = fields.need("datatype", "such as FP32", notes).and_then(|field| {
        field.one_of(&DATATYPES, notes)?;
        field.shared_text(notes)
    });
    let shape = fields.need("shape", "a list of sizes, -1 for any", notes);
    let shape = shape.and_then(|field| {
        let sizes: Vec<Option<i64>> = field.list(notes)?.iter().map(|item| size(item, notes)).collect();
        sizes.into_iter().collect::<Option<Vec<i64>>>()
    });
    fields.warn_of_others(notes);
    Some(Tensor { name: name?, datatype: datatype?, shape: shape? })
}

fn size(field: &Field<'_>, notes: &mut Notes) -> Option<i64> {
    if let crate::tree::Value::Whole(size @ (-1 | 1..=0x7fff_ffff)) = field.node.value {
        return Some(size as i64);
    }
    field.wrong(code::OUT_OF_RANGE, "a size above zero, or -1 for any", notes);
    None
}

fn claims(field: &Field<'_>, notes: &mut Notes) -> Option<Vec<Claim>> {
    let claims: Vec<Option<Claim>> = field.list(notes)?.iter().map(|item| claim(item, notes)).collect();
    claims.into_iter().collect()
}

fn claim(field: &Field<'_>, notes: &mut Notes) -> Option<Claim> {
    let mut fields = field.map(notes)?;
    let name = fields.need("name", "the metric's name", notes).and_then(|field| field.shared_text(notes));
    let value = fields.need("value", "a number", notes).and_then(|field| field.number(notes));
    let n = fields.get("n").and_then(|field| field.count(0, u64::MAX, notes));
    let slice = fields.get("slice").and_then(|field| field.shared_text(notes));
    let dataset = fields.get("dataset").and_then(|field| field.shared_text(notes));
    fields.warn_of_others(notes);
    Some(Claim { name: name?, value: value?, n, slice, dataset })
}

fn test_file(field: &Field<'_>, notes: &mut Notes) -> Option<TestFile> {
    let mut fields = field.map(notes)?;
    let (uri, sha256) = (uri(&mut fields, notes), digest(&mut fields, notes));
    let label = fields.get("label").and_then(|field| field.shared_text(notes));
    fields.warn_of_others(notes);
    Some(TestFile { uri: uri?, sha256: sha256?, label })
}
