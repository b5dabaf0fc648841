//! A gateway over loopback, its releases in process, and a client. The releases answer which of them they are.

mod connection;
mod current;
mod kill;
mod labels;
mod log;
mod requests;
mod routing;
mod switching;
mod tables;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use domain::model::Release;
use domain::name::{Digest, TargetId, Version};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::weight::Weight;
use engine::port::memory;
use engine::port::predictions::{Prediction, Predictions};
use http_body_util::{BodyExt, Full};
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::http::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{Ask, Call, Credential, Direct, Fault, Gateway, Limits, Reply, Settings};

pub(crate) const SECRET: &str = "the switch";
pub(crate) const INFER: &str = "/fraud@production/v2/models/fraud/infer";

pub(crate) fn target() -> TargetId {
    TargetId::parse("fraud@production").unwrap()
}

pub(crate) fn bundle(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

pub(crate) fn release(version: &str) -> Release {
    Release { version: Version::parse(version).unwrap(), bundle: bundle(version), run: None }
}

/// A table with the first release as the stable one.
pub(crate) fn table(generation: u64, shares: &[(&str, u16)]) -> RouteTable {
    let route = |(version, points): &(&str, u16)| Route {
        release: release(version),
        weight: Weight::basis_points(*points).unwrap(),
    };
    RouteTable {
        target: target(),
        generation: Generation(generation),
        routes: shares.iter().map(route).collect(),
        stable: shares.first().map(|(version, _)| release(version)),
        sticky: Sticky::Header("x-user".into()),
    }
}

/// The loaded releases and what each does when it is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded(Arc<Mutex<BTreeMap<Digest, (String, StatusCode)>>>);

impl Loaded {
    pub(crate) fn of(versions: &[&str]) -> Self {
        let loaded = Self::default();
        for version in versions {
            loaded.load(version, StatusCode::OK);
        }
        loaded
    }

    pub(crate) fn load(&self, version: &str, answers: StatusCode) {
        self.0.lock().unwrap().insert(bundle(version), (version.to_owned(), answers));
    }

    pub(crate) fn unload(&self, version: &str) {
        self.0.lock().unwrap().remove(&bundle(version));
    }

    pub(crate) fn answer(&self, call: &Call) -> Result<Reply, Fault> {
        let loaded = self.0.lock().unwrap();
        let (version, status) = loaded.get(&call.bundle).ok_or(Fault::Gone)?;
        let Ask::Infer(body) = &call.ask else {
            let body = json!({ "version": version }).to_string().into();
            return Ok(Reply { status: StatusCode::OK, content_type: None, body });
        };
        let asked: Value = serde_json::from_slice(body).unwrap();
        let body = json!({
            "model_name": call.model.as_str(), "model_version": version, "id": asked["id"],
            "outputs": [
                { "name": "probability", "datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75] },
                { "name": "label", "datatype": "INT64", "shape": [1], "data": [1] },
            ],
        });
        Ok(Reply { status: *status, content_type: None, body: body.to_string().into() })
    }
}

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) predictions: Arc<memory::Predictions>,
    pub(crate) loaded: Loaded,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: TestClient,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

impl Stage {
    pub(crate) async fn new(loaded: Loaded) -> Self {
        Self::with(loaded, tempfile::tempdir().unwrap(), |_| {}).await
    }

    pub(crate) async fn with(
        loaded: Loaded,
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let predictions = Arc::new(memory::Predictions::default());
        let answers = loaded.clone();
        let mut settings = Settings {
            id: "gateway-1".to_owned(),
            folder: folder.path().to_owned(),
            backend: Arc::new(Direct::new(move |call| answers.answer(call))),
            environments: BTreeMap::new(),
            predictions: predictions.clone(),
            kill: Some(Credential::new(SECRET)),
            limits: Limits::default(),
        };
        change(&mut settings);
        let gateway = Gateway::open(settings).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TestClient::new(listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = gateway.clone();
        let served = tokio::spawn(async move {
            serving.serve(listener, async { stopped.await.unwrap_or_default() }).await;
        });
        Self { gateway, predictions, loaded, folder, client, stop, served }
    }

    /// Ends the gateway and gives what a new one would find.
    pub(crate) async fn end(self) -> (Loaded, tempfile::TempDir) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        (self.loaded, self.folder)
    }

    pub(crate) async fn logged(&self) -> Vec<Prediction> {
        self.gateway.flush().await;
        let mut logged = vec![];
        let (from, to) = (domain::time::Timestamp(0), domain::time::Timestamp(u64::MAX));
        self.predictions.scan(&target(), from, to, &mut |it, _| logged.push(it.clone())).unwrap();
        logged
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TestClient {
    pub(crate) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

impl TestClient {
    fn new(address: SocketAddr) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Got {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        Got { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        self.send(Method::POST, path, headers, body).await
    }

    /// Infers one row as a user, and says which version answered.
    pub(crate) async fn answered_by(&self, user: &str) -> String {
        let got = self.post(INFER, &[("x-user", user)], one_row(&format!("of-{user}"))).await;
        assert_eq!(got.status, StatusCode::OK, "{got:?}");
        assert_eq!(got.header("x-modelrail-release"), got.body["model_version"]);
        got.body["model_version"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn kill(&self, secret: &str, body: &str) -> Got {
        let bearer = format!("Bearer {secret}");
        self.post("/fraud@production/kill", &[("authorization", &bearer)], body.to_owned()).await
    }
}

pub(crate) fn one_row(id: &str) -> String {
    json!({
        "id": id,
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0.5, -1, 2e1] }],
    })
    .to_string()
}
