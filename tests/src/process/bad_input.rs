//! What people get wrong: each is told by its code, its field and what to do; what was accepted before is untouched.

use std::fs;
use std::sync::{Arc, Mutex};

use api::view::{FindingView, ProblemBody, RunView};
use serde_json::{Value, json};

use super::asking::{Client, GATE, asked};
use super::callers::Calling;
use super::place::{Place, Said, event, examples};

const MODEL: &str = "flights-kept";

/// The SHA-256 of bytes, as events name it.
fn sha256(bytes: &[u8]) -> String {
    domain::name::Digest::of(bytes).hex()
}

/// An event whose artifact is these bytes.
fn of_bytes(place: &Place, name: &str, bytes: &[u8]) -> Value {
    let path = place.artifacts().join(name);
    fs::write(&path, bytes).unwrap();
    let mut event = event("v1", &format!("flights-{name}"), name);
    let artifact = &mut event["data"]["artifact"];
    artifact["uri"] = format!("file://{}", path.display()).into();
    artifact["sha256"] = sha256(bytes).into();
    artifact["size"] = bytes.len().into();
    event
}

/// A run that is live, and what it was then.
fn live(client: &Client) -> (String, Vec<(u64, String)>) {
    let run = client.publish(&event("v1", MODEL, "kept-v1")).unwrap().run;
    client.until(&run, "live", |run| run.state == "live");
    (run.clone(), history(client, &run))
}

fn history(client: &Client, run: &str) -> Vec<(u64, String)> {
    client.transitions(run).into_iter().map(|transition| (transition.seq, transition.hash)).collect()
}

fn findings(run: &RunView) -> Vec<FindingView> {
    let evidence = run.stages.iter().flat_map(|stage| &stage.evidence);
    evidence.flat_map(|evidence| evidence.findings.clone()).collect()
}

/// A problem has this code, names this field, and says what to do.
fn holds(problem: &ProblemBody, code: &str, field: Option<&str>, hint: Option<&str>) {
    assert_eq!(problem.code, code, "{problem:#?}");
    assert_eq!(problem.field.as_deref(), field, "{problem:#?}");
    if let Some(expected) = hint {
        let found = problem.hint.as_deref().unwrap_or_default();
        assert!(found.contains(expected), "{problem:#?}");
    }
}

#[test]
fn bad_input_is_told_and_leaves_what_was_accepted_untouched() {
    let place = Place::new();
    let mut server = place.serve();
    let current = Arc::new(Mutex::new(server.listening(&place)));
    let client = Client::new(Arc::clone(&current), &place.data());
    let calling = Calling::start(&current, MODEL);
    let (kept, before) = live(&client);

    bad_artifacts(&place, &client);
    bad_events(&client);
    bad_votes(&client);
    bad_folders(&place);

    let run = client.run(&kept);
    assert_eq!(run.state, "live", "{run:#?}");
    assert!(history(&client, &kept).starts_with(&before), "what was accepted before has changed");
    let target: api::view::TargetView = client.get(&format!("/v1/targets/{MODEL}@production"));
    assert_eq!(target.live.and_then(|live| live.release.run), Some(kept));
    assert!(client.verify().good);
    drop(calling);
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
}

/// Each becomes a run that ends with what was found.
fn bad_artifacts(place: &Place, client: &Client) {
    let good = fs::read(examples().join("models/v1.onnx")).unwrap();
    let mut wrong_sha = of_bytes(place, "sha", &good);
    wrong_sha["data"]["artifact"]["sha256"] = sha256(b"other").into();
    let mut wrong_width = of_bytes(place, "width", &good);
    wrong_width["data"]["signature"]["inputs"][0]["shape"][1] = 17.into();
    let pickle = b"\x80\x04cposix\nsystem\n\x8c\x02id\x85R.";
    let cases = [
        (of_bytes(place, "garbage", &[0xA7; 4_096]), "MODEL_UNREADABLE"),
        (of_bytes(place, "truncated", &good[..good.len() / 2]), "MODEL_UNREADABLE"),
        (wrong_sha, "DIGEST_MISMATCH"),
        (wrong_width, "SIGNATURE_MISMATCH"),
        (of_bytes(place, "pickle", pickle), "PICKLE_PRESENT"),
    ];
    for (event, code) in cases {
        let run = client.publish(&event).unwrap().run;
        let ended = client.until(&run, "ended", |run| run.ended);
        let found = findings(&ended);
        let named = found.iter().find(|finding| finding.code == code);
        assert!(
            named.is_some_and(|it| it.field.is_some() && it.hint.is_some()),
            "{}: {ended:#?}",
            event["id"]
        );
        assert!(found.iter().all(|finding| !finding.text.is_empty()), "{found:?}");
        assert_eq!((ended.state.as_str(), ended.generation), ("blocked", None), "{}", event["id"]);
    }
}

