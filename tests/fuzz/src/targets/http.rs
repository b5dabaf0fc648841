//! The bodies of HTTP: of the API, the gateway and the model server, and what a model server answers.

use std::sync::LazyLock;

use domain::name::TargetId;
use model_server::{Limits, Server};

use super::MODEL;
use super::published::SIGNATURE;

static TARGET: LazyLock<TargetId> =
    LazyLock::new(|| TargetId::parse("flights@production").expect("a target"));
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let server = Server::new(Limits::default());
    server.load("flights", "v1", MODEL, None).expect("the shipped model loads");
    server
});

/// The JSON bodies of the API.
pub(crate) fn request(bytes: &[u8]) {
    api::decoders::body(bytes);
}

/// A request to infer at the gateway, and a release's answer as gateway and checks read it.
pub(crate) fn infer(bytes: &[u8]) {
    gateway::decoders::head(bytes);
    gateway::decoders::infer(bytes);
    gateway::decoders::answer(bytes);
    stages::decoders::answer(bytes, &SIGNATURE);
}

/// Labels, and what the kill switch is sent and keeps.
pub(crate) fn labels(bytes: &[u8]) {
    gateway::decoders::labels(bytes, &TARGET);
    gateway::decoders::kill(bytes);
}

/// A request to infer at the model server, answered by a real model. What it answers the checks can read.
pub(crate) fn serve(bytes: &[u8]) {
    if let Ok(answer) = SERVER.infer_json("flights", None, bytes) {
        assert!(gateway::decoders::answer(&answer), "an answer that the gateway cannot read");
    }
}
