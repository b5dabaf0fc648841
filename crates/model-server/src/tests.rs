//! Tests against the tiny models in `fixtures/` (written by `fixtures/make.py`).

mod answers;
mod bad_requests;
mod control;
mod flights;
mod loading;
mod over_http;
mod releases;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use tower::Service;

use crate::{Datatype, Filled, Limits, Model, Server, Signature, Tensor, Values, router};

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}.onnx", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn model(name: &str) -> Model {
    Model::load(&fixture(name), None).unwrap()
}

fn server_with(limits: Limits, names: &[&str]) -> Server {
    let server = Server::new(limits);
    for name in names {
        server.load(name, "1", &fixture(name), None).unwrap();
    }
    server
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64]) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

fn logistic_signature() -> Signature {
    Signature {
        inputs: vec![tensor("x", Datatype::Fp32, &[-1, 4])],
        outputs: vec![
            tensor("probability", Datatype::Fp32, &[-1, 1]),
            tensor("label", Datatype::Int64, &[-1]),
        ],
    }
}

fn singles(name: &str, shape: &[usize], values: &[f32]) -> Filled {
    Filled { name: name.to_owned(), shape: shape.to_vec(), values: Values::Fp32(values.to_vec()) }
}

/// Numbers from a seed, always the same ones.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() as f32 / (1_u64 << 31) as f32)
    }
}

/// Asks the routes without a socket: HTTP code and JSON body.
async fn call(server: &Server, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = router(server.clone()).call(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&body).expect("each answer is JSON"))
}
