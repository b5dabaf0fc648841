//! Engines that are started, killed, frozen and thawed while events come: every event is one run, whoever decided it,
//! and every process reads the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use api::view::EventAnswer;
use engine::port::log::Log as _;
use log_kafka::{KafkaLog, Topic};
use rocks::{Folder, NewLog};
use serde_json::json;
use wire::record::Lane;

use super::cluster::{Cluster, shared};
use super::fleet::{Fleet, PARTITIONS, PATIENCE};
use super::nodes::{WANTED, settings};
use super::vandal::Vandal;
use crate::process::asking::{Client, http};
use crate::process::place::event;

pub(super) const OWNS: &str = "owns a partition";

/// Publishes events of models of their own, one after the other.
pub(super) fn publish(client: &Client, from: usize, to: usize) -> Vec<EventAnswer> {
    let one = |number: usize| {
        let event = event("v1", &format!("flights-{number}"), &format!("event-{number}"));
        client.publish(&event).unwrap_or_else(|problem| panic!("event {number}: {problem:?}"))
    };
    (from..to).map(one).collect()
}

pub(super) fn all_are_there_once(client: &Client, answers: &[EventAnswer]) {
    let published: BTreeSet<&str> = answers.iter().map(|answer| answer.run.as_str()).collect();
    assert_eq!(published.len(), answers.len(), "two events are one run");
    let runs = client.runs();
    let shown: BTreeSet<&str> = runs.iter().map(|run| run.run.as_str()).collect();
    assert_eq!((shown.len(), shown), (runs.len(), published));
    let verified = client.verify();
    assert!(verified.good, "{verified:?}");
}

#[test]
fn the_log_keeps_its_contract() {
    engine::port::suite::log(|| {
        let settings = settings(shared());
        log_kafka::topics::create(&settings, &WANTED).unwrap();
        KafkaLog::open(&settings, WANTED.partitions).unwrap()
    });
}

#[test]
fn an_event_is_a_run_and_a_thousand_times_the_same_event_is_no_other() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let first = publish(&client, 0, 1);
    let log = KafkaLog::open(&fleet.settings, PARTITIONS).unwrap();
    let records = || (0..PARTITIONS).map(|partition| log.end(partition).unwrap()).sum::<u64>();
    let before = records();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    assert_eq!(publish(&client, 0, 1)[0].run, first[0].run);
                }
            });
        }
    });
    all_are_there_once(&client, &first);
    assert_eq!(records(), before, "a repeat is no record");
    // What is asked of it is decided and shown.
    let run = &first[0].run;
    let body = json!({ "kind": "pause", "reason": "to see" });
    client.request(run, client.token(), "key-1", &body).unwrap();
    assert!(client.run(run).paused_since.is_some());
}

#[test]
fn a_killed_engine_is_replaced_and_nothing_is_lost() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let mut answers = publish(&client, 0, 20);
    fleet.start("two");
    fleet.hears("two", OWNS, 2);
    answers.extend(thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 20, 60));
        fleet.kill("one");
        publishing.join().unwrap()
    }));
    all_are_there_once(&client, &answers);
    // It comes back, and takes its share again.
    fleet.start("one");
    fleet.hears("one", OWNS, 2);
    answers.extend(thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 60, 80));
        fleet.kill("two");
        publishing.join().unwrap()
    }));
    all_are_there_once(&client, &answers);
}

