//! Loading, finding and unloading versions, and calls in process.

use super::{fixture, logistic_signature, server_with, singles};
use crate::{Limits, LoadOutcome, Request, Server};

fn request() -> Request {
    Request { id: None, inputs: vec![singles("x", &[1, 4], &[0.0; 4])], outputs: None }
}

#[test]
fn without_a_version_the_most_recently_loaded_one_answers() {
    let server = Server::new(Limits::default());
    for version in ["sha256:aa", "sha256:bb"] {
        server.load("m", version, &fixture("logistic"), None).unwrap();
    }
    assert_eq!(server.find("m", None).unwrap().version, "sha256:bb");
    assert_eq!(server.find("m", Some("sha256:aa")).unwrap().version, "sha256:aa");
    assert!(server.unload("m", "sha256:bb"));
    assert_eq!(server.find("m", None).unwrap().version, "sha256:aa");
    assert!(!server.unload("m", "sha256:bb"));
    assert!(server.unload("m", "sha256:aa"));
    assert_eq!(server.infer("m", None, &request()).unwrap_err().code(), "MODEL_UNKNOWN");
    assert!(server.loaded().is_empty());
}

#[test]
fn loaded_version_keeps_its_bytes() {
    let server = server_with(Limits::default(), &["logistic"]);
    let again = |bytes: &[u8]| server.load("logistic", "1", bytes, None);
    assert_eq!(again(&fixture("logistic")).unwrap(), LoadOutcome::AlreadyLoaded);
    assert_eq!(again(&fixture("two_outputs")).unwrap_err().code(), "VERSION_TAKEN");
    let declared = server.load("logistic", "1", &fixture("logistic"), Some(&logistic_signature()));
    assert_eq!(declared.unwrap_err().code(), "VERSION_TAKEN");
    assert_eq!(server.loaded().len(), 1);
    assert_eq!(server.loaded()[0].sha256.len(), 64);
}

#[test]
fn failed_load_leaves_no_trace() {
    let server = Server::new(Limits::default());
    assert_eq!(server.load("m", "1", b"garbage", None).unwrap_err().code(), "MODEL_UNREADABLE");
    assert!(server.loaded().is_empty());
    assert_eq!(server.load("m", "1", &fixture("logistic"), None).unwrap(), LoadOutcome::Loaded);
}

#[test]
fn bounds_of_the_set_are_kept() {
    let limits = Limits { models_max: 1, model_bytes_max: 600, ..Limits::default() };
    let server = server_with(limits, &["logistic"]);
    let refused = |model: &str, version: &str, bytes: &[u8]| {
        server.load(model, version, bytes, None).unwrap_err().code()
    };
    assert_eq!(refused("m", "2", &fixture("logistic")), "MODELS_FULL");
    assert_eq!(refused("m", "2", &[0; 601]), "MODEL_TOO_LARGE");
    for name in ["", ".", "..", "a/b", "a b", "a%2f", "a\0", "ü", &"n".repeat(257)] {
        assert_eq!(refused(name, "2", &fixture("logistic")), "NAME_INVALID", "{name:?}");
        assert_eq!(refused("m", name, &fixture("logistic")), "NAME_INVALID", "{name:?}");
    }
    server.unload("logistic", "1");
    server.load("m", "2", &fixture("logistic"), None).unwrap();
}

#[test]
fn unload_in_the_middle_of_requests_is_safe() {
    let server = server_with(Limits::default(), &["logistic"]);
    let held = server.find("logistic", None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match server.infer("logistic", None, &request()) {
                        Ok(response) => assert_eq!(response.outputs.len(), 2),
                        Err(error) => assert_eq!(error.code(), "MODEL_UNKNOWN"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                server.unload("logistic", "1");
                server.load("logistic", "1", &fixture("logistic"), None).unwrap();
            }
        });
    });
    assert!(
        server
            .answer(
                &held,
                br#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1,4], "data": [0,0,0,0]}]}"#
            )
            .is_ok()
    );
}

#[test]
fn requests_beyond_the_bound_are_refused_at_once() {
    let server = server_with(Limits { in_flight_max: 1, ..Limits::default() }, &["logistic"]);
    let place = server.admit().unwrap();
    let error = server.infer("logistic", None, &request()).unwrap_err();
    assert_eq!(error.code(), "OVERLOADED");
    drop(place);
    assert!(server.infer("logistic", None, &request()).is_ok());
}

#[test]
fn json_in_process_is_what_http_answers() {
    let server = server_with(Limits::default(), &["two_outputs"]);
    let body =
        br#"{"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1,3], "data": [1,2,3.5]}]}"#;
    let answer = String::from_utf8(server.infer_json("two_outputs", Some("1"), body).unwrap()).unwrap();
    assert_eq!(
        answer,
        r#"{"model_name":"two_outputs","model_version":"1","id":"a","outputs":[{"name":"total","datatype":"FP32","shape":[1,1],"data":[6.5]},{"name":"greatest","datatype":"FP32","shape":[1],"data":[3.5]}]}"#
    );
}
