//! Bundles in a registry: packed by one process, served by others whose folders were empty, also while the registry is
//! away.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::name::Digest;
use serde_json::{Value, json};

use super::cluster::shared;
use super::fleet::{Fleet, PATIENCE};
use crate::process::asking::{Client, http};
use crate::process::callers::Calling;
use crate::process::examples;
use crate::process::place::event;
use crate::process::registry::Registry;

const MODEL: &str = "flights-registry";
const FEATURES: usize = 18;
const REPOSITORY: &str = "team/models";
const ARTIFACT: &str = "application/vnd.cncf.model.manifest.v1+json";

fn until(fleet: &Fleet, what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: it never came about: {}", fleet.place.errors());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The bundle, by the tag under which its signatures are.
fn bundle(registry: &Registry) -> Digest {
    let (status, _, list) = registry.pull(&format!("{REPOSITORY}/tags/list"));
    assert_eq!(status, 200);
    let list: Value = serde_json::from_slice(&list).unwrap();
    let mut tags = list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
    let tag = tags.find_map(|tag| tag.strip_prefix("sha256-")).unwrap_or_else(|| panic!("{list}"));
    Digest::parse(tag).unwrap()
}

fn is_served(gateway: &str) -> bool {
    let inputs = json!([{ "name": "features", "datatype": "FP32", "shape": [1, FEATURES], "data": vec![0.5; FEATURES] }]);
    let url = format!("{gateway}/{MODEL}@production/v2/models/{MODEL}/infer");
    let answer = http().post(url).json(&json!({ "id": "x", "inputs": inputs })).send();
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[test]
fn what_one_process_packed_is_served_by_others_from_the_registry_and_while_it_is_away() {
    let mut registry = Registry::start();
    let mut fleet = Fleet::over(shared());
    // Each process in its own data folder: nothing but the registry is shared.
    fleet.place.set("MODELRAIL_BLOBS__FOLDER", String::new());
    for (name, value) in registry.variables(REPOSITORY) {
        fleet.place.set(name, value);
    }
    let mut api = fleet.place.serve_as("api", &fleet.folder("api"));
    let mut addresses = api.listening(&fleet.place);
    let mut models = fleet.place.serve_as("model-server", &fleet.folder("models"));
    let at = models.listening(&fleet.place).models;
    let environment = format!("[environments.production]\nservers = [{at:?}]\n");
    let mut config = std::fs::File::options().append(true).open(fleet.place.config()).unwrap();
    config.write_all(environment.as_bytes()).unwrap();
    let mut gateway = fleet.place.serve_as("gateway", &fleet.folder("gateway"));
    addresses.gateway = gateway.listening(&fleet.place).gateway;
    let current = Arc::new(Mutex::new(addresses));
    let client = Client::new(Arc::clone(&current), &fleet.folder("secrets"));
    fleet.start("engine");
    let _packs = fleet.work("packs", &["package"], &[]);
    let _tests = fleet.work("tests", &["stage-test"], &[]);
    let mut serves = fleet.work("serves", &["gate", "rollout", "monitor"], &[]);
    let _calling = Calling::start(&current, MODEL);
    let run = client.publish(&event("v1", MODEL, "registry-1")).unwrap().run;
    client.until(&run, "live", |run| run.state == "live");

    // Any tool gets the bundle by its digest, and the model by the manifest.
    let bundle = bundle(&registry);
    let (status, kind, bytes) = registry.pull(&format!("{REPOSITORY}/manifests/{bundle}"));
    assert_eq!((status, kind.as_str()), (200, "application/vnd.oci.image.manifest.v1+json"));
    assert_eq!(Digest::of(&bytes), bundle, "the very bytes");
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(manifest["artifactType"], ARTIFACT);
    let model = manifest["layers"][0]["digest"].as_str().unwrap();
    let (status, _, onnx) = registry.pull(&format!("{REPOSITORY}/blobs/{model}"));
    assert_eq!(status, 200);
    assert!(onnx == std::fs::read(examples().join("models/v1.onnx")).unwrap());
    assert!(!fleet.place.root().join("blobs").exists(), "no folder is shared");

    // Away: who serves starts again from nothing, and who loads from what it fetched.
    registry.go_away();
    serves.end();
    models.end();
    let listen = at.trim_start_matches("http://").to_owned();
    let mut models = fleet.place.serve_as_with(
        "model-server",
        &fleet.folder("models"),
        &[("MODELRAIL_MODEL_SERVER__LISTEN", listen)],
    );
    models.listening(&fleet.place);
    // It has nothing, so that whoever is answered is answered by what was loaded since.
    let _serves = fleet.work("serves", &["gate", "rollout", "monitor"], &[]);
    let gateway = current.lock().unwrap().gateway.clone();
    until(&fleet, "served again while the registry is away", || is_served(&gateway));

    // What is packed meanwhile waits, and goes on when it is back.
    let second = client.publish(&event("v1", "flights-later", "registry-2")).unwrap().run;
    until(&fleet, "the second waits for the registry", || {
        format!("{:?}", client.transitions(&second)).contains("BLOBS_UNREACHABLE")
    });
    registry.come_back();
    let _calling_later = Calling::start(&current, "flights-later");
    client.until(&second, "live", |run| run.state == "live");
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
}
