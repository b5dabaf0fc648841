//! An installation moves to distributed mode and back: the log is the same, byte for byte, folds to the same states, and
//! each side goes on where the other was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::cluster::shared;
use super::fleet::{Fleet, PARTITIONS};
use crate::process::asking::{Client, asked};
use crate::process::light;
use crate::process::place::{Place, Said};

const OWNS: &str = "owns a partition";

fn good(said: &Said) {
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Of each partition: its head and the digest of all its states, as `verify` finds them.
fn folded(place: &Place, data: &Path) -> Vec<(Value, Value)> {
    let verified = place.run(&["verify", "--data", &text(data), "--output", "json"]);
    good(&verified);
    let verified = verified.json();
    let partitions = verified["partitions"].as_array().unwrap();
    let found: Vec<_> = partitions.iter().map(|it| (it["head"].clone(), it["state"].clone())).collect();
    assert!(found.iter().all(|(head, state)| head.is_string() && state.is_string()), "{verified}");
    found
}

/// What the log names and does not hold: blobs, keys, tokens, users.
fn copy_beside(from: &Path, secrets: &Path, to: &Path) {
    copy_folder(&from.join("blobs"), &to.join("blobs"));
    for entry in fs::read_dir(secrets).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if [".key", ".token", ".json"].iter().any(|end| name.ends_with(end)) {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn pull(fleet: &Fleet, to: &Path) -> Said {
    fleet.place.run(&["log", "pull", "--data", &text(to), "--output", "json"])
}

#[test]
fn a_log_moves_to_kafka_and_back_and_each_side_goes_on() {
    let alone = light::place();
    let mut server = alone.serve();
    let client = Client::new(Arc::new(Mutex::new(server.listening(&alone))), &alone.data());
    let ada = client.add("ada", &["ml"]);
    let run = client.publish(&light::gated("v1", "flights-moved", "moved-v1")).unwrap().run;
    client.until(&run, "asking people", |run| asked(run).is_some());
    server.stop();
    let before = folded(&alone, &alone.data());

    // To topics, in two calls: what is there is left as it is.
    let mut fleet = Fleet::with(shared(), alone.clone());
    fleet.place.set("MODELRAIL_SERVER__WAIT_SECONDS", "1".into());
    let root: PathBuf = alone.root().to_owned();
    let push =
        |fleet: &Fleet| fleet.place.run(&["log", "push", "--data", &text(&alone.data()), "--output", "json"]);
    let counts = |said: &Said, what: &str| -> u64 {
        good(said);
        said.json().as_array().unwrap().iter().map(|it| it[what].as_u64().unwrap()).sum()
    };
    let pushed = push(&fleet);
    assert!(counts(&pushed, "records") > 10 && counts(&pushed, "copied") == counts(&pushed, "records"));
    assert_eq!(counts(&push(&fleet), "copied"), 0);
    for folder in ["secrets", "blobs"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    copy_beside(&alone.data(), &alone.data(), &root.join("beside"));
    fs::rename(root.join("beside/blobs"), root.join("blobs-new")).unwrap();
    fs::remove_dir(root.join("blobs")).unwrap();
    fs::rename(root.join("blobs-new"), root.join("blobs")).unwrap();
    fs::remove_dir(root.join("secrets")).unwrap();
    fs::rename(root.join("beside"), root.join("secrets")).unwrap();

    // The same run goes on there.
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let view = client.run(&run);
    client.approve(&view, &ada, "key-1").expect("it asks").unwrap();
    client.until(&run, "approved", |run| {
        run.stages.iter().any(|stage| stage.name == "release-board" && stage.state == "pass")
    });
    assert!(client.verify().good);
    // Its folder is behind now: it cannot be pushed again.
    let ahead = push(&fleet);
    assert!(ahead.code == Some(1) && ahead.errors.contains("LOG_AHEAD"), "{ahead:?}");

    // What nobody has decided is not left behind unsaid.
    fleet.stop("one");
    let back = root.join("back");
    client.say(&light::plain("v1", "flights-late", "late-v1"));
    let refused = pull(&fleet, &back);
    let names_it = refused.errors.contains("INPUTS_WAIT") && refused.errors.contains("triggers");
    assert!(refused.code == Some(1) && names_it, "{refused:?}");
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let late = client.publish(&light::plain("v1", "flights-late", "late-v1")).unwrap().run;
    fleet.stop("one");
    // What stands there now are repeats, which leave no record: the event was published twice.
    good(&fleet.place.run(&["log", "pull", "--leave-inputs", "--data", &text(&back), "--output", "json"]));
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
    let there: Vec<(Value, Value)> =
        verified.partitions.into_iter().map(|it| (it.head.into(), it.state.into())).collect();
    assert_eq!(folded(&alone, &back), there, "the log and its copy fold to the same states");
    assert_ne!(there, before);

    // And back in one process: the same runs, the same people, and it decides.
    copy_beside(&root, &root.join("secrets"), &back);
    let mut server = alone.serve_on(&back);
    let client = Client::new(Arc::new(Mutex::new(server.listening(&alone))), &back);
    assert_eq!(client.runs().len(), 2);
    client.until(&late, "live", |run| run.state == "live");
    client.until(&run, "live", |run| run.state == "live");
    assert!(client.verify().good);
}
