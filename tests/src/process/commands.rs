//! The command line: asked of a server, and of the folder it left.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::asking::{Client, asked};
use super::callers::Calling;
use super::place::{Place, event};

const MODEL: &str = "flights-told";

#[test]
fn the_past_is_shown_explained_and_verified_alike_with_and_without_a_server() {
    let place = Place::new();
    let mut server = place.serve();
    let addresses = server.listening(&place);
    let current = Arc::new(Mutex::new(addresses.clone()));
    let client = Client::new(Arc::clone(&current), &place.data());
    let calling = Calling::start(&current, MODEL);
    let first = client.publish(&event("v1", MODEL, "told-v1")).unwrap().run;
    let live = client.until(&first, "live", |run| run.state == "live");
    let second = client.publish(&event("v2", MODEL, "told-v2")).unwrap().run;
    client.until(&second, "asking people", |run| asked(run).is_some() || run.ended);
    let data = place.data().display().to_string();

    // Of the server.
    let seq = live.seq.to_string();
    let at = |run: &str| place.run(&["replay", run, "--at", &seq, "--output", "json", "--data", &data]);
    let on_server =
        place.run(&["replay", &first, "--at", &seq, "--output", "json", "--server", &addresses.api]).json();
    assert_eq!(on_server["state"]["state"], "live");
    let waits = place.run(&["why", &second, "--server", &addresses.api]);
    assert_eq!(waits.code, Some(0), "{waits:?}");
    assert!(waits.out.contains("people"), "{waits:?}");
    let unknown = place.run(&["show", "zzzzzzzz", "--server", &addresses.api]);
    assert_ne!(unknown.code, Some(0), "{unknown:?}");
    assert!(unknown.errors.contains("error["), "{unknown:?}");
    let stranger = place.run(&["runs", "--server", &addresses.api, "--token", "none"]);
    assert_eq!(stranger.code, Some(6), "{stranger:?}");
    let early = place.run(&["promote", &second, "--reason", "at once", "--server", &addresses.api]);
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.errors.contains("error[") && early.errors.contains("hint: "), "{early:?}");
    let vote = ["approve", &second, "release-board", "--role", "ml", "--rationale", "seen"];
    let unseen = place.run(&[&vote[..], &["--server", &addresses.api]].concat());
    assert_eq!(unseen.code, Some(2), "nobody votes on evidence that was not named: {unseen:?}");
    let aborted = place.run(&["abort", &second, "--reason", "enough", "--server", &addresses.api]);
    assert_eq!(aborted.code, Some(0), "{aborted:?}");
    client.until(&second, "ended", |run| run.ended);
    drop(calling);
    assert_eq!(server.stop(), Some(0), "{}", place.errors());

    // Of the folder.
    let gone = place.run(&["publish", "workflows/quick-canary.yaml", "--server", &addresses.api]);
    assert_eq!(gone.code, Some(2), "{gone:?}");
    let gone = place.run(&["runs", "--server", &addresses.api]);
    assert_eq!(gone.code, Some(5), "{gone:?}");
    let (once, twice) = (at(&first).json(), at(&first).json());
    assert_eq!(once["state_sha256"], twice["state_sha256"]);
    assert_eq!(once["state_sha256"], on_server["state_sha256"], "the folder tells what the server told");
    assert_eq!(once["transition"]["seq"].as_u64(), Some(live.seq));
    let timeline = place.run(&["show", &first, "--timeline", "--data", &data]);
    assert_eq!(timeline.code, Some(0), "{timeline:?}");
    let earlier = live.seq - 1;
    let before =
        place.run(&["replay", &first, "--at", &earlier.to_string(), "--output", "json", "--data", &data]);
    assert_ne!(before.json()["state_sha256"], once["state_sha256"]);
    explained(&place, &first, &data);
    let verified = place.run(&["verify", "--output", "json", "--data", &data]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(verified.json()["good"], true);
    let listed = place.run(&["runs", "--output", "json", "--data", &data]).json();
    let states: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|run| run["state"].as_str()).collect();
    assert_eq!(states, ["aborted", "live"]);
}

/// Each verdict of staging is there with the numbers it rests on.
fn explained(place: &Place, run: &str, data: &str) {
    let said = place.run(&["explain", run, "staging", "--output", "json", "--data", data]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let json = said.json();
    let empty = vec![];
    let stages = json["stages"].as_array().unwrap_or(&empty);
    let checks = stages.iter().flat_map(|stage| stage["checks"].as_array().unwrap_or(&empty));
    let quality: Vec<&Value> = checks.filter(|check| check["kind"] == "quality").collect();
    assert_eq!(quality.len(), 1, "{json:#}");
    let judgement = &quality[0]["judgement"];
    assert_eq!(judgement["verdict"], "pass", "{json:#}");
    let number = |name: &str| judgement[name].as_f64().unwrap_or_else(|| panic!("no {name} in {json:#}"));
    assert!(number("lower") < number("value") && number("value") < number("upper"));
    assert!(number("lower") >= number("bound"));
}
