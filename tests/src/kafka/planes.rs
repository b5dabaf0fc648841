//! A gateway and a model server as processes of their own, told by a topic and over HTTP, with this test in the place
//! of the rollout worker.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::model::{Release, Signature};
use domain::name::{AttemptId, Digest, ModelName, TargetId, Version};
use domain::routes::{Generation, Route, RouteTable, Sticky};
use domain::weight::Weight;
use engine::message::{decode_gateway_report, decode_label, decode_prediction, encode_table};
use log_kafka::{Begin, Bell, Followed, Follower, Publisher, Settings, Topic, Write, topics};
use reqwest::blocking::Client as Http;
use serde_json::{Value, json};
use stages::port::{RemoteServing, Serving as _};

use super::cluster::shared;
use super::nodes::{WANTED, settings};
use crate::process::{binary, examples, http};

const TARGET: &str = "flights-late@production";
const PATIENCE: Duration = Duration::from_mins(1);
const FEATURES: usize = 18;
/// How often callers ask after an old table came: it is taken within a few of their answers, if it is.
const ASKED_AFTERWARDS: usize = 300;

/// One process of distributed mode with a folder of its own. It is killed when this is dropped.
struct Process {
    child: Child,
    said: Value,
}

/// The folder of a process: its configuration and its data.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, role: &str, settings: &Settings, rest: &str) -> Process {
        let config = self.folder.path().join("modelrail.toml");
        let any = "listen = \"127.0.0.1:0\"";
        let text = format!(
            "[kafka]\nbrokers = {:?}\nprefix = {:?}\ndurability = \"single-broker\"\n[store]\ndata = {:?}\npartitions = 2\n\
             [model_server]\n{any}\n[gateway]\n{any}\nid = \"gateway-1\"\n[telemetry]\nlog = \"info\"\n{rest}",
            settings.brokers,
            settings.prefix,
            self.data(),
        );
        fs::write(&config, text).unwrap();
        let errors = fs::File::options().create(true).append(true).open(self.errors()).unwrap();
        let mut child = Command::new(binary())
            .args(["serve", "--output", "jsonl", "--roles", role, "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
        let line = line.unwrap_or_else(|| panic!("{role} ended: {}", self.told())).unwrap();
        Process { child, said: serde_json::from_str(&line).unwrap() }
    }

    fn errors(&self) -> PathBuf {
        self.folder.path().join("stderr.txt")
    }

    fn told(&self) -> String {
        fs::read_to_string(self.errors()).unwrap_or_default()
    }
}

impl Process {
    fn at(&self, name: &str) -> String {
        self.said[name].as_str().unwrap_or_else(|| panic!("{}", self.said)).to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: it never came about");
        std::thread::yield_now();
    }
}

/// The first record that `wanted` finds something in.
fn read<T>(settings: &Settings, topic: Topic, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> T {
    let (name, bell) = (topic.name(&settings.prefix), Bell::default());
    let follower = Follower::open(settings, &name, &Begin::Beginning, &bell, PATIENCE).unwrap();
    until(&name, || match follower.next(Duration::from_millis(100)).unwrap() {
        Some(Followed::Record(record)) => wanted(record.value.as_deref()?),
        Some(Followed::End) | None => None,
    })
}

fn infer(http: &Http, gateway: &str, id: &str) -> (u16, Value) {
    let inputs = json!([{ "name": "features", "datatype": "FP32", "shape": [1, FEATURES], "data": vec![0.5; FEATURES] }]);
    let url = format!("{gateway}/{TARGET}/v2/models/flights-late/infer");
    let Ok(answer) = http.post(url).json(&json!({ "id": id, "inputs": inputs })).send() else {
        return (0, Value::Null);
    };
    (answer.status().as_u16(), answer.json().unwrap_or_default())
}

fn status(http: &Http, url: String) -> u16 {
    http.get(url).send().map_or(0, |answer| answer.status().as_u16())
}

fn onnx(version: &str) -> Vec<u8> {
    fs::read(examples().join("models").join(format!("{version}.onnx"))).unwrap()
}

fn table(generation: u64, version: &str) -> RouteTable {
    let release =
        Release { version: Version::parse(version).unwrap(), bundle: Digest::of(&onnx(version)), run: None };
    RouteTable {
        target: TargetId::parse(TARGET).unwrap(),
        generation: Generation(generation),
        routes: vec![Route { release: release.clone(), weight: Weight::ALL }],
        stable: Some(release),
        sticky: Sticky::None,
    }
}

fn secret(folder: &Path, name: &str) -> String {
    let secret = Digest::of(name.as_bytes()).hex();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), &secret).unwrap();
    secret
}

