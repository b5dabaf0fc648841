//! The remote server against a real one on a port of this machine.

use std::sync::Arc;

use model_server::{Credential, Limits, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::port::suite::{self, Sample};

const SECRET: &str = "the control surface";

/// A model server with its control surface, for as long as it is kept.
struct Running {
    url: String,
    runtime: Runtime,
}

fn start(limits: Limits, at: &str) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind(at)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::new(limits);
    runtime.spawn(async move {
        server.serve_controlled(Credential::new(SECRET), listener, std::future::pending()).await;
    });
    Running { url, runtime }
}

fn sample() -> Sample {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model-server/fixtures/logistic.onnx");
    let tensor = |name: &str, datatype: &str, shape: &[i64]| Tensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
    };
    let outputs = vec![tensor("probability", "FP32", &[-1, 1]), tensor("label", "INT64", &[-1])];
    Sample {
        onnx: std::fs::read(path).unwrap(),
        signature: Signature { inputs: vec![tensor("x", "FP32", &[-1, 4])], outputs },
        too_large: (1 << 20) + 1,
    }
}

fn model() -> ModelName {
    ModelName::parse("m").unwrap()
}

fn by() -> AttemptId {
    AttemptId::parse("m@production.1").unwrap()
}

fn unreachable(result: Result<impl std::fmt::Debug, ServingError>) -> String {
    match result {
        Err(ServingError::Unreachable(source)) => crate::trouble::words(&*source),
        other => panic!("expected an unreachable server, but {other:?}"),
    }
}

#[test]
fn a_server_over_http_keeps_the_contract() {
    let running = start(Limits { model_bytes_max: 1 << 20, ..Limits::default() }, "127.0.0.1:0");
    suite::serving(&RemoteServing::new(&running.url, SECRET).unwrap(), &sample());
}

#[test]
fn a_server_without_the_right_credential_is_no_fault_of_the_model() {
    let running = start(Limits::default(), "127.0.0.1:0");
    let stranger = RemoteServing::new(&running.url, "another").unwrap();
    let Sample { onnx, signature, .. } = sample();
    let bundle = Digest::of(b"bundle");
    for text in [
        unreachable(stranger.loaded()),
        unreachable(stranger.load(&by(), &model(), bundle, &onnx, &signature)),
        unreachable(stranger.keep(&by(), &model(), &[])),
    ] {
        assert!(text.contains("credential"), "{text}");
    }
    let entitled = RemoteServing::new(&running.url, SECRET).unwrap();
    entitled.load(&by(), &model(), bundle, &onnx, &signature).unwrap();
    unreachable(stranger.keep(&by(), &model(), &[]));
    assert_eq!(entitled.loaded().unwrap(), [(model(), bundle)], "a stranger unloads nothing");
}

#[test]
fn a_full_server_says_so_and_a_restarted_one_has_nothing() {
    let running = start(Limits { models_max: 1, ..Limits::default() }, "127.0.0.1:0");
    let server = RemoteServing::new(&running.url, SECRET).unwrap();
    let Sample { onnx, signature, .. } = sample();
    let (first, second) = (Digest::of(b"first"), Digest::of(b"second"));
    server.load(&by(), &model(), first, &onnx, &signature).unwrap();
    let full = server.load(&by(), &model(), second, &onnx, &signature);
    assert!(matches!(&full, Err(ServingError::Refused { code, .. }) if &**code == "MODELS_FULL"), "{full:?}");

    let address = running.url.trim_start_matches("http://").to_owned();
    running.runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    let text = unreachable(server.loaded());
    assert!(text.contains("failed to call"), "{text}");
    let again = start(Limits::default(), &address);
    assert_eq!(server.loaded().unwrap(), [], "what a restart forgot is not told");
    server.load(&by(), &model(), second, &onnx, &signature).unwrap();
    drop(again);
}

#[test]
fn answers_that_are_none_of_a_control_surface_may_pass() {
    // The public port of a server without a control surface.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime
        .spawn(async move { Server::new(Limits::default()).serve(listener, std::future::pending()).await });
    let server = RemoteServing::new(&url, SECRET).unwrap();
    let text = unreachable(server.loaded());
    assert!(text.contains("404"), "{text}");
    let fake = crate::testing::FakeServer::start(|_, _| (200, "hello".to_owned()));
    let endpoint = fake.load(&by(), &model(), Digest::of(b"b"), b"", &Signature::default()).unwrap();
    let text = unreachable(RemoteServing::new(&endpoint.url, SECRET).unwrap().loaded());
    assert!(text.contains("none"), "{text}");
}

#[test]
fn an_address_that_is_none_of_a_server_is_refused_at_the_start() {
    for url in [
        "",
        "127.0.0.1:7402",
        "https://127.0.0.1:7402",
        "http://127.0.0.1:7402/v2",
        "http://a@b:1",
        "http://b?c",
    ] {
        let refused = RemoteServing::new(url, SECRET);
        assert!(refused.is_err(), "{url}: {refused:?}");
    }
    for url in [
        "http://127.0.0.1:7402",
        "http://127.0.0.1:7402/",
        "http://models.internal:7402",
        "http://[::1]:7402",
    ] {
        let server: Arc<dyn Serving> = Arc::new(RemoteServing::new(url, SECRET).unwrap());
        assert!(!server.name().ends_with('/') && !format!("{server:?}").contains(SECRET), "{url}");
    }
}