/// None becomes a run.
fn bad_events(client: &Client) {
    let runs = client.runs().len();
    let mut bare = event("v1", MODEL, "bare");
    let data = bare["data"].as_object_mut().unwrap();
    for field in ["model", "version", "artifact"] {
        data.remove(field).unwrap();
    }
    let problem = client.publish(&bare).unwrap_err();
    assert_eq!(problem.code, "MISSING", "{problem:#?}");
    let mut fields: Vec<_> = problem.problems.iter().filter_map(|fault| fault.field.as_deref()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["data.artifact", "data.model", "data.version"], "{problem:#?}");

    let mut unmatched = event("v2", "flihgts-late", "unmatched");
    unmatched["data"].as_object_mut().unwrap().remove("workflow");
    let problem = client.publish(&unmatched).unwrap_err();
    holds(&problem, "NO_WORKFLOW", Some("model"), Some("flights-*"));
    assert_eq!(client.runs().len(), runs, "a refused event became a run");
}

/// Votes that four eyes forbid; nobody's vote counts twice.
fn bad_votes(client: &Client) {
    let both = client.add("both", &["ml", "business"]);
    let owner = client.add("oda", &["ml"]);
    let other = client.add("zoe", &["ops"]);
    let mut event = event("v2", MODEL, "kept-v2");
    event["data"]["owner"] = "oda".into();
    let run = client.publish(&event).unwrap().run;
    let view = client.until(&run, "asking people", |run| asked(run).is_some() || run.ended);
    let problem = client.approve(&view, &owner, "owner").unwrap().unwrap_err();
    holds(&problem, "SOD_VIOLATION", Some("actor"), Some("neither owns nor published"));
    let stranger = super::asking::Person { role: "ml", ..other };
    let problem = client.approve(&view, &stranger, "stranger").unwrap().unwrap_err();
    assert_eq!(problem.status, 403, "{problem:#?}");
    client.approve(&view, &both, "first").unwrap().unwrap();
    let again = super::asking::Person { role: "business", ..both.clone() };
    let problem = client.approve(&view, &again, "second").unwrap().unwrap_err();
    holds(&problem, "ALREADY_VOTED", Some("actor"), Some("another person"));
    let other_evidence = json!({
        "kind": "approve", "stage": GATE, "role": "business", "rationale": "unseen", "evidence": "0".repeat(64),
    });
    assert!(client.request(&run, &both.token, "unseen", &other_evidence).is_err());
    let gate = client.run(&run);
    let votes: usize =
        gate.stages.iter().filter_map(|stage| stage.gate.as_ref()).map(|it| it.votes.len()).sum();
    assert_eq!(votes, 1, "{gate:#?}");
}

/// A folder that is in use, and one that another release wrote.
fn bad_folders(place: &Place) {
    let told = |said: &Said, exit: i32, code: &str| {
        assert_eq!(said.code, Some(exit), "{said:?}");
        assert!(said.errors.contains(&format!("error[{code}]")), "{said:?}");
        assert!(said.errors.contains("field: "), "{said:?}");
        assert!(said.errors.contains("hint: "), "{said:?}");
    };
    told(&place.run(&["serve"]), 2, "DATA_IN_USE");
    let other = Place::new();
    drop({
        let mut server = other.serve();
        server.listening(&other);
        server
    });
    let format = other.data().join("FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replacen("modelrail-data 1", "modelrail-data 2", 1)).unwrap();
    told(&other.run(&["serve"]), 2, "DATA_VERSION");
    fs::write(&format, text).unwrap();
    let mut server = other.serve();
    server.listening(&other);
    assert_eq!(server.stop(), Some(0), "a folder that was refused still opens");
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_place() {
    let place = Place::new();
    let missing =
        place.run(&["publish", "nowhere.json", "--server", "http://127.0.0.1:9", "--token", "none"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    for part in ["error[EVENT_FILE]", "nowhere.json", "field: FILE", "hint: "] {
        assert!(missing.errors.contains(part), "{part}: {missing:?}");
    }
    let text = fs::read_to_string(place.root().join("workflows/quick-canary.yaml")).unwrap();
    let typo = place.root().join("typo.yaml");
    fs::write(&typo, text.replacen("kind: rollout", "kind: rolout", 1)).unwrap();
    let line = text.lines().position(|line| line.contains("kind: rollout")).unwrap() + 1;
    let checked = place.run(&["workflow", "check", "typo.yaml"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let expected = format!("typo.yaml:{line}:11: problem[UNKNOWN_NAME]: stages[3].kind: ");
    assert!(checked.out.contains(&expected), "{checked:?}");
    assert!(checked.out.contains("did you mean `rollout`?"), "{checked:?}");
    fs::copy(&typo, place.root().join("workflows/typo.yaml")).unwrap();
    let refused = place.run(&["serve"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.errors.contains("error[WORKFLOWS]") && refused.errors.contains("hint: "), "{refused:?}");
}
