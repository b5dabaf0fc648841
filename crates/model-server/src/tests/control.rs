//! The control surface: who may use it, and whose fault a refusal is.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::Service;

use super::fixture;
use crate::{Credential, Limits, Server, control};

const SECRET: &str = "the surface";
const PLACE: &str = "/control/v1/models/m/versions/1?keeper=m@production&attempt=7";
const KEEPS: &str = "/control/v1/models/m/kept?keeper=m@production&attempt=";

async fn ask(
    surface: &Router,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Vec<u8>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let request = request.body(Body::from(body)).unwrap();
    let response = surface.clone().call(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&body).expect("each answer is JSON"))
}

fn surface(server: &Server) -> Router {
    control(server.clone(), Credential::new(SECRET))
}

fn with_line(line: &str, file: &[u8]) -> Vec<u8> {
    [line.as_bytes(), b"\n", file].concat()
}

#[tokio::test]
async fn nothing_is_done_without_the_credential() {
    let server = Server::new(Limits::default());
    let surface = surface(&server);
    let body = with_line("null", &fixture("logistic"));
    for bearer in [None, Some("Bearer another"), Some(SECRET), Some("Bearer "), Some("bearer the surface")] {
        for (method, path) in [("GET", "/control/v1/models"), ("PUT", PLACE), ("PUT", KEEPS)] {
            let (code, answer) = ask(&surface, method, path, bearer, body.clone()).await;
            assert_eq!(
                (code, answer["code"].as_str()),
                (401, Some("CREDENTIAL_WRONG")),
                "{method} {bearer:?}"
            );
        }
    }
    assert!(server.loaded().is_empty());
    assert!(!format!("{:?}", Credential::new(SECRET)).contains(SECRET));
}

#[tokio::test]
async fn loads_says_what_it_has_and_unloads_what_is_not_kept() {
    let server = Server::new(Limits::default());
    let (surface, bearer) = (surface(&server), format!("Bearer {SECRET}"));
    let asked = async |method, path: &str, body| ask(&surface, method, path, Some(&bearer), body).await;
    let keeps = async |attempt: u32, versions: &str| {
        asked("PUT", &format!("{KEEPS}{attempt}"), versions.as_bytes().to_vec()).await
    };
    let body = with_line("null", &fixture("logistic"));
    assert_eq!(asked("PUT", PLACE, body.clone()).await, (200, json!({"outcome": "loaded"})));
    assert_eq!(asked("PUT", PLACE, body.clone()).await, (200, json!({"outcome": "already_loaded"})));
    let (code, has) = asked("GET", "/control/v1/models", vec![]).await;
    assert_eq!(
        (code, &has["models"][0]["name"], &has["models"][0]["version"]),
        (200, &json!("m"), &json!("1"))
    );
    assert_eq!(has["model_bytes_max"], json!(Limits::default().model_bytes_max));
    assert_eq!(keeps(8, r#"["1", "never loaded"]"#).await, (200, json!({"outcome": "kept"})));
    for late in [keeps(7, "[]").await, asked("PUT", PLACE, body).await] {
        assert_eq!((late.0, &late.1["code"]), (409, &json!("SUPERSEDED")), "{}", late.1);
    }
    assert_eq!(server.loaded().len(), 1, "a late attempt takes nothing away");
    assert_eq!(keeps(8, "[]").await, (200, json!({"outcome": "kept"})));
    assert!(server.loaded().is_empty());
    for malformed in ["", "null", "[1]", "{}"] {
        assert_eq!(keeps(8, malformed).await.1["code"], "VERSIONS_MALFORMED", "{malformed}");
    }
    for nobody in ["/control/v1/models/m/versions/1", "/control/v1/models/m/kept?keeper=x&attempt=-1"] {
        let (code, answer) = asked("PUT", nobody, b"[]".to_vec()).await;
        assert_eq!((code, answer["code"].as_str()), (400, Some("QUERY_MALFORMED")), "{nobody}");
    }
    assert_eq!(asked("POST", PLACE, vec![]).await.0, 405);
    assert_eq!(asked("GET", "/control/v2", vec![]).await.0, 404);
}

#[tokio::test]
async fn only_422_blames_the_model() {
    let server = Server::new(Limits { model_bytes_max: 4_096, ..Limits::default() });
    let (surface, bearer) = (surface(&server), format!("Bearer {SECRET}"));
    let model = fixture("logistic");
    let unknown = r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[-1]}],"outputs":[]}"#;
    let other = r#"{"inputs":[{"name":"y","datatype":"FP32","shape":[-1,4]}],"outputs":[]}"#;
    for (name, body, code, reason) in [
        ("no line", b"".to_vec(), 400, "SIGNATURE_MALFORMED"),
        ("no JSON", with_line("nul", &model), 400, "SIGNATURE_MALFORMED"),
        ("another key", with_line(r#"{"inputs":[],"outputs":[],"x":1}"#, &model), 400, "SIGNATURE_MALFORMED"),
        ("a datatype that is not known", with_line(unknown, &model), 422, "DATATYPE_UNSUPPORTED"),
        ("another signature", with_line(other, &model), 422, "SIGNATURE_MISMATCH"),
        ("no model", with_line("null", b"no model"), 422, "MODEL_UNREADABLE"),
        ("too large for a load", with_line("null", &[0; 4_097]), 422, "MODEL_TOO_LARGE"),
        ("too large for a body", with_line("null", &vec![0; 1 << 20]), 422, "MODEL_TOO_LARGE"),
    ] {
        let (found, answer) = ask(&surface, "PUT", PLACE, Some(&bearer), body).await;
        assert_eq!((found, answer["code"].as_str()), (code, Some(reason)), "{name}: {answer}");
    }
    assert!(server.loaded().is_empty());
}
