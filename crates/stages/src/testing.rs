//! What tests share: workers on memory ports, the flights example, a real model server on a port of this machine.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use domain::check::{Check, Kind, Level};
use domain::evidence::Text;
use domain::model::{Artifact, Claim, Lineage, Release, Signature, Tensor, TestFile, Trained, TrainingSet};
use domain::name::{
    AttemptId, CheckName, Digest, Environment, ModelName, RunId, StageName, StreamId, Subject, TargetId,
    Version,
};
use domain::time::{Millis, Timestamp};
use domain::verdict::On;
use domain::work::{Bundle, Command, Order, Outcome, Package, Packed};
use domain::workflow::PackageWith;
use engine::port::memory;
use model_server::{KeepError, Keeper, Kept, Limits, Server};
use serde_json::Value;

use crate::config::{Config, Fetch};
use crate::port::memory as stage_memory;
use crate::port::{Endpoint, Ports, Serving, ServingError};
use crate::{Trouble, Workers};

pub(crate) const NOW: Timestamp = Timestamp(1_795_219_200_000);

pub(crate) fn flights() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights")
}

pub(crate) fn target() -> TargetId {
    TargetId::parse("flights-late@production").unwrap()
}

pub(crate) fn staging() -> Environment {
    Environment::parse("staging").unwrap()
}

pub(crate) fn run() -> RunId {
    RunId::derive("/test", "1", &target())
}

pub(crate) fn stage() -> StageName {
    StageName::parse("stage").unwrap()
}

/// Workers with the flights folder as their file root, and what their ports are made of.
pub(crate) struct Bench {
    pub workers: Workers,
    pub blobs: Arc<memory::Blobs>,
    pub predictions: Arc<memory::Predictions>,
    pub gateway: Arc<stage_memory::Gateway>,
}

pub(crate) fn bench() -> Bench {
    let (blobs, predictions) = (Arc::new(memory::Blobs::default()), Arc::new(memory::Predictions::default()));
    let gateway = Arc::new(stage_memory::Gateway::default());
    let ports = Ports {
        blobs: blobs.clone(),
        predictions: predictions.clone(),
        clock: Arc::new(memory::Clock::at(NOW)),
        referrers: Arc::new(stage_memory::Referrers::default()),
        servers: BTreeMap::new(),
        routers: gateway.clone(),
    };
    let fetch = Fetch { file_roots: vec![flights()], ..Fetch::default() };
    let workers = Workers { config: Config { fetch, ..Config::default() }, ports };
    Bench { workers, blobs, predictions, gateway }
}

pub(crate) fn command(order: Order) -> Command {
    Command {
        attempt: AttemptId { owner: StreamId::Run(run()), number: 1 },
        target: target(),
        effect_key: Digest::of(b"effect"),
        order,
        issued_at: NOW,
        lease: Millis::minutes(1),
        traceparent: None,
    }
}

impl Bench {
    pub(crate) fn carry_out(&self, order: Order) -> Outcome {
        self.workers.carry_out(&command(order), &|| false, &|_| {})
    }

    pub(crate) fn package(&self, trained: &Trained) -> Packed {
        match self.carry_out(Order::Package(package_order(trained))) {
            Outcome::Packed(packed) => packed,
            other => panic!("expected to pack, but {other:?}"),
        }
    }

    /// Packs, and gives the release.
    pub(crate) fn release(&self, trained: &Trained) -> (Release, Bundle) {
        let packed = self.package(trained);
        let bundle = packed.bundle.unwrap_or_else(|| panic!("{:?}", packed.evidence.findings));
        (
            Release { version: trained.version.clone(), bundle: bundle.digest, run: None },
            Bundle::clone(&bundle),
        )
    }

    pub(crate) fn measured(&self, order: Order) -> domain::evidence::Evidence {
        match self.carry_out(order) {
            Outcome::Measured(evidence) => std::sync::Arc::unwrap_or_clone(evidence),
            other => panic!("expected to measure, but {other:?}"),
        }
    }
}

pub(crate) fn package_order(trained: &Trained) -> Package {
    Package {
        run: run(),
        stage: stage(),
        trained: Arc::new(trained.clone()),
        with: PackageWith {
            formats: vec!["onnx".into()],
            size_max_bytes: 1 << 20,
            require: vec![],
            sign: false,
        },
        live: None,
    }
}

