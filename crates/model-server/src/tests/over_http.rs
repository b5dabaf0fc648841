//! The server on a socket: routes, bounds on time and size, shutdown.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{call, server_with};
use tower::Service;

use crate::{Limits, Server, router};

const BODY: &str =
    r#"{"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1,1], "data": [4]}]}"#;

struct Running {
    server: Server,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn run(limits: Limits) -> Running {
    let server = server_with(limits, &["reciprocal"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.clone();
    let ended = tokio::spawn(async move {
        serving.serve(listener, async { stopped.await.unwrap_or_default() }).await;
    });
    Running { server, address, stop, ended }
}

fn post(body: &str, length: usize) -> String {
    format!("POST /v2/models/reciprocal/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is a close as well.
    let _closed_or_reset = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

/// One answer with a content-length.
async fn answer(stream: &mut TcpStream) -> (String, Value) {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        text.push(byte[0]);
        if text.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(text).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn routes_tell_what_is_loaded() {
    let server = server_with(Limits::default(), &["logistic", "two_outputs"]);
    let table = [
        ("GET", "/v2/health/live", json!({"live": true})),
        ("GET", "/v2/health/ready", json!({"ready": true})),
        (
            "GET",
            "/v2",
            json!({"name": "modelrail-model-server", "version": env!("CARGO_PKG_VERSION"), "extensions": ["model_repository_index"]}),
        ),
        ("GET", "/v2/models/logistic/ready", json!({"name": "logistic", "ready": true})),
        ("GET", "/v2/models/logistic/versions/1/ready", json!({"name": "logistic", "ready": true})),
        (
            "POST",
            "/v2/repository/index",
            json!([
                {"name": "logistic", "version": "1", "state": "READY", "reason": ""},
                {"name": "two_outputs", "version": "1", "state": "READY", "reason": ""},
            ]),
        ),
    ];
    for (method, path, expected) in table {
        assert_eq!(call(&server, method, path, "").await, (200, expected), "{path}");
    }
    let metadata = json!({
        "name": "logistic",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "probability", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "label", "datatype": "INT64", "shape": [-1]},
        ],
    });
    for path in ["/v2/models/logistic", "/v2/models/logistic/versions/1"] {
        assert_eq!(call(&server, "GET", path, "").await, (200, metadata.clone()));
    }
}

#[tokio::test]
async fn version_with_a_digest_is_reached_escaped_or_not() {
    let server = server_with(Limits::default(), &[]);
    server.load("m", "sha256:ab", &super::fixture("reciprocal"), None).unwrap();
    for path in ["/v2/models/m/versions/sha256:ab/infer", "/v2/models/m/versions/sha256%3Aab/infer"] {
        let (code, body) = call(&server, "POST", path, BODY).await;
        assert_eq!(
            (code, &body["model_version"], &body["outputs"][0]["data"]),
            (200, &json!("sha256:ab"), &json!([-1.0]))
        );
    }
}

#[tokio::test]
async fn one_connection_takes_many_requests() {
    let running = run(Limits::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(post(BODY, BODY.len()).as_bytes()).await.unwrap();
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: application/json"));
        assert_eq!((&body["id"], &body["outputs"][0]["data"]), (&json!("a"), &json!([-1.0])));
    }
}

#[tokio::test]
async fn routes_stand_beside_those_of_a_host() {
    let server = server_with(Limits::default(), &["reciprocal"]);
    let host =
        axum::Router::new().route("/mine", axum::routing::get(async || "mine")).fallback(async || "host");
    let mut merged = host.merge(router(server));
    for (path, expected) in [("/mine", "mine"), ("/else", "host"), ("/v2/health/live", r#"{"live":true}"#)] {
        let request = axum::http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        let response = merged.call(request).await.unwrap();
        assert_eq!(axum::body::to_bytes(response.into_body(), 1024).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn listener_answers_in_json_outside_of_the_routes_too() {
    let running = run(Limits::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert_eq!(body["code"], "ROUTE_UNKNOWN");
}

#[tokio::test]
async fn body_over_its_limit_is_refused_however_it_is_sent() {
    let running = run(Limits { body_bytes_max: 100, ..Limits::default() }).await;
    let chunked =
        "POST /v2/models/reciprocal/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("40\r\n{}\r\n", " ".repeat(0x40));
    let declared = post("", 1 << 40);
    for text in [format!("{chunked}{chunk}{chunk}"), declared] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(body["code"], "BODY_TOO_LARGE");
    }
}

#[tokio::test]
async fn slow_body_is_answered_and_slow_head_is_closed() {
    let running = run(Limits { head_timeout_ms: 50, body_timeout_ms: 50, ..Limits::default() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(post("{", 100).as_bytes()).await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(body["code"], "BODY_TOO_SLOW");

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"POST /v2/models/recip").await.unwrap();
    assert!(!rest(&mut stream).await.contains("200 OK"), "the server closes");
}

#[tokio::test]
async fn requests_beyond_the_bound_get_503_and_when_to_come_again() {
    let running = run(Limits { in_flight_max: 1, ..Limits::default() }).await;
    let _place = running.server.admit().unwrap();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(post(BODY, BODY.len()).as_bytes()).await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert_eq!(body["code"], "OVERLOADED");
}

#[tokio::test]
async fn shutdown_lets_the_request_in_flight_end_and_closes_idle_connections() {
    let running = run(Limits::default()).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(post(BODY, BODY.len()).as_bytes()).await.unwrap();
    answer(&mut idle).await;

    let mut busy = TcpStream::connect(running.address).await.unwrap();
    let (first, second) = BODY.split_at(20);
    busy.write_all(post(first, BODY.len()).as_bytes()).await.unwrap();
    // In flight once its place is taken: all but one of the places are left.
    let others = running.server.limits().in_flight_max - 1;
    loop {
        let places: Vec<_> = std::iter::from_fn(|| running.server.admit().ok()).collect();
        if places.len() == others {
            break;
        }
        drop(places);
        tokio::task::yield_now().await;
    }
    running.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert!(!running.server.is_ready());
    busy.write_all(second.as_bytes()).await.unwrap();
    let text = rest(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    running.ended.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn shutdown_ends_although_a_client_never_does() {
    let running = run(Limits { drain_timeout_ms: 50, ..Limits::default() }).await;
    let mut stuck = TcpStream::connect(running.address).await.unwrap();
    stuck.write_all(post("{", 100).as_bytes()).await.unwrap();
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
}

#[tokio::test]
async fn draining_server_is_live_but_not_ready() {
    let server = server_with(Limits::default(), &["reciprocal"]);
    server.drain();
    assert_eq!(call(&server, "GET", "/v2/health/ready", "").await, (503, json!({"ready": false})));
    assert_eq!(call(&server, "GET", "/v2/health/live", "").await.0, 200);
    assert_eq!(call(&server, "POST", "/v2/models/reciprocal/infer", BODY).await.0, 200);
}
