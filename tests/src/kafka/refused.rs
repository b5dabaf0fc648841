//! Engines that are not let start: on topics that could lose something, and by brokers that do not know them. Each time
//! within seconds, with a code, and with what mends it.

use std::time::{Duration, Instant};

use log_kafka::Topic;
use log_kafka::topics;
use wire::record::Lane;

use super::cluster::{prefix, secure, shared};
use super::fleet::PARTITIONS;
use super::nodes::{WANTED, settings};
use super::vandal::Vandal;
use crate::process::place::{Pace, Place};

/// Asking brokers in vain, and a loaded machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(40);

fn place(brokers: &str, prefix: &str) -> Place {
    let mut place = Place::of(Pace::Quick);
    place.set("MODELRAIL_KAFKA__BROKERS", brokers.to_owned());
    place.set("MODELRAIL_KAFKA__PREFIX", prefix.to_owned());
    place.set("MODELRAIL_KAFKA__COMMAND_PARTITIONS", WANTED.command_partitions.to_string());
    place.set("MODELRAIL_KAFKA__DURABILITY", "single-broker".into());
    place
}

/// An engine ends by itself, with this exit and this code, and says what to do.
fn is_refused(place: &Place, exit: i32, code: &str) {
    let began = Instant::now();
    let mut engine = place.serve_as("engine", &place.data());
    let ended = loop {
        if let Some(ended) = engine.ended() {
            break ended;
        }
        assert!(began.elapsed() < REFUSED_WITHIN, "{code}: it runs: {}", place.errors());
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = place.errors_of(&engine);
    assert_eq!(ended.code(), Some(exit), "{code}: {said}");
    assert!(said.contains(&format!("error[{code}]: ")) && said.contains("\nhint: "), "{code}: {said}");
}

#[test]
fn no_engine_starts_on_topics_that_could_lose_something() {
    let cluster = shared();
    let vandal = Vandal::at(cluster.brokers());
    let wanted = topics::Wanted { partitions: PARTITIONS, ..WANTED };
    let on = |topic: Topic, partitions: u32, told: &[(&str, &str)]| {
        let settings = settings(cluster);
        let large = ("max.message.bytes", "4194304");
        vandal.create(&topic.name(&settings.prefix), partitions, &[told, &[large]].concat());
        topics::create(&settings, &wanted).unwrap();
        place(cluster.brokers(), &settings.prefix)
    };
    let for_ever = ("retention.ms", "-1");
    let requests = Topic::Lane(Lane::Requests);
    for (place, code) in [
        (place(cluster.brokers(), &prefix()), "TOPIC_MISSING"),
        (on(Topic::Events, PARTITIONS + 1, &[for_ever]), "TOPIC_PARTITIONS"),
        (on(requests, PARTITIONS - 1, &[for_ever]), "TOPIC_PARTITIONS"),
        (on(Topic::Events, PARTITIONS, &[("retention.ms", "604800000")]), "TOPIC_RETENTION"),
        (on(Topic::Events, PARTITIONS, &[for_ever, ("cleanup.policy", "compact")]), "TOPIC_COMPACTED"),
        (on(requests, PARTITIONS, &[for_ever, ("cleanup.policy", "compact")]), "TOPIC_COMPACTED"),
    ] {
        is_refused(&place, 1, code);
    }
    let mut replicated = on(Topic::Events, PARTITIONS, &[for_ever]);
    replicated.set("MODELRAIL_KAFKA__DURABILITY", "replicated".into());
    is_refused(&replicated, 1, "TOPIC_REPLICATION");
}

#[test]
fn no_engine_starts_that_the_brokers_do_not_know() {
    is_refused(&place("127.0.0.1:1", "none."), 5, "KAFKA_SILENT");
    let Some(cluster) = secure() else { return };
    let sasl = |user: &str, password: &str, authority: &str| {
        let mut place = place(&cluster.listener("sasl"), &prefix());
        place.set("MODELRAIL_KAFKA__PROTOCOL", "sasl_ssl".into());
        place.set("MODELRAIL_KAFKA__CA", cluster.key(authority).display().to_string());
        place.set("MODELRAIL_KAFKA__USER", user.into());
        place.set("MODELRAIL_KAFKA__PASSWORD", "secret://env/PASSWORD_OF_KAFKA".into());
        place.set("PASSWORD_OF_KAFKA", password.into());
        place
    };
    is_refused(&sasl("alice", "wrong", "ca.pem"), 6, "KAFKA_PASSWORD");
    is_refused(&sasl("alice", "secret", "stranger.pem"), 5, "KAFKA_UNTRUSTED");
    is_refused(&sasl("bob", "secret", "ca.pem"), 1, "TOPIC_NOT_ENTITLED");
    is_refused(&sasl("alice", "secret", "ca.pem"), 1, "TOPIC_MISSING");
    let mut mtls = place(&cluster.listener("mtls"), &prefix());
    mtls.set("MODELRAIL_KAFKA__PROTOCOL", "ssl".into());
    mtls.set("MODELRAIL_KAFKA__CA", cluster.key("ca.pem").display().to_string());
    is_refused(&mtls, 6, "KAFKA_NO_IDENTITY");
}