/// One with a name is waited for, for its session, unless it says that it will not come back soon.
#[test]
fn an_engine_that_is_asked_to_end_hands_over_where_there_is_another() {
    let mut fleet = Fleet::over(shared());
    let named = |name: &str| [("MODELRAIL_KAFKA__INSTANCE", name.to_owned())];
    let group = format!("{}engines", fleet.settings.prefix);
    let members = Vandal::at(&fleet.settings.brokers);
    fleet.start_with("one", &named("one"));
    fleet.start_with("two", &named("two"));
    fleet.hears("one", OWNS, 1);
    fleet.hears("two", OWNS, 1);
    assert_eq!(members.members(&group), 2);
    fleet.stop("one");
    assert_eq!(members.members(&group), 1, "it is waited for no more");
    let client = fleet.client();
    let answers = publish(&client, 0, 20);
    all_are_there_once(&client, &answers);
    // Alone it keeps its place: nobody could take over meanwhile.
    fleet.stop("two");
    assert_eq!(members.members(&group), 1);
    fleet.start_with("two", &named("two"));
    fleet.hears("two", OWNS, 1);
    all_are_there_once(&client, &answers);
}

/// Whoever lost its folder need not read all of the log again.
#[test]
fn an_engine_is_restored_from_a_snapshot_and_reads_on_from_there() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    fleet.start_as("api", "front");
    let client = fleet.client_of("front");
    let mut answers = publish(&client, 0, 20);
    all_are_there_once(&client, &answers);
    let snapshot = fleet.place.root().join("snapshot");
    let address = fleet.address("front");
    let text = |path: &Path| path.display().to_string();
    let good = |fleet: &Fleet, words: &[&str]| -> serde_json::Value {
        let said = fleet.place.run(&[words, &["--output", "json"]].concat());
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.errors);
        serde_json::from_str(&said.out).unwrap()
    };
    let taken = good(&fleet, &["backup", &text(&snapshot), "--server", &address]);
    assert_eq!(taken["is_snapshot"], true, "{taken}");
    assert!(!snapshot.join("signing.key").exists() && !snapshot.join("blobs").exists());
    answers.extend(publish(&client, 20, 30));
    // Its folder is lost with it.
    fleet.kill("one");
    fs::remove_dir_all(fleet.folder("one")).unwrap();
    good(&fleet, &["restore", &text(&snapshot), "--data", &text(&fleet.folder("one"))]);
    // What is in it need not be read again.
    let log_id = u128::from_str_radix(taken["log"].as_str().unwrap(), 16).unwrap().to_be_bytes();
    let (mirror, anew) =
        Folder::open_mirror(&fleet.folder("one"), &NewLog { log_id, partitions: PARTITIONS }).unwrap();
    assert!(anew.is_none(), "{anew:?}");
    for head in taken["heads"].as_array().unwrap() {
        let partition = head["partition"].as_u64().unwrap() as u32;
        assert_eq!(mirror.database().end(partition).unwrap(), head["records"].as_u64().unwrap());
        assert!(head["records"].as_u64().unwrap() > 1, "{taken}");
    }
    mirror.close().unwrap();
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    assert!(!fleet.said("one").contains("begun anew"), "{}", fleet.said("one"));
    answers.extend(publish(&client, 30, 40));
    all_are_there_once(&client, &answers);
}

#[test]
fn an_engine_that_stood_still_beyond_its_session_does_no_harm() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.start("two");
    fleet.hears("one", OWNS, 1);
    fleet.hears("two", OWNS, 1);
    let client = fleet.client();
    let mut answers = publish(&client, 0, 20);
    let owned = fleet.said("two").matches(OWNS).count();
    // It is stopped in the middle of what it does, and its successor decides meanwhile.
    answers.extend(thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 20, 60));
        fleet.signal("one", "STOP");
        fleet.hears("two", OWNS, owned + 1);
        publishing.join().unwrap()
    }));
    fleet.signal("one", "CONT");
    fleet.hears("one", "a partition is taken from this engine", 1);
    answers.extend(publish(&client, 60, 80));
    all_are_there_once(&client, &answers);
}

#[test]
fn an_engine_stops_when_its_log_is_made_anew() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let answers = publish(&client, 0, 3);
    make_anew(&fleet, Topic::Events);
    fleet.hears("one", "HISTORY_GAP", PARTITIONS as usize);
    fleet.hears("one", "TOPIC_RECREATED", 1);
    // What was read can be read.
    assert_eq!(client.runs().len(), answers.len());
}

