//! `modelrail topics`: as people type it.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use log_kafka::Topic;

use super::cluster::{prefix, shared};
use super::vandal::Vandal;
use crate::process::place::{Pace, Place};

const SEEN_MAX: Duration = Duration::from_secs(30);

/// A place whose configuration has these lines in `[kafka]`.
fn place(lines: &str) -> Place {
    let place = Place::of(Pace::Quick);
    let mut config = fs::File::options().append(true).open(place.config()).unwrap();
    writeln!(config, "[kafka]\n{lines}").unwrap();
    place
}

#[test]
fn topics_are_made_checked_and_what_is_wrong_is_told_with_its_cure() {
    let prefix = prefix();
    let brokers = shared().brokers();
    let place = place(&format!(
        "brokers = {brokers:?}\nprefix = {prefix:?}\ncommand_partitions = 2\ndurability = \"single-broker\""
    ));
    let outcomes = || {
        let made = place.run(&["topics", "create", "--output", "json"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let made = made.json();
        let outcomes =
            made.as_array().unwrap().iter().map(|made| made["outcome"].as_str().unwrap().to_owned());
        outcomes.collect::<Vec<_>>()
    };
    let all = Topic::all().len();
    assert_eq!(outcomes(), vec!["created"; all]);
    assert_eq!(outcomes(), vec!["kept"; all]);
    let checked = place.run(&["topics", "check", "--output", "json"]);
    assert_eq!((checked.code, checked.json()["good"].as_bool()), (Some(0), Some(true)), "{checked:?}");

    let vandal = Vandal::at(brokers);
    let routes = Topic::Routes.name(&prefix);
    vandal.delete(&routes);
    vandal.create_again(
        &routes,
        1,
        &[("cleanup.policy", "delete"), ("message.timestamp.type", "LogAppendTime")],
    );
    // The broker shows what was made anew a moment later.
    let began = Instant::now();
    let checked = loop {
        let checked = place.run(&["topics", "check"]);
        if checked.code == Some(1) && checked.out.starts_with("TOPIC_NOT_COMPACTED") {
            break checked;
        }
        assert!(began.elapsed() < SEEN_MAX, "{checked:?}");
    };
    let cure = format!(
        "hint: kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {routes} \
         --add-config cleanup.policy=compact\n"
    );
    assert!(checked.out.starts_with("TOPIC_NOT_COMPACTED, and no engine starts: "), "{checked:?}");
    assert!(checked.out.ends_with(&cure), "{checked:?}");
    let problems = place.run(&["topics", "check", "--output", "json"]).json()["problems"].clone();
    assert_eq!(
        (&problems[0]["code"], &problems[0]["topic"]),
        (&"TOPIC_NOT_COMPACTED".into(), &routes.into())
    );
    assert_eq!(problems[0]["stops_start"], true);
}

#[test]
fn brokers_that_do_not_answer_are_named_and_none_at_all_too() {
    // Nobody listens at port 1 of this machine.
    let silent = place("brokers = \"127.0.0.1:1\"").run(&["topics", "check"]);
    assert_eq!(silent.code, Some(5), "{silent:?}");
    assert!(silent.errors.contains("error[KAFKA_SILENT]") && silent.errors.contains("refused"), "{silent:?}");
    assert!(silent.errors.contains("hint: is `kafka.brokers` right"), "{silent:?}");
    let none = place("").run(&["topics", "create"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.errors.contains("error[NO_BROKERS]"), "{none:?}");
}
