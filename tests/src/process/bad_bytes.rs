//! What clients send that no client library would: written to the socket as it is, over the real binary.
//!
//! **Invariant:** each is answered with a problem and its code, or its connection is closed; the server goes on, and
//! does not grow by what it was sent.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::asking::Client;
use super::callers::Calling;
use super::place::{Addresses, Place, event};

const MODEL: &str = "flights-bytes";
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The most bytes of a body, as the API and the gateway are configured unless told.
const API_BODY_MAX: usize = 256 << 10;
const GATEWAY_BODY_MAX: usize = 2 << 20;
/// By how much the server may grow while it is sent a hundred times as much: pages of threads and allocators.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// Status, code and whether the connection was closed behind the answer.
#[derive(Debug, PartialEq)]
struct Heard {
    status: u16,
    code: String,
    closed: bool,
}

/// Sends these bytes, as far as they are taken, and hears the first answer.
fn say(address: &str, head: &str, body: impl IntoIterator<Item = Vec<u8>>) -> Heard {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    stream.set_write_timeout(Some(ANSWER_MAX)).unwrap();
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    for part in body {
        // A server that heard enough closes: what it answered is to be read all the same.
        if stream.write_all(&part).is_err() {
            break;
        }
    }
    hear(&mut stream)
}

fn hear(stream: &mut TcpStream) -> Heard {
    let (mut bytes, mut chunk) = (vec![], [0; 4_096]);
    let mut closed = false;
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if closed || length.is_none_or(|length: usize| body.len() >= length) {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
                let body: Value = serde_json::from_str(body).unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                closed = closed || is_closing(&head) && is_at_end(stream);
                return Heard { status, code, closed };
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) if bytes.is_empty() => {
                return Heard { status: 0, code: String::new(), closed: true };
            }
            Ok(0) | Err(_) => closed = true,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn is_at_end(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

fn is_closing(head: &str) -> bool {
    head.contains("connection: close")
}

fn heard(status: u16, code: &str, closed: bool) -> Heard {
    Heard { status, code: code.to_owned(), closed }
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A chunk of a chunked body.
fn chunk(bytes: usize) -> Vec<u8> {
    [format!("{bytes:x}\r\n").as_bytes(), &vec![b' '; bytes], b"\r\n"].concat()
}

#[test]
fn bytes_that_no_client_sends_are_answered_and_forgotten() {
    let place = Place::new();
    let mut server = place.serve();
    let at = server.listening(&place);
    let current = Arc::new(Mutex::new(at.clone()));
    let client = Client::new(Arc::clone(&current), &place.data());
    // Somebody asks until it is live: a switch without callers is none.
    let calling = Calling::start(&current, MODEL);
    let run = client.publish(&event("v1", MODEL, "bytes-v1")).unwrap().run;
    client.until(&run, "live", |run| run.state == "live");
    drop(calling);

    let before = resident_kib(server.id());
    large_bodies(&at, client.token());
    let grown = resident_kib(server.id()).saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "the server grew by {grown} KiB");
    names_that_lead_elsewhere(&at, client.token());
    tokens_of_nobody(&at);
    the_same_key(&at, client.token());
    addresses_of_artifacts(&client);

    assert!(client.verify().good);
    assert_eq!(client.run(&run).state, "live");
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
}

fn post(path: &str, token: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/cloudevents+json\r\n{more}"
    )
}

/// Bodies over the bound: said to be, without a length, and with a length that lies.
fn large_bodies(at: &Addresses, token: &str) {
    let infer = "/flights-bytes@production/v2/models/flights-bytes/infer";
    for (address, path, most, code) in [
        (&at.api, "/v1/events", API_BODY_MAX, "TOO_LARGE"),
        (&at.gateway, infer, GATEWAY_BODY_MAX, "BODY_TOO_LARGE"),
    ] {
        for _ in 0..5 {
            let declared = post(path, token, "content-length: 1000000000");
            assert_eq!(say(address, &declared, []), heard(413, code, true), "{path}, declared");
            let chunked = post(path, token, "transfer-encoding: chunked");
            let chunks = std::iter::repeat_with(|| chunk(1 << 16)).take(8 * most / (1 << 16));
            assert_eq!(say(address, &chunked, chunks), heard(413, code, true), "{path}, chunked");
        }
        // More than it says: the rest is no request.
        let short = post(path, token, "content-length: 2");
        assert_eq!(say(address, &short, [b"{}not a request\r\n\r\n".to_vec()]).status / 100, 4, "{path}");
        // Less than it says, then silence in both directions.
        let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let long = post(path, token, "content-length: 100");
        stream.write_all(format!("{long}\r\n\r\n{{").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let ended = hear(&mut stream);
        let closed = ended.closed || is_at_end(&mut stream);
        assert!(closed && [0, 400].contains(&ended.status), "{path}: {ended:?}");
        // Two lengths: nobody may choose one.
        let two = post(path, token, "content-length: 2\r\ncontent-length: 3");
        assert_eq!(say(address, &two, [b"{}".to_vec()]).status, 400, "{path}");
    }
}

/// Names in paths that would be other paths to a file system or to a proxy.
fn names_that_lead_elsewhere(at: &Addresses, token: &str) {
    let long = "a".repeat(10_000);
    for (name, status, code) in [
        ("../x", 404, "NO_SUCH_PATH"),
        ("..", 400, "BAD_ID"),
        ("%2e%2e%2f", 400, "BAD_ID"),
        ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400, "BAD_ID"),
        ("%252e%252e", 400, "BAD_ID"),
        ("..%5c..%5c", 400, "BAD_ID"),
        ("a%00b", 400, "BAD_ID"),
        ("%E2%80%AEtxt.exe", 400, "BAD_ID"),
        ("r%C3%A9sum%C3%A9", 400, "BAD_ID"),
        ("re%CC%81sume%CC%81", 400, "BAD_ID"),
        ("%FF%FE", 400, "BAD_ID"),
        (long.as_str(), 400, "BAD_ID"),
    ] {
        for path in
            [format!("/v1/runs/{name}"), format!("/v1/targets/{name}"), format!("/v1/evidence/{name}")]
        {
            let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}");
            let shown: String = path.chars().take(60).collect();
            assert_eq!(say(&at.api, &head, []), heard(status, code, false), "{shown}");
        }
        let head = format!("POST /{name}/labels HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2");
        let status = say(&at.gateway, &head, [b"[]".to_vec()]).status;
        assert!(matches!(status, 404 | 503), "the gateway answered {status} to {name}");
    }
}

