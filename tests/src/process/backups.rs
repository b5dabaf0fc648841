//! A backup of a working server, restored after `kill -9`: nothing up to it is lost, it goes on as the same log, and two
//! copies that both went on are told from each other.

use std::path::Path;
use std::sync::{Arc, Mutex};

use api::view::RunList;
use serde_json::Value;

use super::asking::{Client, Current, asked};
use super::callers::Calling;
use super::light;
use super::place::{Place, Said};

const MODEL: &str = "flights-kept";
const OTHER: &str = "flights-kept-other";

/// The digests of a run's state and of the record they are of, as the folder tells them.
fn state(place: &Place, run: &str, data: &Path) -> (Value, Value) {
    let said = place.run(&["replay", run, "--output", "json", "--data", text(data)]).json();
    (said["state_sha256"].clone(), said["transition"]["seq"].clone())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn good(said: &Said) {
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_backup_under_load_is_restored_after_a_kill_and_goes_on_as_the_same_log() {
    let place = light::place();
    let mut server = place.serve();
    let addresses = server.listening(&place);
    let current: Current = Arc::new(Mutex::new(addresses.clone()));
    let client = Client::new(Arc::clone(&current), &place.data());
    let calling = Calling::start(&current, MODEL);
    let live = client.publish(&light::plain("v1", MODEL, "kept-v1")).unwrap().run;
    client.until(&live, "live", |run| run.state == "live");
    let waits = client.publish(&light::gated("v2", MODEL, "kept-v2")).unwrap().run;
    client.until(&waits, "asking people", |run| asked(run).is_some());
    let others = Calling::start(&current, OTHER);
    let late = client.publish(&light::plain("v1", OTHER, "kept-other")).unwrap().run;

    // Callers call, a run is under way.
    let backup = place.root().join("backup");
    let taken = place.run(&["backup", text(&backup), "--output", "json", "--server", &addresses.api]);
    good(&taken);
    let records: u64 =
        taken.json()["heads"].as_array().unwrap().iter().map(|head| head["records"].as_u64().unwrap()).sum();
    let again = place.run(&["backup", text(&backup), "--server", &addresses.api]);
    assert!(again.errors.contains("BACKUP_EXISTS"), "{again:?}");
    // What comes after it is in the folder only.
    client.until(&late, "live", |run| run.state == "live");
    drop((calling, others));
    server.kill();

    let data = place.data();
    let refused = place.run(&["restore", text(&backup), "--data", text(&data)]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.errors.contains("RESTORE_LOSES") && refused.errors.contains("acknowledged records"));
    let served = place.run(&["runs", "--data", text(&backup)]);
    assert!(served.errors.contains("DATA_IS_BACKUP"), "{served:?}");
    let copy = place.root().join("copy");
    let restored = place.run(&["restore", text(&backup), "--data", text(&copy), "--output", "json"]);
    good(&restored);
    assert_eq!(restored.json()["log"], taken.json()["log"]);
    good(&place.run(&["verify", "--data", text(&copy)]));
    for run in [&live, &waits] {
        assert_eq!(state(&place, run, &data), state(&place, run, &copy), "a run from before the backup");
    }
    // The copy is the beginning of the folder.
    let compared =
        place.run(&["verify", "--data", text(&data), "--against", text(&copy), "--output", "json"]);
    good(&compared);
    let verdicts = verdicts(&compared);
    assert!(verdicts.iter().all(|verdict| verdict == "same" || verdict == "other_behind"), "{verdicts:?}");
    assert!(verdicts.iter().any(|verdict| verdict == "other_behind"), "{verdicts:?}");

    // Both go on: the run that people are asked about ends in both, otherwise in each.
    for (data, reason) in [(&copy, "in the copy"), (&data, "in the original")] {
        let mut server = place.serve_on(data);
        let current: Current = Arc::new(Mutex::new(server.listening(&place)));
        let client = Client::new(Arc::clone(&current), data);
        let others = Calling::start(&current, OTHER);
        let listed: RunList = client.get("/v1/runs");
        assert!(listed.runs.iter().any(|run| run.run == waits));
        client.until(&late, "live", |run| run.state == "live");
        let aborted = place.run(&[
            "abort",
            &waits,
            "--reason",
            reason,
            "--server",
            &current.lock().unwrap().api,
            "--data",
            text(data),
        ]);
        good(&aborted);
        client.until(&waits, "ended", |run| run.ended);
        drop(others);
        assert_eq!(server.stop(), Some(0), "{}", place.errors());
        good(&place.run(&["verify", "--data", text(data)]));
    }
    let compared =
        place.run(&["verify", "--data", text(&data), "--against", text(&copy), "--output", "json"]);
    assert_eq!(compared.code, Some(1), "{compared:?}");
    let forks = compared.json();
    for fork in forks.as_array().unwrap() {
        assert_eq!(fork["verdict"], "forked", "{fork}: each start claims each partition");
        if fork["common"] == fork["theirs"] {
            continue;
        }
        let words = fork["their_next"].as_str().unwrap();
        assert!(words.contains("claimed by") && words.contains("restored at"), "{fork}");
    }
    let in_common: u64 = forks.as_array().unwrap().iter().map(|fork| fork["common"].as_u64().unwrap()).sum();
    assert_eq!(in_common, records, "they part where the backup was taken");
    // And a backup of the one is not put over the other.
    let of_copy = place.root().join("of-copy");
    good(&place.run(&["backup", text(&of_copy), "--data", text(&copy)]));
    let refused = place.run(&["restore", text(&of_copy), "--data", text(&data), "--replace"]);
    assert!(
        refused.errors.contains("RESTORE_LOSES") && refused.errors.contains("another way"),
        "{refused:?}"
    );
}

fn verdicts(said: &Said) -> Vec<Value> {
    said.json().as_array().unwrap().iter().map(|compared| compared["verdict"].clone()).collect()
}