/// What was said and not decided is gone: people are to know, and then it goes on from the new lane's beginning.
#[test]
fn a_lane_that_is_made_anew_stops_the_engine_until_it_is_started_again() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let mut answers = publish(&client, 0, 3);
    make_anew(&fleet, Topic::Lane(Lane::Triggers));
    fleet.hears("one", "TOPICS_UNSAFE", PARTITIONS as usize);
    fleet.kill("one");
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    answers.extend(publish(&client, 3, 6));
    all_are_there_once(&client, &answers);
}

/// A broker acknowledges what it has not synced: after a power cut the newest may be gone.
#[test]
fn a_lane_that_lost_its_newest_inputs_stops_its_partitions_until_it_is_made_anew() {
    let Some(cluster) = Cluster::own(1) else { return };
    let mut fleet = Fleet::over(&cluster);
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let mut answers = publish(&client, 0, 6);
    cluster.kill(1);
    let cut = cluster.lose_newest(1, &Topic::Lane(Lane::Triggers).name(&fleet.settings.prefix));
    assert!(cut > 0);
    cluster.start_again(1);
    // What is said next would stand under an offset that was taken: it is not passed over.
    fleet.hears("one", "TOPICS_UNSAFE", cut);
    assert_eq!(client.runs().len(), answers.len());
    make_anew(&fleet, Topic::Lane(Lane::Triggers));
    fleet.kill("one");
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    answers.extend(publish(&client, 6, 12));
    all_are_there_once(&client, &answers);
}

#[test]
fn an_engine_stops_where_its_log_lost_its_newest_records() {
    let Some(cluster) = Cluster::own(1) else { return };
    let mut fleet = Fleet::over(&cluster);
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let answers = publish(&client, 0, 3);
    cluster.kill(1);
    let cut = cluster.lose_newest(1, &Topic::Events.name(&fleet.settings.prefix));
    assert_eq!(cut, PARTITIONS as usize);
    cluster.start_again(1);
    fleet.hears("one", "HISTORY_GAP", cut);
    assert_eq!(client.runs().len(), answers.len());
}

fn make_anew(fleet: &Fleet, topic: Topic) {
    let (vandal, name) = (Vandal::at(&fleet.settings.brokers), topic.name(&fleet.settings.prefix));
    vandal.delete(&name);
    let settings = [("retention.ms", "-1"), ("cleanup.policy", "delete"), ("max.message.bytes", "4194304")];
    vandal.create_again(&name, PARTITIONS, &settings);
}

#[test]
fn an_engine_without_an_api_says_how_it_is_and_what_its_clients_do() {
    let mut fleet = Fleet::over(shared());
    let health = fleet.start_telling("one");
    let metrics = health.replace("/readyz", "/metrics");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let http = http();
    let get = |url: &str| {
        let answer = http.get(url).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    until("it is ready", || get(&health).0 == 200);
    let told = get(&metrics).1;
    assert_eq!(told.matches("modelrail_partition_owned{").count(), PARTITIONS as usize, "{told}");
    // Its clients say it every ten seconds.
    until("claims are produced, and lanes read to their ends", || {
        let told = get(&metrics).1;
        let produced = "modelrail_kafka_requests_total{client=\"appends\",request=\"Produce\"}";
        let lane = format!(
            "modelrail_kafka_lag_records{{client=\"lanes\",topic=\"{}\",partition=\"0\"}} 0",
            Topic::Lane(Lane::Outcomes).name(&fleet.settings.prefix)
        );
        told.contains(produced) && told.contains(&lane)
    });
    // Nobody decides any more, and whoever asks is told.
    make_anew(&fleet, Topic::Events);
    fleet.hears("one", "HISTORY_GAP", PARTITIONS as usize);
    until("it is not ready", || {
        let (status, why) = get(&health);
        status == 503 && why.contains("HISTORY_GAP")
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
