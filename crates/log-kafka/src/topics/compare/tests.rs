use std::collections::BTreeMap;

use domain::workflow::StageKind;

use super::super::shape::Kept;
use super::*;
use crate::Security;
use crate::topics::Durability;

const WANTED: Wanted = Wanted { partitions: 4, command_partitions: 2, durability: Durability::Replicated };

fn settings() -> Settings {
    Settings {
        brokers: "kafka:9092".into(),
        client_id: "test".into(),
        prefix: "m.".into(),
        security: Security::default(),
    }
}

/// All topics as they should be.
fn good(wanted: &Wanted) -> Found {
    let there = |topic: Topic| {
        let shape = shape(topic, wanted);
        let settings = shape.settings().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let id = topic.name("id of ");
        State::There(There { id, partitions: shape.partitions, replicas: shape.replicas, settings })
    };
    let topics = Topic::all().into_iter().map(|topic| (topic, there(topic))).collect();
    Found { cluster: "cluster".into(), brokers: 3, topics }
}

fn there(found: &mut Found, topic: Topic) -> &mut There {
    match found.topics.get_mut(&topic).unwrap() {
        State::There(there) => there,
        other => panic!("{other:?}"),
    }
}

/// What is said of a good cluster in which one topic was changed: code and what it stops.
fn said(topic: Topic, change: impl FnOnce(&mut There)) -> Vec<(&'static str, Stops)> {
    let mut found = good(&WANTED);
    change(there(&mut found, topic));
    let problems = problems(&settings(), &WANTED, &Known::new(), &found);
    assert!(problems.iter().all(|problem| problem.topic == topic.name("m.")), "{problems:?}");
    problems.iter().map(|problem| (problem.code.as_str(), problem.stops)).collect()
}

fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut There) {
    move |there| {
        there.settings.insert(key.to_owned(), value.to_owned());
    }
}

#[test]
fn what_create_makes_has_no_problems() {
    for durability in [Durability::Replicated, Durability::SingleBroker] {
        let wanted = Wanted { durability, ..WANTED };
        assert_eq!(problems(&settings(), &wanted, &Known::new(), &good(&wanted)), []);
    }
}

#[test]
fn what_could_lose_something_acknowledged_stops_the_start() {
    use Stops::Start;
    let requests = Topic::Lane(Lane::Requests);
    for (topic, key, value, code) in [
        (Topic::Events, "retention.ms", "604800000", "TOPIC_RETENTION"),
        (Topic::Events, "retention.bytes", "1073741824", "TOPIC_RETENTION"),
        (Topic::Events, "cleanup.policy", "compact", "TOPIC_COMPACTED"),
        (Topic::Events, "cleanup.policy", "delete,compact", "TOPIC_COMPACTED"),
        (Topic::Events, "min.insync.replicas", "1", "TOPIC_MIN_INSYNC"),
        (Topic::Events, "unclean.leader.election.enable", "true", "TOPIC_UNCLEAN_ELECTION"),
        (Topic::Events, "max.message.bytes", "1048588", "TOPIC_MESSAGE_BYTES"),
        (requests, "cleanup.policy", "compact", "TOPIC_COMPACTED"),
        (requests, "min.insync.replicas", "1", "TOPIC_MIN_INSYNC"),
        (Topic::Routes, "cleanup.policy", "delete", "TOPIC_NOT_COMPACTED"),
        (Topic::Routes, "cleanup.policy", "compact,delete", "TOPIC_RETENTION"),
    ] {
        assert_eq!(said(topic, set(key, value)), [(code, Start)], "{topic:?} {key}={value}");
    }
    assert_eq!(
        said(Topic::Events, |it| it.replicas = 1),
        [("TOPIC_REPLICATION", Start), ("TOPIC_MIN_INSYNC_ALL", Stops::Nothing),]
    );
    assert_eq!(said(Topic::Events, |it| it.partitions = 8), [("TOPIC_PARTITIONS", Start)]);
    assert_eq!(said(requests, |it| it.partitions = 3), [("TOPIC_PARTITIONS", Start)]);
    assert_eq!(said(requests, |it| it.settings.clear()), [("TOPIC_SETTINGS_NOT_READABLE", Start)]);
}

#[test]
fn what_passes_is_told_and_stops_nothing() {
    use Stops::Nothing;
    let commands = Topic::Commands(StageKind::Package);
    for (topic, key, value, code) in [
        (Topic::Lane(Lane::Outcomes), "retention.ms", "86400000", "TOPIC_RETENTION_SHORT"),
        (Topic::Lane(Lane::Outcomes), "retention.bytes", "1000000", "TOPIC_RETENTION_SHORT"),
        (Topic::Predictions, "retention.ms", "1", "TOPIC_RETENTION_SHORT"),
        (Topic::Predictions, "cleanup.policy", "compact", "TOPIC_COMPACTED"),
        (commands, "min.insync.replicas", "1", "TOPIC_MIN_INSYNC"),
        (Topic::Events, "min.insync.replicas", "3", "TOPIC_MIN_INSYNC_ALL"),
        (Topic::Events, "message.timestamp.type", "CreateTime", "TOPIC_TIMESTAMPS"),
    ] {
        assert_eq!(said(topic, set(key, value)), [(code, Nothing)], "{topic:?} {key}={value}");
    }
    assert_eq!(said(commands, |it| it.partitions = 1), [("TOPIC_PARTITIONS_FEW", Nothing)]);
    assert_eq!(said(Topic::Labels, |it| it.partitions = 1), [("TOPIC_PARTITIONS", Nothing)]);
    assert_eq!(
        said(Topic::Heartbeats, |it| it.replicas = 1),
        [("TOPIC_REPLICATION", Nothing), ("TOPIC_MIN_INSYNC_ALL", Nothing),]
    );
}