fn tokens_of_nobody(at: &Addresses) {
    let long = "t".repeat(9_000);
    for value in ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Bearer mr_0", &format!("Bearer {long}")]
    {
        let head = format!("GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: {value}");
        let shown: String = value.chars().take(40).collect();
        assert_eq!(say(&at.api, &head, []), heard(401, "NOT_AUTHENTICATED", false), "{shown}");
    }
    let huge = format!(
        "GET /v1/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}",
        "t".repeat(1 << 20)
    );
    let address = at.api.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    // The server may hang up in the middle of it.
    let _hung_up = stream.write_all(huge.as_bytes());
    let ended = hear(&mut stream);
    assert!(ended.closed && [0, 431].contains(&ended.status), "{ended:?}");
}

/// The same key with the same content is answered alike; with another one it conflicts.
fn the_same_key(at: &Addresses, token: &str) {
    let path = "/v1/targets/flights-bytes@production/requests";
    let ask = |body: Value| {
        let body = body.to_string();
        let more = format!("idempotency-key: bytes-1\r\ncontent-length: {}", body.len());
        let head = post(path, token, &more).replace("cloudevents+json", "json");
        say(&at.api, &head, [body.into_bytes()])
    };
    let freeze = json!({ "kind": "freeze", "reason": "christmas" });
    assert_eq!(ask(freeze.clone()).status, 200);
    assert_eq!(ask(freeze).status, 200);
    assert_eq!(ask(json!({ "kind": "unfreeze", "reason": "christmas" })), heard(409, "CONFLICT", false));
    let twice = br#"{"kind":"freeze","kind":"unfreeze","reason":"x"}"#;
    let head =
        post(path, token, &format!("content-length: {}", twice.len())).replace("cloudevents+json", "json");
    assert_eq!(say(&at.api, &head, [twice.to_vec()]), heard(400, "MALFORMED", false));
}

/// Where artifacts must not be fetched from: refused with the event, or by the package stage.
fn addresses_of_artifacts(client: &Client) {
    let of = |number: usize, uri: &str| {
        let mut event = event("v1", &format!("flights-url{number}"), &format!("url-{number}"));
        event["data"]["artifact"]["uri"] = uri.into();
        event
    };
    for (number, uri) in
        ["http://localhost/x", "http://169.254.169.254/", "gopher://x/", "ftp://x/"].iter().enumerate()
    {
        let problem = client.publish(&of(number, uri)).unwrap_err();
        assert_eq!(problem.status, 422, "{uri}: {problem:#?}");
        assert_eq!(problem.field.as_deref(), Some("data.artifact.uri"), "{uri}: {problem:#?}");
    }
    let stopped: Vec<(&str, String)> = [
        "https://localhost/x",
        "https://127.1/x",
        "https://0x7f.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://user@models.example/x",
        "file:///etc/passwd",
        "file:../../etc/passwd",
        "file:%2e%2e/secret",
        "s3://bucket/x",
    ]
    .into_iter()
    .enumerate()
    .map(|(number, uri)| (uri, client.publish(&of(100 + number, uri)).unwrap().run))
    .collect();
    for (uri, run) in stopped {
        let ended = client.until(&run, "ended", |run| run.ended);
        let evidence = ended.stages.iter().flat_map(|stage| &stage.evidence);
        let codes: Vec<&str> = evidence.flat_map(|it| &it.findings).map(|it| it.code.as_str()).collect();
        assert_eq!((ended.state.as_str(), codes), ("blocked", vec!["URL_REFUSED"]), "{uri}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_all_told_before_anything_is_opened() {
    let place = Place::new();
    let text = fs::read_to_string(place.config()).unwrap();
    let wrong = text.replace("partitions = 4", "partitions = 0")
        + "[notify]\nwebhook = \"http://169.254.169.254/\"\n[workers]\ngate = \"one\"\n[limitz]\nx = 1\n";
    fs::write(place.config(), wrong).unwrap();
    let said = place.run(&["serve"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    for part in ["store.partitions", "notify.webhook", "workers.gate", "limitz.x", "hint: "] {
        assert!(said.errors.contains(part), "{part}: {said:?}");
    }
    assert!(!place.data().exists(), "a refused start made a data folder");
}