pub(crate) fn check(name: &str, kind: Kind) -> Check {
    Check { name: CheckName::parse(name).unwrap(), level: Level::Veto, on: On::TEST, kind }
}

/// The event of a flights model, as the ingress would read it.
pub(crate) fn trained(version: &str) -> Trained {
    let event = std::fs::read(flights().join(format!("{version}.json"))).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    let data = &event["data"];
    let text = |value: &Value| value.as_str().map(Text::from);
    let sha256 = |value: &Value| Digest::parse(value["sha256"].as_str().unwrap()).unwrap();
    let file = |value: &Value| TestFile {
        uri: text(&value["uri"]).unwrap(),
        sha256: sha256(value),
        label: text(&value["label"]),
    };
    let set = |value: &Value| TrainingSet {
        uri: text(&value["uri"]).unwrap(),
        version: text(&value["version"]),
        sha256: Some(sha256(value)),
        rows: value["rows"].as_u64(),
    };
    let claim = |value: &Value| Claim {
        name: text(&value["name"]).unwrap(),
        value: value["value"].as_f64().unwrap(),
        n: value["n"].as_u64(),
        slice: None,
        dataset: text(&value["dataset"]),
    };
    let parameters = data["hyperparameters"].as_object().unwrap();
    Trained {
        source: text(&event["source"]).unwrap(),
        id: text(&event["id"]).unwrap(),
        model: ModelName::parse(data["model"].as_str().unwrap()).unwrap(),
        version: Version::parse(data["version"].as_str().unwrap()).unwrap(),
        artifact: Artifact {
            uri: text(&data["artifact"]["uri"]).unwrap(),
            sha256: sha256(&data["artifact"]),
            size: data["artifact"]["size"].as_u64(),
            format: text(&data["artifact"]["format"]),
        },
        signature: Signature {
            inputs: tensors(&data["signature"]["inputs"]),
            outputs: tensors(&data["signature"]["outputs"]),
        },
        lineage: Lineage {
            code_repo: text(&data["code"]["repo"]),
            code_dirty: data["code"]["dirty"].as_bool(),
            training_sets: data["data"].as_array().unwrap().iter().map(set).collect(),
            features_view: text(&data["features"]["view"]),
            features_schema_version: text(&data["features"]["schema_version"]),
            hyperparameters: parameters.iter().map(|(k, v)| (k.as_str().into(), text(v).unwrap())).collect(),
            environment_lock: text(&data["environment"]["lock_sha256"]),
            ..Lineage::default()
        },
        claims: data["metrics"].as_array().unwrap().iter().map(claim).collect(),
        evaluation: Some(file(&data["evaluation"])),
        baseline: Some(file(&data["baseline_profile"])),
        risk_tier: text(&data["risk_tier"]),
        owner: data["owner"].as_str().map(|it| Subject::parse(it).unwrap()),
        publisher: None,
        traceparent: None,
    }
}

fn tensors(value: &Value) -> Vec<Tensor> {
    let tensor = |value: &Value| Tensor {
        name: value["name"].as_str().unwrap().into(),
        datatype: value["datatype"].as_str().unwrap().into(),
        shape: value["shape"].as_array().unwrap().iter().map(|it| it.as_i64().unwrap()).collect(),
    };
    value.as_array().unwrap().iter().map(tensor).collect()
}

/// The real model server, over HTTP on a port of this machine.
#[derive(Debug)]
pub(crate) struct LocalServer {
    kept: Kept,
    url: String,
    _runtime: tokio::runtime::Runtime,
}

impl LocalServer {
    pub(crate) fn start() -> Arc<Self> {
        let server = Server::new(Limits::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = server.clone();
        runtime.spawn(async move { serving.serve(listener, std::future::pending()).await });
        Arc::new(Self { kept: Kept::new(server), url, _runtime: runtime })
    }
}

impl Serving for LocalServer {
    fn name(&self) -> Text {
        "local".into()
    }