#[test]
fn a_gateway_obeys_the_topic_serves_without_brokers_and_says_what_it_does() {
    let (settings, http) = (settings(shared()), http());
    topics::create(&settings, &WANTED).unwrap();
    let publisher = Publisher::open(&settings).unwrap();
    let write = |table: &RouteTable| {
        let key = format!("{}#{}", table.target, table.generation).into_bytes();
        let topic = Topic::Routes.name(&settings.prefix);
        let value = Some(encode_table(table));
        publisher.publish_and_wait(&Write { topic, key, value, ..Write::default() }).unwrap();
    };

    let (models, gateways) = (Home::new(), Home::new());
    let control = secret(&models.data(), "control.token");
    let kill = secret(&gateways.data(), "kill.token");
    let model_server = models.start("model-server", &settings, "");
    let server = RemoteServing::new(&model_server.at("models"), &control).unwrap();
    let model = ModelName::parse("flights-late").unwrap();
    let by = AttemptId::parse(&format!("{TARGET}.1")).unwrap();
    for version in ["v1", "v2"] {
        let bytes = onnx(version);
        server.load(&by, &model, Digest::of(&bytes), &bytes, &Signature::default()).unwrap();
    }
    // Twice, and in reverse order: the last is not the newest.
    for table in [table(2, "v2"), table(2, "v2"), table(1, "v1")] {
        write(&table);
    }
    let environments = format!("[environments.production]\nservers = [{:?}]\n", model_server.at("models"));
    let gateway = gateways.start("gateway", &settings, &environments);
    let at = gateway.at("gateway");
    until("ready", || (status(&http, format!("{at}/readyz")) == 200).then_some(()));
    let (code, answer) = infer(&http, &at, "one");
    assert_eq!(
        (code, answer["model_version"].as_str()),
        (200, Some(&*Digest::of(&onnx("v2")).hex())),
        "{answer}"
    );

    // While it serves, too: an older one that comes late is not taken.
    write(&table(1, "v1"));
    for asked in 0..ASKED_AFTERWARDS {
        let (code, answer) = infer(&http, &at, &format!("late-{asked}"));
        let version = answer["model_version"].as_str();
        assert_eq!((code, version), (200, Some(&*Digest::of(&onnx("v2")).hex())), "{asked}: {answer}");
    }

    let said = |generation: u64, killed: usize| {
        read(&settings, Topic::Gateways, |bytes| {
            let report = decode_gateway_report(bytes).unwrap();
            let served = report.targets.iter().find(|served| served.target.to_string() == TARGET)?;
            (served.generation.0 == generation && served.killed.len() == killed)
                .then(|| report.gateway.to_string())
        })
    };
    assert_eq!(said(2, 0), "gateway-1");
    let prediction = read(&settings, Topic::Predictions, |bytes| decode_prediction(bytes).ok());
    assert_eq!((prediction.request_id.as_str(), prediction.generation), ("one", Generation(2)));
    let labels = http.post(format!("{at}/{TARGET}/labels")).body(r#"{"id":"one","label":1}"#).send().unwrap();
    assert_eq!(labels.status(), 200);
    let label = read(&settings, Topic::Labels, |bytes| decode_label(bytes).ok());
    assert_eq!((label.request_id.as_str(), label.value), ("one", 1.0), "acknowledged before the caller was");

    drop(gateway);
    write(&table(3, "v1"));
    // Nobody listens there: as if all brokers were away.
    let away = Settings { brokers: "127.0.0.1:9".into(), ..settings.clone() };
    let gateway = gateways.start("gateway", &away, &environments);
    let at = gateway.at("gateway");
    until("kept", || (infer(&http, &at, "two").0 == 200).then_some(()));
    assert_eq!(
        status(&http, format!("{at}/readyz")),
        503,
        "it serves by what it kept, and does not know the newest"
    );
    let killed = http.post(format!("{at}/{TARGET}/kill")).bearer_auth(&kill).body(r#"{"release":"v2"}"#);
    assert_eq!(killed.send().unwrap().status(), 200, "the switch needs nobody");
    assert_eq!(infer(&http, &at, "three").0, 503);
    drop(gateway);

    let gateway = gateways.start("gateway", &settings, &environments);
    let at = gateway.at("gateway");
    until("ready again", || (status(&http, format!("{at}/readyz")) == 200).then_some(()));
    let (code, answer) = infer(&http, &at, "four");
    assert_eq!(
        (code, answer["model_version"].as_str()),
        (200, Some(&*Digest::of(&onnx("v1")).hex())),
        "{answer}"
    );
    assert_eq!(said(3, 0), "gateway-1", "a newer table that no longer names the killed ended the switch");
}
