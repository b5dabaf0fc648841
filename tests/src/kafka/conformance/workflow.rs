//! A run goes its whole way, from the event to live, over a worker in Python for one of its stages.

use std::fs;
use std::net::TcpListener;

use crate::kafka::cluster::shared;
use crate::kafka::fleet::{Fleet, PARTITIONS};
use crate::process::asking::asked;
use crate::process::place::event;

use super::receiver::Receiver;
use super::subject::{Around, Subject};

const WORKFLOW: &str = r#"workflow: gated
trigger: { models: [], target: "{model}@production" }
defaults: { timeout: 1m, retry: { attempts: 5, backoff: 100ms..500ms }, tick: 200ms }
stages:
  - name: package
    kind: package
    with: { formats: [onnx], size_max: 1MiB, require: [signature, data], sign: true }
  - name: staging
    kind: stage-test
    with:
      checks:
        - { check: smoke }
  - name: release-board
    kind: gate
    with:
      approvals: [{ role: ml, count: 1 }]
      four_eyes: true
      expires: 10m
  - name: switch
    kind: rollout
    with: { strategy: blue-green, bake: 300ms }
"#;

#[test]
fn a_run_goes_its_way_over_a_worker_in_python() {
    let generated = tempfile::tempdir().unwrap();
    let Some(subject) = Subject::in_python(generated.path()) else { return };
    let mut fleet = Fleet::over(shared());
    fs::write(fleet.place.root().join("workflows/gated.yaml"), WORKFLOW).unwrap();
    let models = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fleet.place.set("MODELRAIL_MODEL_SERVER__LISTEN", models.to_string());
    fleet.place.set("MODELRAIL_ENVIRONMENTS__PRODUCTION__SERVERS", format!("http://{models}"));
    fleet.start("engine");
    let client = fleet.client();
    fleet.start_as("model-server", "models");
    fleet.start_as("gateway", "gateway");
    let ours = fleet.work("ours", &["package", "stage-test", "rollout", "monitor"], &[]);
    let receiver = Receiver::start();
    let folder = fleet.folder("python");
    let around =
        Around { folder: &folder, settings: &fleet.settings, partitions: PARTITIONS, receiver: &receiver };
    let python = subject.start("gate", &around);

    let person = client.add("maria", &["ml"]);
    let mut event = event("v1", "flights-gated", "gated");
    event["data"]["workflow"] = "gated".into();
    let run = client.publish(&event).unwrap().run;
    let told = |run: &str| client.transitions(run).iter().map(|it| format!("{it:?}")).collect::<Vec<_>>();
    let is_told = |run: &str| told(run).iter().any(|line| line.contains("ApproversNotified"));
    let waiting = client.until(&run, "told to people", |view| asked(view).is_some() && is_told(&run));
    client.approve(&waiting, &person, "approved").expect("it asks").unwrap();
    client.until(&run, "live", |view| view.state == "live");
    let told = told(&run).join("\n");
    assert_eq!(told.matches("ApproversNotified").count(), 1, "{told}");
    let again = ["AttemptExpired", "AttemptDeclined", "AttemptFailed"];
    assert!(again.iter().all(|word| !told.contains(word)), "{told}");
    assert_eq!(receiver.all_calls(), 1, "people were told once, by the worker in Python");
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
    python.ask_to_end();
    let said = python.said();
    assert_eq!(python.wait(), Some(0), "{said}");
    assert_eq!(ours.stop(), Some(0), "{}", fleet.place.errors());
}