    fn load(
        &self,
        by: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        onnx: &[u8],
        signature: &Signature,
    ) -> Result<Endpoint, ServingError> {
        let tensors = |tensors: &[Tensor]| {
            let tensor = |it: &Tensor| model_server::Tensor {
                name: it.name.to_string(),
                datatype: model_server::Datatype::named(&it.datatype).unwrap(),
                shape: it.shape.clone(),
            };
            tensors.iter().map(tensor).collect()
        };
        let (inputs, outputs) = (tensors(&signature.inputs), tensors(&signature.outputs));
        let signature = model_server::Signature { inputs, outputs };
        let version = bundle.to_string();
        let owner = by.owner.to_string();
        let by = Keeper { name: &owner, attempt: by.number };
        match self.kept.load(by, model.as_str(), &version, onnx, Some(&signature)) {
            Ok(_) => Ok(Endpoint { url: self.url.clone(), model: model.to_string(), version: Some(version) }),
            Err(KeepError::Superseded(error)) => Err(ServingError::Superseded(error.to_string().into())),
            Err(KeepError::Load(error)) => {
                Err(ServingError::Refused { code: error.code().into(), text: error.to_string().into() })
            }
        }
    }

    fn keep(&self, by: &AttemptId, model: &ModelName, bundles: &[Digest]) -> Result<(), ServingError> {
        let versions: Vec<String> = bundles.iter().map(Digest::to_string).collect();
        let owner = by.owner.to_string();
        let by = Keeper { name: &owner, attempt: by.number };
        let kept = self.kept.keep(by, model.as_str(), versions.iter().map(String::as_str));
        kept.map_err(|error| ServingError::Superseded(error.to_string().into()))
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        let name = |it: &Arc<model_server::Loaded>| {
            (ModelName::parse(&it.model).unwrap(), Digest::parse(&it.version).unwrap())
        };
        Ok(self.kept.server().loaded().iter().map(name).collect())
    }
}

/// Servers for both environments.
pub(crate) fn with_servers(bench: &mut Bench) -> Arc<LocalServer> {
    let production = LocalServer::start();
    bench.workers.ports.servers.insert(staging(), vec![LocalServer::start()]);
    bench.workers.ports.servers.insert(target().environment, vec![production.clone()]);
    production
}

/// The codes of some findings.
pub(crate) fn codes(findings: &[domain::evidence::Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.code).collect()
}

/// What a piece of trouble is called in an outcome.
pub(crate) fn code_of(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::CouldNotTell { code, .. } => Some(code),
        _ => None,
    }
}

#[test]
fn work_that_is_no_longer_wanted_is_not_begun() {
    let bench = bench();
    let order = Order::Package(package_order(&trained("v1")));
    let outcome = bench.workers.carry_out(&command(order), &|| true, &|_| panic!("nothing was begun"));
    assert_eq!(code_of(&outcome), Some(Trouble::Cancelled.code()));
}

/// What a fake server answers to a path and a body.
pub(crate) type Answer = fn(&str, &Value) -> (u16, String);

/// A server that takes every model and answers as it is told: to see that each guard can go red.
#[derive(Debug)]
pub(crate) struct FakeServer {
    url: String,
    loaded: Mutex<Vec<(ModelName, Digest)>>,
}

impl FakeServer {
    pub(crate) fn start(answer: Answer) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || converse(&stream, answer));
            }
        });
        Arc::new(Self { url, loaded: Mutex::default() })
    }
}

/// Answers on one connection until the other side closes it.
fn converse(mut stream: &std::net::TcpStream, answer: Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let path = first.split(' ').nth(1)?;
        let (status, text) = answer(path, &serde_json::from_slice(&body).unwrap_or(Value::Null));
        let length = text.len();
        stream
            .write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{text}").as_bytes())
            .ok()?;
    }
}

impl Serving for FakeServer {
    fn name(&self) -> Text {
        "fake".into()
    }

    fn load(
        &self,
        _: &AttemptId,
        model: &ModelName,
        bundle: Digest,
        _: &[u8],
        _: &Signature,
    ) -> Result<Endpoint, ServingError> {
        self.loaded.lock().unwrap().push((model.clone(), bundle));
        Ok(Endpoint { url: self.url.clone(), model: model.to_string(), version: None })
    }

    fn keep(&self, _: &AttemptId, _: &ModelName, bundles: &[Digest]) -> Result<(), ServingError> {
        self.loaded.lock().unwrap().retain(|(_, bundle)| bundles.contains(bundle));
        Ok(())
    }

    fn loaded(&self) -> Result<Vec<(ModelName, Digest)>, ServingError> {
        Ok(self.loaded.lock().unwrap().clone())
    }
}
