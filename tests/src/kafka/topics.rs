//! Topics that are made, kept, and found wrong: each problem on a real broker, all of them at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log_kafka::topics::{self, Durability, Known, Outcome, Stops, Wanted};
use log_kafka::{Settings, Topic};
use wire::record::Lane;

use super::cluster::shared;
use super::nodes::{WANTED, settings};
use super::vandal::Vandal;

const SEEN_MAX: Duration = Duration::from_secs(20);

fn codes(settings: &Settings, wanted: &Wanted, known: &Known) -> BTreeSet<(String, &'static str)> {
    let problems = topics::check(settings, wanted, known).unwrap();
    let own = |name: &str| name.strip_prefix(&settings.prefix).unwrap().to_owned();
    problems.iter().map(|problem| (own(&problem.topic), problem.code.as_str())).collect()
}

fn of(codes: &[(&str, &'static str)]) -> BTreeSet<(String, &'static str)> {
    codes.iter().map(|(topic, code)| ((*topic).to_owned(), *code)).collect()
}

#[test]
fn what_create_makes_is_as_it_should_be_and_a_second_time_changes_nothing() {
    let settings = settings(shared());
    let missing = topics::check(&settings, &WANTED, &Known::new()).unwrap();
    assert_eq!(missing.len(), Topic::all().len());
    assert!(missing.iter().all(|problem| problem.mend == "modelrail topics create"), "{missing:?}");
    let made = topics::create(&settings, &WANTED).unwrap();
    assert_eq!(made.len(), Topic::all().len());
    assert!(made.iter().all(|made| made.outcome == Outcome::Created), "{made:?}");
    let before = topics::found(&settings).unwrap();
    assert_eq!(codes(&settings, &WANTED, &before.ids()), of(&[]));
    let again = topics::create(&settings, &Wanted { partitions: 5, ..WANTED }).unwrap();
    assert!(again.iter().all(|made| made.outcome == Outcome::Kept), "{again:?}");
    assert_eq!(topics::found(&settings).unwrap(), before);
}

#[test]
fn every_wrong_topic_is_named_at_once() {
    let settings = settings(shared());
    let vandal = Vandal::at(&settings.brokers);
    let name = |topic: Topic| topic.name(&settings.prefix);
    vandal.create(
        &name(Topic::Events),
        3,
        &[("cleanup.policy", "compact,delete"), ("retention.ms", "3600000")],
    );
    vandal.create(&name(Topic::Lane(Lane::Requests)), 1, &[("cleanup.policy", "compact")]);
    vandal.create(&name(Topic::Routes), 1, &[("unclean.leader.election.enable", "true")]);
    let made = topics::create(&settings, &WANTED).unwrap();
    let kept: Vec<Topic> =
        made.iter().filter(|made| made.outcome == Outcome::Kept).map(|made| made.topic).collect();
    assert_eq!(kept, [Topic::Events, Topic::Lane(Lane::Requests), Topic::Routes]);
    let told = codes(&settings, &WANTED, &Known::new());
    let expected = of(&[
        ("events", "TOPIC_PARTITIONS"),
        ("events", "TOPIC_COMPACTED"),
        ("events", "TOPIC_RETENTION"),
        ("events", "TOPIC_MESSAGE_BYTES"),
        ("events", "TOPIC_TIMESTAMPS"),
        ("requests", "TOPIC_PARTITIONS"),
        ("requests", "TOPIC_COMPACTED"),
        ("requests", "TOPIC_RETENTION_SHORT"),
        ("requests", "TOPIC_MESSAGE_BYTES"),
        ("requests", "TOPIC_TIMESTAMPS"),
        ("routes", "TOPIC_NOT_COMPACTED"),
        ("routes", "TOPIC_UNCLEAN_ELECTION"),
        ("routes", "TOPIC_TIMESTAMPS"),
    ]);
    assert_eq!(told, expected);
}

#[test]
fn one_broker_is_too_few_unless_it_is_said_to_be_enough() {
    let settings = settings(shared());
    let replicated = Wanted { durability: Durability::Replicated, ..WANTED };
    if topics::found(&settings).unwrap().brokers >= 3 {
        println!("not run: these brokers are three or more");
        return;
    }
    let made = topics::create(&settings, &replicated).unwrap();
    for made in made {
        let Outcome::Refused { hint: Some(hint), .. } = made.outcome else { panic!("{made:?}") };
        assert!(hint.contains("single-broker"), "{hint}");
    }
    topics::create(&settings, &WANTED).unwrap();
    let problems = topics::check(&settings, &replicated, &Known::new()).unwrap();
    let stops: BTreeSet<&str> = problems
        .iter()
        .filter(|problem| {
            problem.topic == Topic::Events.name(&settings.prefix) && problem.stops == Stops::Start
        })
        .map(|problem| problem.code.as_str())
        .collect();
    assert_eq!(stops, BTreeSet::from(["TOPIC_REPLICATION", "TOPIC_MIN_INSYNC"]));
}

#[test]
fn a_topic_that_was_made_again_is_told_by_its_id() {
    let settings = settings(shared());
    topics::create(&settings, &WANTED).unwrap();
    let before = topics::found(&settings).unwrap().ids();
    let vandal = Vandal::at(&settings.brokers);
    vandal.delete(&Topic::Events.name(&settings.prefix));
    // It is gone from the brokers' answers a moment later.
    let began = Instant::now();
    while topics::found(&settings).unwrap().there(Topic::Events).is_some() {
        assert!(began.elapsed() < SEEN_MAX, "a deleted topic is still there");
    }
    topics::create(&settings, &WANTED).unwrap();
    assert_eq!(codes(&settings, &WANTED, &before), of(&[("events", "TOPIC_RECREATED")]));
    assert_eq!(codes(&settings, &WANTED, &Known::new()), of(&[]), "nothing else shows it");
}
