//! A model server that answers in every way that HTTP/1.1 allows, and in some that it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use domain::name::ModelName;
use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::bundle;
use crate::{Ask, Backend, Call, Fault, Http, Reply};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection does, request by request; then it is closed.
type Script = Vec<Step>;

enum Step {
    /// Reads a request whole and says this.
    Answer(Vec<u8>),
    /// Reads the head only and says this; the body stays where it is until the test ends.
    Refuse(Vec<u8>),
    /// Reads a request, tells so, and says this when told.
    Wait(oneshot::Sender<()>, oneshot::Receiver<()>, Vec<u8>),
    /// Tells that it is about to close.
    Close(oneshot::Sender<()>),
}

struct Scripted {
    http: Http,
    connections: Arc<AtomicUsize>,
}

/// Each connection follows the next script.
async fn scripted(scripts: Vec<Script>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::at(listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut refused = vec![];
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, SeqCst);
            for step in script {
                match step {
                    Step::Answer(text) => {
                        read_request(&mut stream).await;
                        stream.write_all(&text).await.unwrap();
                    }
                    Step::Refuse(text) => {
                        read_head(&mut stream).await;
                        stream.write_all(&text).await.unwrap();
                        refused.push(stream);
                        break;
                    }
                    Step::Wait(told, wait, text) => {
                        read_request(&mut stream).await;
                        told.send(()).unwrap();
                        wait.await.unwrap();
                        // Whoever asked may have gone.
                        let _ = stream.write_all(&text).await;
                        break;
                    }
                    Step::Close(told) => {
                        drop(stream);
                        told.send(()).unwrap();
                        break;
                    }
                }
            }
        }
        std::future::pending::<()>().await;
    });
    Scripted { http, connections }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_request(stream: &mut TcpStream) -> String {
    let head = read_head(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    head
}

fn ok(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

impl Scripted {
    async fn infer(&self, body: impl Into<Bytes>) -> Result<Reply, Fault> {
        let call = Call::new(ModelName::parse("fraud").unwrap(), bundle("v1"), Ask::Infer(body.into()));
        tokio::time::timeout(PATIENCE, self.http.call(&call)).await.expect("an answer in time")
    }

    async fn text(&self) -> String {
        String::from_utf8(self.infer("{}").await.unwrap().body.to_vec()).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

#[tokio::test]
async fn answers_of_every_form_are_read_to_their_end_and_the_connection_goes_on() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n";
    let early = [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), ok("second")].concat();
    let long = "x".repeat(300_000);
    let server = scripted(vec![vec![
        Step::Answer(chunked.to_vec()),
        Step::Answer(early),
        Step::Answer(ok(&long)),
        Step::Answer(ok("")),
        Step::Answer(b"HTTP/1.0 200 OK\r\n\r\nto the end".to_vec()),
    ]])
    .await;
    assert_eq!(server.text().await, "abcde");
    assert_eq!(server.text().await, "second");
    assert_eq!(server.text().await, long);
    assert_eq!(server.text().await, "");
    assert_eq!(server.text().await, "to the end");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_said_too_much_or_closes_is_not_asked_again() {
    let more = [ok("first"), ok("of nobody")].concat();
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi".to_vec();
    let server =
        scripted(vec![vec![Step::Answer(more)], vec![Step::Answer(close)], vec![Step::Answer(ok("third"))]])
            .await;
    for (said, connections) in [("first", 1), ("hi", 2), ("third", 3)] {
        assert_eq!(server.text().await, said);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_before_anything_is_sent() {
    let (closing, closed) = oneshot::channel();
    let server = scripted(vec![
        vec![Step::Answer(ok("first")), Step::Close(closing)],
        vec![Step::Answer(ok("second"))],
    ])
    .await;
    assert_eq!(server.text().await, "first");
    closed.await.unwrap();
    // Until this end has heard of it.
    tokio::time::timeout(PATIENCE, async {
        while server.http.has_quiet_connection() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(server.text().await, "second");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_given_up_when_the_answer_comes() {
    let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!".to_vec();
    let server = scripted(vec![vec![Step::Refuse(refusal)], vec![Step::Answer(ok("small"))]]).await;
    let reply = server.infer(vec![b' '; 32 << 20]).await.unwrap();
    assert_eq!((reply.status, &*reply.body), (StatusCode::PAYLOAD_TOO_LARGE, &b"no!"[..]));
    assert_eq!(server.text().await, "small", "the rest of the body is not taken for a request");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_answer_of_somebody_who_left_reaches_nobody_else() {
    let (told, asked) = oneshot::channel();
    let (answer, wait) = oneshot::channel();
    let server = scripted(vec![
        vec![Step::Wait(told, wait, ok("of the first"))],
        vec![Step::Answer(ok("of the second"))],
    ])
    .await;
    tokio::select! {
        _ = server.infer("{}") => panic!("nobody answers yet"),
        asked = asked => asked.unwrap(),
    }
    answer.send(()).unwrap();
    assert_eq!(server.text().await, "of the second");
}

#[tokio::test]
async fn broken_answers_are_faults_of_the_release() {
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let broken = [
        ("cut", head("content-length: 9\r\n\r\nabc")),
        ("too long", head("content-length: 99999999\r\n\r\n")),
        ("too long in chunks", head("transfer-encoding: chunked\r\n\r\nfffffff\r\n")),
        ("a chunk that lies", head("transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n")),
        ("a chunk without a size", head("transfer-encoding: chunked\r\n\r\nzz\r\n")),
        ("two lengths", head("content-length: 1\r\ncontent-length: 2\r\n\r\nab")),
        ("another protocol", b"220 SMTP ready\r\n\r\n".to_vec()),
        ("an upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec()),
        ("nothing", vec![]),
    ];
    for (name, text) in broken {
        let server = scripted(vec![vec![Step::Answer(text)], vec![Step::Answer(ok("sound"))]]).await;
        let fault = server.infer("{}").await.map(|reply| reply.body);
        assert!(matches!(fault, Err(Fault::Broken(_))), "{name}: {fault:?}");
        assert_eq!(server.text().await, "sound", "{name}");
    }
}