#[test]
fn more_than_enough_is_no_problem() {
    let commands = Topic::Commands(StageKind::Monitor);
    assert_eq!(said(commands, |it| it.partitions = 64), []);
    assert_eq!(said(Topic::Events, |it| it.replicas = 5), []);
    assert_eq!(said(Topic::Lane(Lane::Triggers), set("retention.ms", "-1")), []);
    assert_eq!(said(commands, set("cleanup.policy", "compact,delete")), [], "every attempt has its own key");
    assert_eq!(said(Topic::Events, set("max.message.bytes", "10485760")), []);
}

#[test]
fn every_problem_is_told_at_once_and_what_stops_comes_first() {
    let mut found = good(&WANTED);
    found.topics.insert(Topic::Cancels, State::Missing);
    found.topics.insert(Topic::Routes, State::NotEntitled);
    there(&mut found, Topic::Heartbeats).settings.insert("retention.ms".into(), "60000".into());
    there(&mut found, Topic::Events).settings.insert("retention.ms".into(), "604800000".into());
    there(&mut found, Topic::Lane(Lane::Triggers)).partitions = 8;
    let known = BTreeMap::from([(Topic::Events, "another".to_owned())]);
    let problems = problems(&settings(), &WANTED, &known, &found);
    let told: Vec<String> = problems.iter().map(|problem| format!("{problem}\n  {}", problem.mend)).collect();
    assert_eq!(
        told,
        [
            "TOPIC_RECREATED: expected m.events to have id another, but found id id of events\n  it was deleted and made \
         again: bring its records back from a copy, or start with an empty data folder and another `kafka.prefix`",
            "TOPIC_RETENTION: expected m.events to have retention.ms=-1, but found retention.ms=604800000\n  \
         kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name m.events \
         --add-config retention.ms=-1",
            "TOPIC_PARTITIONS: expected m.triggers to have 4 partitions, but found 8 partitions\n  if nothing stands in \
         it: kafka-topics.sh --bootstrap-server kafka:9092 --delete --topic m.triggers; modelrail topics create",
            "TOPIC_MISSING: expected m.cancels to have a place, but found nothing\n  modelrail topics create",
            "TOPIC_NOT_ENTITLED: expected m.routes to have DESCRIBE for us, but found that it may not be described\n  \
         kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:NAME --operation Describe --topic \
         m.routes",
            "TOPIC_RETENTION_SHORT: expected m.heartbeats to have retention.ms=3600000, but found retention.ms=60000\n  \
         kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name m.heartbeats \
         --add-config retention.ms=3600000",
        ]
    );
}

#[test]
fn a_cluster_of_another_count_is_told_as_one_key_of_the_configuration() {
    let eight = good(&Wanted { partitions: 8, ..WANTED });
    let problems = problems(&settings(), &WANTED, &Known::new(), &eight);
    let log = problems.iter().find(|problem| problem.topic == "m.events").unwrap();
    assert_eq!(log.mend, "`store.partitions = 8` in the configuration");
}

#[test]
fn codes_are_told_apart() {
    let codes: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
}

#[test]
fn the_document_has_every_code_and_every_topic_as_it_is_made() {
    let document = include_str!("../../../../../docs/topics.md");
    for code in Code::ALL {
        assert!(document.contains(&format!("| `{}` |", code.as_str())), "{code:?}");
    }
    for topic in Topic::all() {
        let name = match topic {
            Topic::Commands(_) => "commands.STAGE".to_owned(),
            other => other.name(""),
        };
        let begins = format!("| `{name}` |");
        let row = document.lines().find(|line| line.starts_with(&begins)).expect(&name);
        let said: Vec<&str> = row.split('|').map(str::trim).collect();
        let shape = shape(topic, &WANTED);
        let partitions = match (topic, shape.partitions) {
            (Topic::Commands(_), _) => "`kafka.command_partitions`",
            (_, 1) => "1",
            _ => "`store.partitions`",
        };
        let (cleanup, kept) = match shape.kept {
            Kept::ForEver => ("delete", "**for ever**"),
            Kept::Latest => ("**compact**", "the latest of each key"),
            Kept::Milliseconds(3_600_000) => ("delete", "1 hour"),
            Kept::Milliseconds(604_800_000) => ("delete", "7 days"),
            Kept::Milliseconds(_) => ("delete", "30 days"),
        };
        assert_eq!(said[4..7], [partitions, cleanup, kept], "{name}");
    }
}
