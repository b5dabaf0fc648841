//! Tables that change under load, in process and over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use domain::name::{Digest, ModelName};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{INFER, Loaded, Stage, bundle, one_row, table};
use crate::{Ask, Call, Fault, Http, Reply};

const CHANGES: u64 = 1_000;
const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_through_1_000_table_changes_under_load() {
    through_changes(Stage::new(Loaded::of(&["v0"])).await, CHANGES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_through_table_changes_with_a_model_server_over_http() {
    let loaded = Loaded::of(&["v0"]);
    let answers = loaded.clone();
    let server = model_server(move |call| answers.answer(call)).await;
    let stage = Stage::with(loaded, tempfile::tempdir().unwrap(), |settings| {
        settings.backend = Arc::new(Http::at(server.address));
    });
    through_changes(stage.await, CHANGES / 10).await;
    server.stop().await;
}

/// Loads a release, leads half and then all callers to it, and unloads the former as soon as it is at no request.
async fn through_changes(stage: Stage, changes: u64) {
    stage.gateway.apply(table(1, &[("v0", 10_000)])).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, done) = (stage.client.clone(), Arc::clone(&done));
        clients.spawn(async move {
            let mut requests = 0_usize;
            let mut generation = 0;
            while !done.load(Relaxed) {
                let (user, id) = (requests.to_string(), format!("{client}-{requests}"));
                let got = http.post(INFER, &[("x-user", &user)], one_row(&id)).await;
                assert_eq!(got.status, StatusCode::OK, "{got:?}");
                assert_eq!(got.header("x-modelrail-release"), got.body["model_version"], "{got:?}");
                let newer: u64 = got.header("x-modelrail-generation").parse().unwrap();
                assert!(newer >= generation, "a caller never goes back to an older table");
                generation = newer;
                requests += 1;
            }
            requests
        });
    }
    for number in 0..changes / 2 {
        let (former, next) = (format!("v{number}"), format!("v{}", number + 1));
        stage.loaded.load(&next, StatusCode::OK);
        stage.gateway.apply(table(2 * number + 2, &[(&former, 5_000), (&next, 5_000)])).await.unwrap();
        stage.gateway.apply(table(2 * number + 3, &[(&next, 10_000)])).await.unwrap();
        while stage.gateway.in_flight(bundle(&former)) > 0 {
            tokio::task::yield_now().await;
        }
        stage.loaded.unload(&former);
    }
    done.store(true, Relaxed);
    let requests: usize = clients.join_all().await.into_iter().sum();
    let logged = stage.logged().await;
    assert!(requests >= CLIENTS);
    assert_eq!(logged.len(), requests);
    assert!(logged.iter().all(|it| !it.error));
    assert_eq!(stage.gateway.counts().requests.load(Relaxed), requests as u64);
}

/// A model server as far as the gateway knows one.
pub(super) struct ModelServer {
    pub(super) address: SocketAddr,
    stop: watch::Sender<()>,
}

impl ModelServer {
    /// Closes all connections and waits until they are.
    pub(super) async fn stop(self) {
        self.stop.send_replace(());
        self.stop.closed().await;
    }
}

type Answer = dyn Fn(&Call) -> Result<Reply, Fault> + Send + Sync;

pub(super) async fn model_server(
    answer: impl Fn(&Call) -> Result<Reply, Fault> + Send + Sync + 'static,
) -> ModelServer {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, mut stopped) = watch::channel(());
    let answer: Arc<Answer> = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.unwrap().0,
                _ = stopped.changed() => return,
            };
            let (answer, mut stopped) = (Arc::clone(&answer), stopped.clone());
            tokio::spawn(async move {
                let answers = service_fn(|request| respond(&*answer, request));
                let served = hyper::server::conn::http1::Builder::new();
                tokio::select! {
                    _ = served.serve_connection(TokioIo::new(stream), answers) => {}
                    _ = stopped.changed() => {}
                }
            });
        }
    });
    ModelServer { address, stop }
}

async fn respond(answer: &Answer, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let parts: Vec<&str> = head.uri.path().split('/').collect();
    let ["", "v2", "models", model, "versions", version, rest @ ..] = parts.as_slice() else {
        panic!("{}", head.uri)
    };
    let ask = match (head.method, rest) {
        (Method::POST, ["infer"]) => Ask::Infer(body),
        (Method::GET, ["ready"]) => Ask::Ready,
        (Method::GET, []) => Ask::Metadata,
        other => panic!("{other:?}"),
    };
    let model = ModelName::parse(model).unwrap();
    let call = Call::new(model, Digest::parse(version).unwrap(), ask);
    let mut response = Response::new(Full::default());
    match answer(&call) {
        Ok(reply) => {
            *response.status_mut() = reply.status;
            *response.body_mut() = Full::new(reply.body);
        }
        Err(_) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}
