//! Workers as processes: they take what waits, end in the middle of it, come back, become more and fewer. Every command is
//! answered once, by the attempt that was issued first.

use std::thread;
use std::time::{Duration, Instant};

use api::view::RunView;
use engine::fail::Point;

use super::cluster::{Cluster, shared};
use super::engines::OWNS;
use super::fleet::{Fleet, PARTITIONS, PATIENCE};
use crate::process::asking::Client;
use crate::process::place::{Place, event};

const BOTH: [&str; 2] = ["package", "stage-test"];

fn publish(client: &Client, from: usize, to: usize) -> Vec<String> {
    let one = |number: usize| {
        let event = event("v1", &format!("flights-{number}"), &format!("event-{number}"));
        client.publish(&event).unwrap_or_else(|problem| panic!("event {number}: {problem:?}")).run
    };
    (from..to).map(one).collect()
}

/// With a verdict: on a machine that does other things too, a latency may not be told.
fn is_tested(run: &RunView) -> bool {
    let staging = run.stages.iter().find(|stage| stage.name == "staging");
    staging.is_some_and(|stage| ["pass", "inconclusive"].contains(&stage.state.as_str()))
}

/// Waits until the runs are tested, each by the first attempts at it.
fn all_are_tested(client: &Client, runs: &[String]) {
    for run in runs {
        client.until(run, "tested", is_tested);
        let told = format!("{:?}", client.transitions(run));
        let again = ["AttemptExpired", "AttemptDeclined", "AttemptFailed"];
        assert!(again.iter().all(|word| !told.contains(word)), "{run} was tried again: {told}");
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: it never came about");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_worker_that_ends_anywhere_goes_on_with_what_it_took() {
    let mut fleet = Fleet::over(shared());
    fleet.start("engine");
    let client = fleet.client();
    let points = [Point::E1, Point::E2, Point::E3, Point::E4, Point::E5, Point::E6];
    for (number, point) in points.into_iter().enumerate() {
        // The second time, which is the test: it takes longer than offsets are kept back.
        let failing = [("MODELRAIL_FAIL_AT", format!("{}:2", point.as_str()))];
        let mut worker = fleet.work("worker", &BOTH, &failing);
        let runs = publish(&client, number, number + 1);
        until(point.as_str(), || worker.was_aborted());
        let worker = fleet.work("worker", &BOTH, &[]);
        all_are_tested(&client, &runs);
        assert_eq!(worker.stop(), Some(0), "{}: {}", point.as_str(), fleet.place.errors());
    }
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
}

#[test]
fn workers_come_and_go_while_there_is_work() {
    let mut fleet = Fleet::over(shared());
    fleet.start("engine");
    let client = fleet.client();
    let one = fleet.work("one", &BOTH, &[]);
    let mut runs = publish(&client, 0, 6);
    let (two, three) = (fleet.work("two", &BOTH, &[]), fleet.work("three", &["package"], &[]));
    runs.extend(publish(&client, 6, 12));
    // What it has not begun goes to the others, what it has it ends.
    assert_eq!(one.stop(), Some(0), "{}", fleet.place.errors());
    runs.extend(publish(&client, 12, 18));
    assert_eq!(three.stop(), Some(0), "{}", fleet.place.errors());
    for run in &runs {
        client.until(run, "tested", is_tested);
    }
    assert_eq!(two.stop(), Some(0), "{}", fleet.place.errors());
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
}

/// The group lets one process at a time be the member of a name. The one that is none any more must not look like one.
#[test]
fn of_two_workers_of_one_name_the_first_ends_and_says_why() {
    let mut fleet = Fleet::over(shared());
    fleet.place.set("MODELRAIL_KAFKA__INSTANCE", "one".into());
    let mut first = fleet.work("first", &["package"], &[]);
    until("it takes part", || fleet.place.errors_of(&first).contains("commands are given to this worker"));
    let second = fleet.work("second", &["package"], &[]);
    until("the first ends", || first.has_ended());
    let said = fleet.place.errors_of(&first);
    assert!(said.contains("kafka.instance") && said.contains("error[WORKER_STOPPED]"), "{said}");
    assert_eq!(first.wait(), Some(1));
    assert_eq!(second.stop(), Some(0), "{}", fleet.place.errors());
}

/// A member of a group cannot leave it where nobody answers, and its client would try for ever.
#[test]
fn whoever_is_asked_to_end_while_the_brokers_are_away_ends() {
    let Some(cluster) = Cluster::own(1) else { return };
    let mut fleet = Fleet::over(&cluster);
    fleet.place.set("MODELRAIL_KAFKA__INSTANCE", "one".into());
    let mut worker = fleet.work("worker", &["package", "gate"], &[]);
    until("it takes part", || {
        fleet.place.errors_of(&worker).matches("commands are given to this worker").count() == 2
    });
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    cluster.kill(1);
    // It was silent beyond its session, as it knows itself.
    until("it is a member no more", || fleet.place.errors_of(&worker).contains("commands are another's"));
    worker.signal("TERM");
    fleet.signal("one", "TERM");
    until("the worker ends", || worker.has_ended());
    until("the engine ends", || fleet.has_ended("one"));
}

#[test]
fn what_a_worker_cannot_work_with_is_told() {
    let place = Place::new();
    let said = place.run(&["worker", "packages"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.errors.contains("expected one of package, stage-test, gate, rollout, monitor"), "{said:?}");
    // There are no brokers.
    let said = place.run(&["worker", "package"]);
    assert!(said.code != Some(0) && said.errors.contains("error[EMBEDDED]"), "{said:?}");
}
