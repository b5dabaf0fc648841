//! An API over an engine in memory, with workers that answer every order at once and the same way each time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::auth::Users;
use api::{Api, Config, Engine, Loaded, NotSubmitted, Origin, Ports, Submitted, Workflows};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use domain::evidence::{ChangeVector, Evidence};
use domain::model::Signature;
use domain::name::Digest;
use domain::time::{Millis, Timestamp};
use domain::work::{Bundle, GatewayObserved, Order, Outcome, Packed, Planned, ServerLoaded};
use engine::embedded;
use engine::partition::{self, Answer, Bounds, Redispatch, WorkOrder};
use engine::port::clock;
use engine::port::memory;
use engine::request::{Report, Request as Ask, Said, WorkerAnswer};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt as _;
use wire::record::Lane;

const PARTITIONS: u32 = 2;
pub(crate) const WORKFLOW: &str = "workflow: gated
trigger: { models: [fraud, churn-*] }
stages:
  - { name: package, kind: package }
  - { name: board, kind: gate, with: { approvals: [{ role: ml }], four_eyes: true, expires: 7d } }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 1m } }
";

/// What a test drives.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) api: Arc<Api>,
    pub(crate) admin: String,
    pub(crate) driver: Arc<Driver>,
    pub(crate) blobs: Arc<memory::Blobs>,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn view<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        (self.status.as_u16(), self.json()["code"].as_str().unwrap().to_owned())
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = Arc::new(Users::open(folder.path()).unwrap());
        let admin = std::fs::read_to_string(users.create_admin_if_absent().unwrap()).unwrap();
        let database = Arc::new(memory::Embedded::new(PARTITIONS));
        let clock = Arc::new(memory::Clock::at(Timestamp(1_800_000_000_000)));
        let driver = Arc::new(Driver::open(&database, &clock));
        let blobs = Arc::new(memory::Blobs::default());
        let parsed = wire::definitions::pin_workflow(WORKFLOW).unwrap();
        let loaded =
            Loaded { name: parsed.name.clone(), file: "gated.yaml".into(), text: WORKFLOW.into(), parsed };
        let define = Said::Request(Box::new(Ask::Define(users.define())));
        let origin = Origin { input_id: "start".into(), traceparent: None };
        let defined = driver.submit(define, origin, Duration::ZERO).await.unwrap();
        assert!(matches!(defined, Submitted::Decided(Answer::Recorded { refused: None, .. })), "{defined:?}");
        let ports = Ports {
            engine: Arc::clone(&driver) as Arc<dyn Engine>,
            store: Arc::clone(&database) as Arc<dyn engine::port::store::Store>,
            log: database,
            blobs: Arc::clone(&blobs) as Arc<dyn engine::port::blobs::Blobs>,
            clock,
            users,
            workflows: Arc::new(Workflows(vec![loaded])),
            backups: Arc::new(NoBackups),
            parsers: wire::definitions::parsers(),
        };
        let api = Api::new(ports, config);
        let router = api::router(Arc::clone(&api));
        let admin = admin.trim().to_owned();
        Self { router, api, admin, driver, blobs, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Got { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::get(path).header("authorization", format!("Bearer {}", self.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::post(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// As the administrator, with JSON.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> Got {
        self.post(&self.admin, path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn publish(&self, event: &str) -> Got {
        self.post(&self.admin, "/v1/events", &[("content-type", "application/cloudevents+json")], event).await
    }

    /// Publishes and gives the run.
    pub(crate) async fn start(&self, model: &str, id: &str) -> String {
        let got = self.publish(&event(model, id)).await;
        assert_eq!(got.status, 202, "{}", got.text());
        got.json()["events"][0]["run"].as_str().unwrap().to_owned()
    }

    /// Adds a user and gives the token.
    pub(crate) async fn user(&self, name: &str, roles: &[&str]) -> String {
        let body = serde_json::json!({ "name": name, "roles": roles });
        let got = self.ask("/v1/users", &body.to_string()).await;
        assert_eq!(got.status, 201, "{}", got.text());
        got.json()["token"].as_str().unwrap().to_owned()
    }

    /// The digest that votes at the gate must name.
    pub(crate) async fn asked(&self, run: &str) -> String {
        let got = self.get(&format!("/v1/runs/{run}")).await.json();
        got["stages"][1]["gate"]["asked"].as_str().unwrap_or_else(|| panic!("{got:#}")).to_owned()
    }

    pub(crate) async fn approve(&self, token: &str, run: &str, key: &str) -> Got {
        let evidence = self.asked(run).await;
        let body = serde_json::json!({
            "kind": "approve", "stage": "board", "role": "ml", "rationale": "looks good", "evidence": evidence,
        });
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.post(token, &format!("/v1/runs/{run}/requests"), &headers, &body.to_string()).await
    }
}

/// A disk that takes no backups.
#[derive(Debug)]
struct NoBackups;

impl api::Backups for NoBackups {
    fn take(&self, to: &std::path::Path) -> Result<api::view::BackupView, api::NotTaken> {
        let text = format!("expected to make {}, but it is there already", to.display());
        Err(api::NotTaken { code: "BACKUP_EXISTS", text, hint: Some("name another"), is_askers: true })
    }
}

/// A `ModelTrained` event of this id; the version is the id.
pub(crate) fn event(model: &str, id: &str) -> String {
    serde_json::json!({
        "specversion": "1.0", "type": "io.modelrail.model.trained.v1", "source": "/training", "id": id,
        "data": {
            "model": model, "version": id, "owner": "olga",
            "artifact": { "uri": format!("file:///models/{id}.onnx"), "sha256": Digest::of(id.as_bytes()).hex() },
        },
    })
    .to_string()
}

/// Drives an embedded engine; what it orders is done at once.
#[derive(Debug)]
pub(crate) struct Driver {
    engine: Mutex<embedded::Engine>,
    clock: Arc<memory::Clock>,
    changes: watch::Sender<u64>,
    /// What `submit` gives instead of trying, and what `ready` says.
    pub(crate) broken: Mutex<Option<NotSubmitted>>,
    /// Why it may not know what is recorded.
    pub(crate) behind: Mutex<Option<NotSubmitted>>,
    /// Says that everything waits.
    pub(crate) slow: Mutex<bool>,
}

impl Driver {
    fn open(database: &Arc<memory::Embedded>, clock: &Arc<memory::Clock>) -> Self {
        let config = partition::Config {
            log_id: [9; 16],
            partition: 0,
            partitions: PARTITIONS,
            binary: "test".into(),
            parsers: wire::definitions::parsers(),
            key: engine::token::Key([3; 32]),
            redispatch: Redispatch::All,
            format: partition::Format::default(),
            bounds: Bounds::default(),
        };
        let database = Arc::clone(database) as Arc<dyn engine::port::store::Embedded>;
        let engine = embedded::Engine::open(&config, database, [1; 16]).unwrap();
        let (changes, _) = watch::channel(0);
        let driver = Self {
            engine: Mutex::new(engine),
            clock: Arc::clone(clock),
            changes,
            broken: Mutex::new(None),
            behind: Mutex::new(None),
            slow: Mutex::new(false),
        };
        driver.settle(None);
        driver
    }

    /// Lets time pass, and all that follows happen.
    pub(crate) fn advance(&self, span: Millis) {
        self.clock.advance(span);
        self.settle(None);
    }

    /// Passes until nothing is left to do; gives the answers of these tickets.
    fn settle(&self, wanted: Option<embedded::Ticket>) -> Option<Answer> {
        let mut engine = self.engine.lock().unwrap();
        let mut found = None;
        loop {
            let passed = engine.pass(clock::read(&*self.clock)).unwrap();
            assert!(passed.stopped.is_empty() && passed.alarms.is_empty(), "{passed:?}");
            for (partition, reply) in &passed.replies {
                let ticket =
                    embedded::Ticket { partition: *partition, lane: reply.lane, offset: reply.offset };
                if Some(ticket) == wanted {
                    found = Some(reply.answer.clone());
                }
            }
            for order in &passed.orders {
                let said = self.worked(order);
                let partition = engine.partition_for(&said).unwrap().unwrap();
                engine.offer(partition, Lane::Outcomes, said, None, None).unwrap();
            }
            if passed.orders.is_empty() && !engine.is_waiting() {
                break;
            }
        }
        self.changes.send_modify(|changes| *changes += 1);
        found
    }

    fn worked(&self, order: &WorkOrder) -> Said {
        let now = clock::read(&*self.clock).wall;
        let answer = WorkerAnswer::Done(answer(&order.command.order, now));
        Said::Report(Box::new(Report { attempt: order.command.attempt.clone(), token: order.token, answer }))
    }
}

#[async_trait]
impl Engine for Driver {
    async fn submit(&self, said: Said, origin: Origin, _: Duration) -> Result<Submitted, NotSubmitted> {
        if let Some(broken) = self.broken.lock().unwrap().clone() {
            return Err(broken);
        }
        let lane = match &said {
            Said::Trigger(_) => Lane::Triggers,
            Said::Request(_) => Lane::Requests,
            Said::Report(_) | Said::Observed { .. } => Lane::Outcomes,
        };
        let to = match self.engine.lock().unwrap().partition_for(&said) {
            Ok(Some(partition)) => partition..partition + 1,
            Ok(None) => 0..PARTITIONS,
            Err(refusal) => return Ok(Submitted::Decided(Answer::Refused(refusal))),
        };
        let mut answer = None;
        for partition in to {
            let (said, Origin { input_id, traceparent }) = (said.clone(), origin.clone());
            let ticket = self
                .engine
                .lock()
                .unwrap()
                .offer(partition, lane, said, Some(input_id), traceparent)
                .map_err(|_| NotSubmitted::Busy)?;
            answer = self.settle(Some(ticket));
        }
        if *self.slow.lock().unwrap() {
            return Ok(Submitted::Pending);
        }
        Ok(answer.map_or(Submitted::Pending, Submitted::Decided))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn ready(&self) -> Result<(), NotSubmitted> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn behind(&self) -> Option<NotSubmitted> {
        self.behind.lock().unwrap().clone()
    }

    fn metrics(&self) -> String {
        "# TYPE modelrail_inputs counter\nmodelrail_inputs_total 1".to_owned()
    }
}

/// What a worker that always succeeds answers.
fn answer(order: &Order, now: Timestamp) -> Outcome {
    let evidence = |what: &str| Evidence {
        digest: Digest::of(what.as_bytes()),
        measurements: vec![],
        findings: vec![],
        blobs: vec![],
    };
    match order {
        Order::Package(package) => Outcome::Packed(Packed {
            evidence: evidence("package").into(),
            bundle: Some(Arc::new(Bundle {
                digest: Digest::of_parts([&b"bundle"[..], &package.trained.artifact.sha256.0]),
                size: 3,
                format: "onnx".into(),
                artifact: package.trained.artifact.sha256,
                signature: Signature::default(),
                signed_by: None,
                change: ChangeVector::default(),
            })),
        }),
        Order::Test(_) | Order::Measure(_) | Order::Watch(_) => {
            Outcome::Measured(evidence("measured").into())
        }
        Order::Notify(_) => Outcome::Notified { review: None, delivered: vec![] },
        Order::Plan(_) => Outcome::Planned(Planned {
            digest: Digest::of(b"plan"),
            requests_per_second: f64::INFINITY,
            hours: None,
            requests_exposed: None,
            detectable: None,
        }),
        Order::Prepare(prepare) => {
            let mut bundles: Vec<Digest> = prepare.releases.iter().map(|release| release.bundle).collect();
            bundles.sort();
            let server = ServerLoaded { server: "s1".into(), bundles, failed: vec![], heard_at: now };
            Outcome::Prepared { servers: vec![server] }
        }
        Order::Apply(apply) => {
            let (generation, gateway) = (apply.table.generation, "g1".into());
            let (override_to, killed) = (None, vec![]);
            Outcome::Applied {
                gateways: vec![GatewayObserved { gateway, generation, override_to, killed, heard_at: now }],
            }
        }
    }
}
