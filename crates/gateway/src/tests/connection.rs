//! Connections byte by byte: what is read here and what hyper reads must be the same to callers.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{INFER, Loaded, Stage, bundle, one_row, table};
use crate::{Ask, Backend, Call, Fault, Limits, Reply};

const PATIENCE: Duration = Duration::from_secs(20);

async fn stage(change: impl FnOnce(&mut Limits)) -> Stage {
    let change = |settings: &mut crate::Settings| change(&mut settings.limits);
    let stage = Stage::with(Loaded::of(&["v1"]), tempfile::tempdir().unwrap(), change).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    stage
}

fn request(id: &str, headers: &str) -> String {
    let body = one_row(id);
    format!("POST {INFER} HTTP/1.1\r\nhost: h\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// A caller who reads answers to their end.
struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    async fn of(stage: &Stage) -> Self {
        Self { stream: TcpStream::connect(stage.client.address).await.unwrap(), read: vec![] }
    }

    async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// The lines of the next head but its date, in order, and the body; nothing at the end.
    async fn answer(&mut self) -> Option<(Vec<String>, String)> {
        let next = async {
            loop {
                if let Some(answer) = self.whole() {
                    return Some(answer);
                }
                if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                    assert!(self.read.is_empty(), "cut: {}", String::from_utf8_lossy(&self.read));
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an answer or the end")
    }

    fn whole(&mut self) -> Option<(Vec<String>, String)> {
        let text = String::from_utf8(self.read.clone()).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        let body = rest.get(..length)?.to_owned();
        self.read.drain(..head.len() + 4 + length);
        assert!(head.lines().any(|line| line.starts_with("date: ") && line.ends_with(" GMT")), "{head}");
        let mut lines: Vec<String> =
            head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect();
        lines.sort();
        Some((lines, body))
    }
}

#[tokio::test]
async fn an_answer_is_the_same_whoever_reads_the_request() {
    let stage = stage(|limits| limits.body_bytes_max = 1_000).await;
    let body =
        |text: &str| format!("POST {INFER} HTTP/1.1\r\ncontent-length: {}\r\nPLACE\r\n{text}", text.len());
    let requests = [
        body(&one_row("a")),
        body(&one_row("a")).replace("PLACE", "X-User: ann\r\nx-request-id: other\r\nPLACE"),
        body(r#"{"inputs":[{"data":[1]}]}"#).replace("PLACE", "x-request-id: \ta \"b\" \r\nPLACE"),
        body("{}"),
        body(""),
        body(&one_row("a")).replace("PLACE", "inference-header-content-length: 9\r\nPLACE"),
        body(&one_row("a")).replace(INFER, "/fraud%40production/v2/models/fraud/infer"),
        body(&one_row("a")).replace(INFER, "/v2/models/fraud/infer"),
        body(&one_row("a")).replace(INFER, "/fraud@test/v2/models/fraud/infer"),
        body(&one_row("a")).replace(INFER, "/fraud@production/v2/models/other/infer"),
    ];
    for request in requests {
        let mut answers = vec![];
        // Only hyper knows of upgrades.
        for header in ["", "upgrade: h2c\r\n"] {
            let mut raw = Raw::of(&stage).await;
            raw.write(request.replace("PLACE", header)).await;
            answers.push(raw.answer().await.unwrap());
            raw.write(&self::request("next", "")).await;
            assert_eq!(raw.answer().await.unwrap().0[0], "HTTP/1.1 200 OK", "{request}");
        }
        assert_eq!(answers[0], answers[1], "{request}");
    }
    stage.loaded.unload("v1");
    let mut raw = Raw::of(&stage).await;
    raw.write(request("gone", "")).await;
    let (head, body) = raw.answer().await.unwrap();
    assert!(head.contains(&"retry-after: 1".to_owned()) && body.contains("RELEASE_GONE"), "{head:?} {body}");
}

#[tokio::test]
async fn requests_in_any_pieces_and_forms_are_answered_in_order() {
    let stage = stage(|_| {}).await;
    let chunked = |id: &str| {
        let (a, b) = (&one_row(id)[..9], &one_row(id)[9..]);
        let head = format!("POST {INFER} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        format!("{head}{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", a.len(), b.len())
    };
    let other = "GET /v2/health/live HTTP/1.1\r\n\r\n".to_owned();
    let bare = request("bare", "").replace("\r\n", "\n");
    for (name, requests, ids) in [
        ("plain", vec![request("1", ""), request("2", ""), request("3", "")], vec!["1", "2", "3"]),
        ("then chunks", vec![request("1", ""), chunked("2"), request("3", "")], vec!["1", "2", "3"]),
        ("then another", vec![request("1", ""), other, request("3", "")], vec!["1", "", "3"]),
        ("bare lines", vec![request("1", ""), bare.clone(), request("3", "")], vec!["1", "bare", "3"]),
        ("bare lines last", vec![request("1", ""), bare], vec!["1", "bare"]),
    ] {
        let bytes = requests.concat().into_bytes();
        for piece in [1, 7, 100, bytes.len()] {
            let mut raw = Raw::of(&stage).await;
            for part in bytes.chunks(piece) {
                raw.write(part).await;
                tokio::task::yield_now().await;
            }
            for id in &ids {
                let (head, body) = raw.answer().await.unwrap();
                assert_eq!(head[0], "HTTP/1.1 200 OK", "{name} in {piece}: {body}");
                assert!(id.is_empty() || head.contains(&format!("x-request-id: {id}")), "{name}: {head:?}");
            }
        }
    }
}

/// Each head has its own time: the alarm that was set when the connection began rings meanwhile, and ends nothing.
#[tokio::test]
async fn a_connection_outlives_the_time_of_a_head() {
    const HEAD_TIMEOUT_MS: u64 = 500;
    let stage = stage(|limits| limits.head_timeout_ms = HEAD_TIMEOUT_MS).await;
    let mut raw = Raw::of(&stage).await;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(2 * HEAD_TIMEOUT_MS) {
        raw.write(&request("a", "")).await;
        assert_eq!(raw.answer().await.unwrap().0[0], "HTTP/1.1 200 OK");
        tokio::time::sleep(Duration::from_millis(HEAD_TIMEOUT_MS / 20)).await;
    }
}

#[tokio::test]
async fn a_head_or_body_that_does_not_come_in_time_ends_the_connection() {
    let stage = stage(|limits| (limits.head_timeout_ms, limits.body_timeout_ms) = (500, 500)).await;
    let whole = request("a", "");
    let body_at = whole.find("\r\n\r\n").unwrap() + 4;
    for (sent, code) in [("", None), (&whole[..20], None), (&whole[..body_at + 9], Some("BODY_TOO_SLOW"))] {
        let mut raw = Raw::of(&stage).await;
        raw.write(&whole).await;
        assert_eq!(raw.answer().await.unwrap().0[0], "HTTP/1.1 200 OK");
        raw.write(sent).await;
        if let Some(code) = code {
            let (head, body) = raw.answer().await.unwrap();
            assert!(head[0].contains("408") && body.contains(code), "{head:?} {body}");
            assert!(head.contains(&"connection: close".to_owned()), "{head:?}");
        }
        assert_eq!(raw.answer().await, None, "{sent}");
    }
    assert_eq!(stage.gateway.counts().refused.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_caller_who_sends_early_has_not_hung_up() {
    let (stage, held) = held(|_| {}).await;
    let mut raw = Raw::of(&stage).await;
    for _ in 0..10 {
        raw.write(request("1", "")).await;
        held.begins().await;
        raw.write(request("2", "")).await;
        // Behind an answer to another caller the second request has been seen to come.
        stage.client.send(Method::GET, "/healthz", &[], "").await;
        held.let_go.add_permits(2);
        for id in ["1", "2"] {
            let (head, _) = raw.answer().await.expect("an answer");
            assert!(head.contains(&format!("x-request-id: {id}")), "{head:?}");
        }
        held.begins().await;
    }
}

#[tokio::test]
async fn on_stop_an_idle_connection_ends_and_a_busy_one_behind_its_answer() {
    // No connection ends because it was late.
    let (stage, held) = held(|limits| limits.drain_timeout_ms = 3 * PATIENCE.as_millis() as u64).await;
    let (mut idle, mut busy) = (Raw::of(&stage).await, Raw::of(&stage).await);
    held.let_go.add_permits(1);
    idle.write(request("idle", "")).await;
    idle.answer().await.unwrap();
    held.begins().await;
    busy.write(request("busy", "")).await;
    held.begins().await;
    let ended = tokio::spawn(stage.end());
    assert_eq!(idle.answer().await, None);
    held.let_go.add_permits(1);
    let (head, _) = busy.answer().await.unwrap();
    assert!(head.contains(&"connection: close".to_owned()), "{head:?}");
    assert_eq!(busy.answer().await, None);
    ended.await.unwrap();
}

/// Releases that infer when they are let.
#[derive(Debug)]
struct Held {
    loaded: Loaded,
    begun: Semaphore,
    let_go: Semaphore,
}

impl Held {
    async fn begins(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

#[async_trait::async_trait]
impl Backend for Held {
    async fn call(&self, call: &Call) -> Result<Reply, Fault> {
        if matches!(call.ask, Ask::Infer(_)) {
            self.begun.add_permits(1);
            self.let_go.acquire().await.unwrap().forget();
        }
        self.loaded.answer(call)
    }
}

async fn held(change: impl FnOnce(&mut Limits)) -> (Stage, Arc<Held>) {
    let stage = stage(change).await;
    let (begun, let_go) = (Semaphore::new(0), Semaphore::new(0));
    let held = Arc::new(Held { loaded: stage.loaded.clone(), begun, let_go });
    stage.gateway.place(bundle("v1"), Arc::clone(&held) as Arc<dyn Backend>);
    stage.gateway.apply(table(2, &[("v1", 10_000)])).await.unwrap();
    (stage, held)
}
