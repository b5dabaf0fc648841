//! The contract of [`Serving`], for every implementation whose models answer. Takes a fresh, empty server and panics
//! with the clause that was broken.

use domain::model::{Signature, Tensor};
use domain::name::{AttemptId, Digest, ModelName};
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

/// An attempt of one of two owners.
fn attempt(of: &str, number: u32) -> AttemptId {
    AttemptId::parse(&format!("suite-{of}@production.{number}")).expect("an attempt")
}

pub fn serving(server: &dyn Serving, sample: &Sample) {
    one_owner(server, sample);
    several_attempts(server, sample);
    several_owners(server, sample);
}

fn one_owner(server: &dyn Serving, sample: &Sample) {
    let by = &attempt("one", 1);
    let model = ModelName::parse("suite-model").expect("a plain name");
    let (bundle, other) = (Digest::of(b"bundle"), Digest::of(b"other bundle"));
    let name = server.name();
    assert_eq!(loaded(server, &model), [], "3: nothing is loaded at first");
    server.keep(by, &model, &[bundle]).expect("2: keeping what is not loaded is no error");
    assert_eq!(loaded(server, &model), [], "2: and changes nothing");

    let endpoint = server.load(by, &model, bundle, &sample.onnx, &sample.signature).expect("load works");
    assert!(answers(&endpoint, sample), "1: it answers once load has returned");
    assert_eq!(loaded(server, &model), [bundle], "3: what it has");
    let again = server.load(by, &model, bundle, &sample.onnx, &sample.signature).expect("2: the same again");
    assert_eq!(again, endpoint, "2: the same endpoint");
    let undeclared = server.load(by, &model, other, &sample.onnx, &Signature::default());
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

    server.keep(by, &model, &both).expect("2: what is kept");
    assert_eq!(loaded(server, &model), both, "2: and changes nothing");
    server.keep(by, &model, &[other]).expect("keep works");
    assert_eq!(loaded(server, &model), [other], "3: what it has");
    assert!(
        !answers(&endpoint, sample) && answers(&undeclared, sample),
        "1: while it is kept, and only that"
    );
    server.keep(by, &model, &[other]).expect("2: once more");
    let elsewhere = ModelName::parse("suite-other").expect("a plain name");
    server.keep(by, &elsewhere, &[]).expect("keep works");
    assert_eq!(loaded(server, &model), [other], "of this model alone");
    server.keep(by, &model, &[]).expect("keep works");
    assert_eq!(loaded(server, &model), [], "3: nothing is left");
    assert_eq!(server.name(), name, "the same name for the server's life");
}

fn several_attempts(server: &dyn Serving, sample: &Sample) {
    let model = ModelName::parse("suite-model").expect("a plain name");
    let (bundle, other) = (Digest::of(b"bundle"), Digest::of(b"other bundle"));
    let (earlier, later) = (&attempt("one", 7), &attempt("one", 9));
    let load = |by, bundle| server.load(by, &model, bundle, &sample.onnx, &sample.signature);
    let is_late = |result: Result<(), ServingError>| match result {
        Err(ServingError::Superseded(_)) => {}
        other => panic!("4: expected to hear of a later attempt, but {other:?}"),
    };
    load(earlier, bundle).expect("load works");
    load(later, other).expect("load works");
    let mut both = [bundle, other];
    both.sort_unstable();
    assert_eq!(loaded(server, &model), both, "4: what an earlier attempt loaded is the owner's");
    is_late(server.keep(earlier, &model, &[]));
    is_late(load(earlier, Digest::of(b"late")).map(drop));
    assert_eq!(loaded(server, &model), both, "4: an earlier attempt changes nothing");
    server.keep(&attempt("one", 11), &model, &both).expect("keep works");
    is_late(server.keep(later, &model, &[]));
    assert_eq!(loaded(server, &model), both, "4: keeping alone fences, too");
    server.keep(&attempt("one", 11), &model, &[]).expect("keep works");
    assert_eq!(loaded(server, &model), [], "nothing is left");
}

fn several_owners(server: &dyn Serving, sample: &Sample) {
    let model = ModelName::parse("suite-model").expect("a plain name");
    let bundle = Digest::of(b"bundle");
    let (one, two) = (&attempt("one", 20), &attempt("two", 1));
    let load = |by| server.load(by, &model, bundle, &sample.onnx, &sample.signature);
    load(one).expect("load works");
    let endpoint = load(two).expect("4: attempts of others say nothing");
    server.keep(one, &model, &[]).expect("keep works");
    assert!(answers(&endpoint, sample), "5: the other one keeps it");
    load(one).expect("load works");
    server.keep(two, &model, &[bundle]).expect("keep works");
    server.keep(two, &model, &[]).expect("keep works");
    assert!(answers(&endpoint, sample), "5: the first one keeps it again");
    server.keep(two, &model, &[bundle]).expect("keep works");
    server.keep(one, &model, &[]).expect("keep works");
    assert!(answers(&endpoint, sample), "5: whoever keeps what another one loaded keeps it as well");
    server.keep(two, &model, &[]).expect("keep works");
    assert_eq!(loaded(server, &model), [], "what nobody keeps is unloaded");
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
    match server.load(&attempt("one", 1), model, bundle, onnx, &sample.signature) {
        Err(ServingError::Refused { code, .. }) => code.to_string(),
        other => panic!("expected a refusal, but {other:?}"),
    }
}
