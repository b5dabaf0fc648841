//! Shutting down: work under way ends first, nothing new is taken, and a second signal ends it at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::view::RunView;

use super::asking::{Client, Current, http};
use super::light;
use super::place::{Place, Server};

const MODEL: &str = "flights-drained";
/// How long a step of a run may take to come.
const SOON: Duration = Duration::from_mins(1);

/// A server with a run whose staging has just begun; it takes seconds.
fn with_work_under_way(place: &Place) -> (Server, String, String, String) {
    let mut server = place.serve();
    let addresses = server.listening(place);
    let current: Current = Arc::new(Mutex::new(addresses.clone()));
    let client = Client::new(current, &place.data());
    let run = client.publish(&light::slow("v1", MODEL, "drained-v1")).unwrap().run;
    let attempt = measuring(&client, &run);
    (server, addresses.api, run, attempt)
}

/// The attempt that measures, once there is one.
fn measuring(client: &Client, run: &str) -> String {
    let of =
        |run: &RunView| run.attempts.iter().find(|it| it.stage == "staging").map(|it| it.attempt.clone());
    of(&client.until(run, "measured", |run| of(run).is_some())).unwrap()
}

/// Status and text of an answer; nothing when it does not listen any more.
fn ready(api: &str) -> Option<(u16, String)> {
    let response = http().get(format!("{api}/readyz")).send().ok()?;
    Some((response.status().as_u16(), response.text().ok()?))
}

fn until_closing(api: &str) {
    let began = Instant::now();
    while !ready(api).is_some_and(|(status, text)| status == 503 && text.contains("CLOSING")) {
        assert!(began.elapsed() < SOON, "it never said that it closes");
    }
}

/// The state of staging as the folder has it.
fn staging(place: &Place, run: &str) -> String {
    let data = place.data();
    let shown = place.run(&["show", run, "--output", "json", "--data", data.to_str().unwrap()]).json();
    let stages = shown["stages"].as_array().unwrap();
    let staging = stages.iter().find(|stage| stage["name"] == "staging").unwrap();
    staging["state"].as_str().unwrap().to_owned()
}

#[test]
fn work_under_way_ends_before_the_process_does() {
    let place = light::place();
    let (server, api, run, _) = with_work_under_way(&place);
    server.signal("TERM");
    until_closing(&api);
    let refused = place.run(&["pause", &run, "--reason", "late", "--server", &api]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.errors.contains("CLOSING"), "{refused:?}");
    let read = place.run(&["show", &run, "--server", &api]);
    assert_eq!(read.code, Some(0), "reading goes on: {read:?}");
    assert_eq!(server.wait(), Some(0), "{}", place.errors());
    assert_ne!(staging(&place, &run), "working", "its outcome is recorded");
    let verified = place.run(&["verify", "--data", place.data().to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_work_is_done_after_the_next_start() {
    let place = light::place();
    let (server, api, run, attempt) = with_work_under_way(&place);
    server.signal("TERM");
    until_closing(&api);
    server.signal("INT");
    assert_eq!(server.wait(), Some(7), "{}", place.errors());
    assert_eq!(staging(&place, &run), "working");
    let mut server = place.serve();
    let current: Current = Arc::new(Mutex::new(server.listening(&place)));
    let client = Client::new(current, &place.data());
    assert_eq!(measuring(&client, &run), attempt, "under the same attempt id");
    let began = Instant::now();
    while client.run(&run).stages.iter().any(|stage| stage.name == "staging" && stage.state == "working") {
        assert!(began.elapsed() < SOON, "it is not measured again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.stop(), Some(0), "{}", place.errors());
}
