//! The contract of [`Serving`], for every implementation whose models answer. Takes a fresh, empty server and panics
//! with the clause that was broken.

use domain::model::{Signature, Tensor};
use domain::name::{Digest, ModelName};
use domain::time::Millis;

use super::{Endpoint, Serving, ServingError};
use crate::sample;
use crate::stage_test::client::Client;

const CALL_TIMEOUT: Millis = Millis::seconds(10);

/// A model that a server can load, and a larger one than it takes.
#[derive(Debug, Clone)]
pub struct Sample {
    pub onnx: Vec<u8>,
    pub signature: Signature,
    /// More bytes than the server takes.
    pub too_large: usize,
}

pub fn serving(server: &dyn Serving, sample: &Sample) {
    let model = ModelName::parse("suite-model").expect("a plain name");
    let (bundle, other) = (Digest::of(b"bundle"), Digest::of(b"other bundle"));
    let name = server.name();
    assert_eq!(loaded(server, &model), [], "3: nothing is loaded at first");
    server.unload(&model, bundle).expect("2: unloading what is not loaded is no error");

    let endpoint = server.load(&model, bundle, &sample.onnx, &sample.signature).expect("load works");
    assert!(answers(&endpoint, sample), "1: it answers once load has returned");
    assert_eq!(loaded(server, &model), [bundle], "3: what it has");
    let again = server.load(&model, bundle, &sample.onnx, &sample.signature).expect("2: the same again");
    assert_eq!(again, endpoint, "2: the same endpoint");
    let undeclared = server.load(&model, other, &sample.onnx, &Signature::default());
    let undeclared = undeclared.expect("a model tells its signature itself when none was declared");
    assert!(answers(&undeclared, sample) && answers(&endpoint, sample), "1: both, side by side");

    assert_eq!(refused(server, &model, Digest::of(b"none"), b"no model", sample), "MODEL_UNREADABLE");
    assert_eq!(refused(server, &model, bundle, &sample.onnx[1..], sample), "VERSION_TAKEN", "1: these bytes");
    assert_eq!(
        refused(server, &model, Digest::of(b"large"), &vec![0; sample.too_large], sample),
        "MODEL_TOO_LARGE"
    );
    let text = Tensor { name: "x".into(), datatype: "BYTES".into(), shape: vec![-1] };
    let unknown = Sample { signature: Signature { inputs: vec![text], outputs: vec![] }, ..sample.clone() };
    let code = refused(server, &model, Digest::of(b"text"), &sample.onnx, &unknown);
    assert_eq!(code, "DATATYPE_UNSUPPORTED");
    let mut both = [bundle, other];
    both.sort_unstable();
    assert_eq!(loaded(server, &model), both, "3: what was refused is not loaded");

    server.unload(&model, bundle).expect("unload works");
    assert_eq!(loaded(server, &model), [other], "3: what it has");
    assert!(!answers(&endpoint, sample) && answers(&undeclared, sample), "1: until unload, and only it");
    server.unload(&model, bundle).expect("2: once more");
    server.unload(&model, other).expect("unload works");
    assert_eq!(loaded(server, &model), [], "3: nothing is left");
    assert_eq!(server.name(), name, "the same name for the server's life");
}

fn loaded(server: &dyn Serving, model: &ModelName) -> Vec<Digest> {
    let all = server.loaded().expect("loaded works");
    let mut bundles: Vec<Digest> =
        all.into_iter().filter(|(of, _)| of == model).map(|(_, bundle)| bundle).collect();
    bundles.sort_unstable();
    bundles
}

fn answers(endpoint: &Endpoint, sample: &Sample) -> bool {
    let client = Client::new(endpoint.clone(), CALL_TIMEOUT).expect("a client of the endpoint");
    let request = sample::request(&sample.signature, "suite", 1);
    client.infer(&request).expect("the server answers, whatever it says").is_ok()
}

/// The code of a refusal that is the model's fault.
fn refused(server: &dyn Serving, model: &ModelName, bundle: Digest, onnx: &[u8], sample: &Sample) -> String {
    match server.load(model, bundle, onnx, &sample.signature) {
        Err(ServingError::Refused { code, .. }) => code.to_string(),
        other => panic!("expected a refusal, but {other:?}"),
    }
}
